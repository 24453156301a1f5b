import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.method import CutOff
from mr_assets.method.actor_pairs import actor_pairs, tiers
from mr_assets.tables import ACTOR_PAIRS, DROPPED, Selected
from mr_assets_tests.method.tables import Answer, shuffled, tables, worlds

RHOS = st.sampled_from([0.0, 0.1, 0.32, 0.4, 0.5, 0.75, 1.0])


def paired(
    *answers: Answer, rho: float = 0, limit: int | None = None, seed: int = 0, cut_off: CutOff = "never_chosen"
) -> Selected:
    return actor_pairs(*tables({"p": answers}), rho=rho, max_chosen_chars=limit, seed=seed, cut_off=cut_off)


def ids(selected: Selected) -> tuple[str, str]:
    """k of the chosen and of the rejected response of the only pair."""
    chosen, rejected = selected.rows.select("chosen_id", "rejected_id").row(0)
    return chosen.removeprefix("1.p."), rejected.removeprefix("1.p.")


def reason(selected: Selected) -> str:
    """The reason why the only prompt has no pair."""
    assert selected.rows.is_empty()
    return str(selected.dropped.filter(pl.col("id") == "p")["reason"].item())


def test_rho_zero_takes_the_best_and_the_worst_score() -> None:
    """2.1: rho = 0 is pure score choice; means 4.5, 3 and 1, whatever the lengths."""
    made = paired(Answer("long but good", [4, 5]), Answer("x", [3]), Answer("y", [1]))
    assert ids(made) == ("r0", "r2")
    ACTOR_PAIRS.check(made.rows)
    row = made.rows.row(0, named=True)
    assert row["pair_id"] == "1.p.actor"
    assert (row["chosen_score"], row["rejected_score"], row["score_max"], row["score_min"]) == (4.5, 1, 4.5, 1)
    assert (row["chosen_chars"], row["rejected_chars"], row["rho"]) == (13, 1, 0)
    assert made.dropped.is_empty()


def test_length_control_takes_the_shortest_of_the_top_and_the_longest_of_the_bottom() -> None:
    """2.1: scores 5, 4, 2, 1 and rho = 0.25: the tiers are [4, 5] and [1, 2], bounds included."""
    made = paired(Answer("aaaa", [5]), Answer("bb", [4]), Answer("cccc", [2]), Answer("d", [1]), rho=0.25)
    assert ids(made) == ("r1", "r2")


def test_bounds_are_included_in_spite_of_float_noise() -> None:
    """Row 11: Smax = 5, Smin = 0, rho = 0.3: 3.5 is in the top tier although (1 - 0.3) 5 may not be 3.5 exactly."""
    for rho in (0.1, 0.3, 0.32, 0.4, 0.7):
        bound = (1 - rho) * 5
        made = paired(Answer("aaaa", [5]), Answer("b", [round(bound, 2)]), Answer("c", [0]), rho=rho)
        assert ids(made)[0] == "r1"


def test_ties_within_a_tier_go_to_length_then_to_a_seeded_draw() -> None:
    """Row 10: shortest chosen, longest rejected, then a draw: over 40 seeds each of two equals wins sometimes."""
    answers = [
        Answer("aaa", [5]),
        Answer("bb", [5]),
        Answer("cc", [5]),
        Answer("dd", [1]),
        Answer("ee", [1]),
        Answer("f", [1]),
    ]
    pairs = {ids(paired(*answers, seed=seed)) for seed in range(40)}
    assert pairs == {("r1", "r3"), ("r1", "r4"), ("r2", "r3"), ("r2", "r4")}


def test_response_without_a_valid_judgment_is_dropped_and_recorded() -> None:
    """Row 6: never ranked last, never scored 0; its drop names the counts."""
    made = paired(Answer("a", [5]), Answer("b", [3]), Answer("c", [None, None]), Answer("d", []))
    assert ids(made) == ("r0", "r1")
    assert made.dropped.rows() == [
        ("1.p.r2", "no_valid_judgment", '{"judgments":2,"valid":0}'),
        ("1.p.r3", "not_judged", '{"judgments":0,"valid":0}'),
    ]


