"""Why a candidate is on neither side of a pair: worked examples, and that everybody has a reason."""

from dataclasses import replace

import pytest

from mr_assets.lineage import trace
from mr_assets.lineage.exclusion import judgment_exclusion, response_exclusion
from mr_assets.lineage.facts import Response, Round
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table


def first_round(run: Run) -> Round:
    [round_] = trace(run, table(run, "elo_pairs")["pair_id"][0]).rounds
    return round_


@pytest.fixture
def round_(finished: Run) -> Round:
    """Four responses with means 5, 4.8, 3, 1 and lengths 10, 20, 30, 40; the tiers hold the first two and the last."""
    found = first_round(finished)
    assert found.rule is not None
    numbers = [(5.0, 10, True, False), (4.8, 20, True, False), (3.0, 30, False, False), (1.0, 40, False, True)]
    responses = tuple(
        replace(each, id=f"1.{found.pairs[0].id[2:14]}.r{k}", mean=mean, chars=chars, in_top=top, in_bottom=bottom)
        for k, (each, (mean, chars, top, bottom)) in enumerate(zip(found.responses * 4, numbers, strict=False))
    )
    responses = tuple(replace(each, duplicate_of=None) for each in responses)
    ids = [each.id for each in responses]
    rule = replace(found.rule, top_from=4.8, bottom_to=1.2, eligible=tuple(ids[:2]), bottom=(ids[3],))
    pair = replace(found.pairs[0], kind="actor", chosen_id=ids[0], rejected_id=ids[3])
    return replace(found, responses=responses, rule=rule, pairs=(pair,))


def with_second(round_: Round, **fields: object) -> tuple[Round, Response]:
    second = replace(round_.responses[1], **fields)  # type: ignore[arg-type]
    return replace(round_, responses=(round_.responses[0], second, *round_.responses[2:])), second


def test_why_a_response_is_in_no_pair(round_: Round) -> None:
    first, second, third, last = round_.responses
    assert response_exclusion(round_, first) is None and response_exclusion(round_, last) is None
    assert response_exclusion(round_, second) == "in the top tier, but r0 is shorter (10 characters, it has 20)"
    between = "its mean score 3 lies between the tiers, bottom to 1.2 and top from 4.8"
    assert response_exclusion(round_, third) == between
    drawn = with_second(round_, chars=10)
    assert response_exclusion(*drawn) == "in the top tier and as short as r0, which won the draw"
    lower = with_second(round_, in_top=False, in_bottom=True)
    assert round_.rule is not None
    out = replace(lower[0], rule=replace(round_.rule, eligible=round_.rule.eligible[:1]))
    assert response_exclusion(out, lower[1]) == "in the bottom tier, but r3 is longer (40 characters, it has 20)"
    cut = replace(round_, rule=replace(round_.rule, eligible=round_.rule.eligible[:1]))
    assert response_exclusion(cut, second) == "in the top tier, but cut off at max tokens"
    assert response_exclusion(round_, replace(second, duplicate_of=first.id)) == (
        "it has the same text as r0, which stands for both"
    )


def test_where_there_is_no_pair_nobody_has_a_reason(round_: Round) -> None:
    assert all(response_exclusion(replace(round_, pairs=()), each) is None for each in round_.responses)


def test_everybody_who_was_weighed_is_in_the_pair_or_has_a_reason(finished: Run) -> None:
    """Responses of actor pairs, repeated texts too, and judgments of judge pairs, over a whole run."""
    for pair_id in table(finished, "actor_pairs")["pair_id"]:
        [round_] = trace(finished, pair_id).rounds
        actor, judge = round_.pair("actor"), round_.pair("judge")
        assert actor is not None
        for response in round_.responses:
            inside = response.id in (actor.chosen_id, actor.rejected_id)
            unjudged = response.mean is None and not response.duplicate_of
            assert (response_exclusion(round_, response) is None) == (inside or unjudged)
            for judgment in response.judgments if judge else ():
                assert judge is not None
                inside = judgment.id in (judge.chosen_id, judge.rejected_id)
                assert (judgment_exclusion(round_, judgment) is None) == inside


def test_why_a_judgment_is_in_no_pair(finished: Run) -> None:
    round_ = first_round(finished)
    assert round_.contest and round_.contest.elo
    pair, contest = round_.pair("judge"), round_.contest
    assert pair is not None and contest.elo is not None
    response = next(each for each in round_.responses if each.id == contest.response_id)
    other = next(j for j in response.judgments if j.id not in (pair.chosen_id, pair.rejected_id))
    worth = f"{pair.rejected_worth:.4g} and {pair.chosen_worth:.4g}"
    middle = replace(
        round_, contest=replace(contest, elo=replace(contest.elo, scores={other.id: 0.5}, top=(), bottom=()))
    )
    assert judgment_exclusion(middle, other) == f"its Elo 0.5 lies between {worth}"
    tied = (
        replace(middle.contest.elo, top=(other.id, pair.chosen_id)) if middle.contest and middle.contest.elo else None
    )
    winner = pair.chosen_id.rpartition(".")[2]
    drawn = replace(round_, contest=replace(contest, elo=tied))
    assert judgment_exclusion(drawn, other) == f"its Elo 0.5 is the highest, as that of {winner}, which won the draw"
    cut = replace(other, finish_reason="length")
    assert judgment_exclusion(drawn, cut) == "its Elo 0.5 is the highest, but it was cut off at max tokens"
    unheard = replace(round_, contest=replace(contest, elo=replace(contest.elo, scores={})))
    assert judgment_exclusion(unheard, other) == "it has no score, and so took part in no battle"