def test_equal_scores_make_no_pair() -> None:
    """Row 12: Smax = Smin: no pair; the numbers are kept."""
    made = paired(Answer("a", [4]), Answer("bb", [3, 5]))
    assert reason(made) == "equal_scores"
    numbers = json.loads(made.dropped["numbers"][0])
    assert (numbers["score_max"], numbers["score_min"], numbers["responses"], numbers["scored"]) == (4, 4, 2, 2)


def test_prompts_without_two_scored_responses_make_no_pair() -> None:
    """A pair needs two scored responses; duplicates do not count."""
    assert reason(paired(Answer("a", [4]), Answer("a", [1]))) == "single_response"
    assert reason(paired(Answer("a", [4]), Answer("b", [None]))) == "single_response"
    assert reason(paired(Answer("a", [None]), Answer("b", []))) == "no_valid_judgment"


def test_overlapping_tiers_need_a_chosen_score_above_the_rejected_one() -> None:
    """Row 13: rho = 1 puts all in both tiers; the shortest scores 1 and the longest 5: no pair."""
    made = paired(Answer("aaaa", [5]), Answer("bb", [3]), Answer("c", [1]), rho=1)
    assert reason(made) == "chosen_not_above_rejected"


def test_one_response_may_not_be_both_sides() -> None:
    """Row 13: with rho = 1 the middle response is shortest and, by the draw, may be longest as well: no such pair."""
    for seed in range(10):
        made = paired(Answer("aa", [5]), Answer("bb", [3]), Answer("cc", [1]), rho=1, seed=seed)
        assert all(chosen > rejected for chosen, rejected in made.rows.select("chosen_score", "rejected_score").rows())


def test_cut_off_response_is_never_chosen_but_sets_the_tiers() -> None:
    """Row 14: Smax = 5 is the cut-off one's; at rho = 0.25 (bound 4) the 4 is chosen, at rho = 0 nobody is."""
    answers = [Answer("a", [5], "length"), Answer("bbb", [4]), Answer("c", [1])]
    assert ids(paired(*answers, rho=0.25)) == ("r1", "r2")
    assert paired(*answers, rho=0.25).rows["score_max"].item() == 5
    made = paired(*answers)
    assert reason(made) == "no_eligible_chosen"
    assert json.loads(made.dropped["numbers"][0])["cut_off_in_top"] == 1
    assert ids(paired(*answers, cut_off="eligible")) == ("r0", "r2")


@pytest.mark.parametrize(
    "text", ["", "   \n", "\u00a0\t\u3000", "\u200b\u200d\ufeff", "\u2060\x00\u00ad", "\u3164\u2800"]
)
def test_blank_response_is_never_chosen_but_sets_the_tiers(text: str) -> None:
    """Nothing to see is no answer to learn from, whatever it scored: the next shortest of the tier, else no pair."""
    full, poor = Answer("A full answer.", [5, 5]), Answer("A poor one.", [2])
    assert ids(paired(Answer(text, [5, 5]), full, poor)) == ("r1", "r2")
    assert ids(paired(Answer(text, [5, 5]), Answer("x", [4]), poor, rho=0.5)) == ("r1", "r2")
    assert paired(Answer(text, [5, 5]), Answer("x", [4]), poor, rho=0.5).rows["score_max"].item() == 5
    for cut_off in ("never_chosen", "eligible"):
        assert reason(paired(Answer(text, [5]), Answer("x", [4]), poor, cut_off=cut_off)) == "blank_chosen"
    both = [Answer(text, [5]), Answer("cut", [5], "length"), poor]
    assert reason(paired(*both)) == "no_eligible_chosen"
    assert ids(paired(*both, cut_off="eligible")) == ("r1", "r2")
    assert ids(paired(full, Answer(text, [1]))) == ("r0", "r1")


@pytest.mark.parametrize("text", [".", "\u200bx", "\u00a0-", "\u4e2d", "\U0001f44d"])
def test_what_can_be_seen_is_not_blank(text: str) -> None:
    """However short."""
    assert ids(paired(Answer(text, [5]), Answer("A longer one.", [5]), Answer("y", [1]))) == ("r0", "r2")


def test_cut_off_response_may_be_rejected() -> None:
    """Row 14 is about the chosen side only."""
    assert ids(paired(Answer("a", [5]), Answer("b", [1], "length"))) == ("r0", "r1")


def test_chosen_length_filter_drops_the_pair() -> None:
    """A.3: pairs whose chosen response exceeds the threshold are filtered out; exactly as long passes."""
    answers = [Answer("aaa", [5]), Answer("b", [4]), Answer("c", [1])]
    assert ids(paired(*answers, limit=3)) == ("r0", "r2")
    made = paired(*answers, limit=2)
    assert reason(made) == "chosen_too_long"
    numbers = json.loads(made.dropped["numbers"][0])
    assert (numbers["chosen_chars"], numbers["max_chosen_chars"]) == (3, 2)


def test_equal_texts_make_no_pair_even_if_duplicates_were_not_marked() -> None:
    """Row 13: different texts."""
    responses, judgments = tables({"p": [Answer("a", [5]), Answer("b", [1])]})
    made = actor_pairs(responses.with_columns(response=pl.lit("same")), judgments, rho=0, seed=0)
    assert reason(made) == "identical_texts"


def test_rho_outside_the_unit_interval_is_refused() -> None:
    """2.1: rho in [0, 1]."""
    with pytest.raises(UserError, match=r"from 0 to 1, received 1\.5"):
        paired(Answer("a", [5]), rho=1.5)


def test_tiers_say_where_each_response_is() -> None:
    """For lineage: scores 5, 3, 1 and rho = 0.25 give the bounds 4 and 2; an unscored response is in no tier."""
    frame = tiers(*tables({"p": [Answer("a", [5]), Answer("b", [3]), Answer("c", [1]), Answer("d", [None])]}), rho=0.25)
    assert frame.select("in_top", "in_bottom").rows() == [(True, False), (False, False), (False, True), (False, False)]
    assert frame.select("top_from", "bottom_to").unique().rows() == [(4, 2)]


def test_empty_tables_make_empty_tables() -> None:
    """An iteration in which everything was skipped still has well-formed tables."""
    made = actor_pairs(*(frame.clear() for frame in tables({"p": [Answer("a", [5])]})), rho=0.3, seed=0)
    ACTOR_PAIRS.check(made.rows)
    DROPPED.check(made.dropped)


@given(worlds(), RHOS, st.sampled_from([None, 2]), st.integers(0, 99))
def test_row_order_does_not_matter(
    world: tuple[pl.DataFrame, pl.DataFrame], rho: float, limit: int | None, seed: int
) -> None:
    """Draws belong to ids: any order of rows gives the same pairs and drops."""
    responses, judgments = world
    made = actor_pairs(responses, judgments, rho=rho, max_chosen_chars=limit, seed=1)
    other = actor_pairs(
        shuffled(responses, seed).lazy(), shuffled(judgments, seed), rho=rho, max_chosen_chars=limit, seed=1
    )
    assert made.rows.equals(other.rows)
    assert made.dropped.equals(other.dropped)


@given(worlds(), RHOS, st.sampled_from([None, 2]))
def test_every_prompt_has_one_pair_or_one_reason(
    world: tuple[pl.DataFrame, pl.DataFrame], rho: float, limit: int | None
) -> None:
    """Nothing vanishes; and every pair keeps rows 12, 13 and 14 and the length filter."""
    responses, judgments = world
    made = actor_pairs(responses, judgments, rho=rho, max_chosen_chars=limit, seed=1)
    ACTOR_PAIRS.check(made.rows)
    DROPPED.check(made.dropped)
    of_prompts = made.dropped.filter(pl.col("id").str.len_chars() == 1)["id"].to_list()
    assert sorted(made.rows["prompt_id"].to_list() + of_prompts) == sorted(set(responses["prompt_id"]))
    answers = {row["response_id"]: row for row in responses.iter_rows(named=True)}
    for row in made.rows.iter_rows(named=True):
        chosen, rejected = answers[row["chosen_id"]], answers[row["rejected_id"]]
        assert row["chosen_score"] > row["rejected_score"]
        assert chosen["response"] != rejected["response"]
        assert chosen["finish_reason"] == "stop"
        assert chosen["response"]
        assert limit is None or len(chosen["response"]) <= limit


@given(worlds())
def test_rho_zero_is_pure_score_choice(world: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """2.1: with rho = 0 the chosen score is Smax and the rejected one Smin."""
    rows = actor_pairs(*world, rho=0, seed=1).rows
    assert rows["chosen_score"].to_list() == rows["score_max"].to_list()
    assert rows["rejected_score"].to_list() == rows["score_min"].to_list()
