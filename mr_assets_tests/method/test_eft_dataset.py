"""The EFT dataset from rankings: rounds that agree with people, the thinned score, examples of ranks, the shares."""

import json
from collections import Counter

import polars as pl
import pytest

from mr_assets.judging import Scoring, Verdicts
from mr_assets.method.eft_dataset import (
    Judge,
    MetaJudge,
    agreeing,
    counts,
    eft_dataset,
    from_ranks,
    score_of,
    shares_of,
    thinned,
)
from mr_assets.method.judgments import parse_score
from mr_assets.method.meta_judgments import parse_winner
from mr_assets.method.numbers import eft_numbers
from mr_assets.method.ranked_replies import in_parts, ranked_replies
from mr_assets.tables import DROPPED, EFT_DATASET, INSTRUCTION, JUDGMENT, META_JUDGMENT, Selected
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets_tests.method.test_ranked_replies import prompt, reply

JUDGE, META = judge_template(), meta_judge_template()
ASKED = Judge(JUDGE), MetaJudge(META)
REPLIES = ranked_replies(
    [
        *(prompt("t", "First?"), reply("t", 0, "Good."), reply("t", 1, "Middling."), reply("t", 2, "Bad.")),
        *(prompt("u", "Second?"), reply("u", 0, "Yes."), reply("u", 1, "No.")),
    ],
    language="en",
    held_out=0.0,
).rows
THREE = REPLIES.filter(pl.col("tree_id") == "t")["response_id"].to_list()


def judged(*rounds: list[float | None]) -> pl.DataFrame:
    """Judgments of the three replies of the first prompt: per round a score for each, the best reply first."""
    rows = [
        (f"{response}.j{n}", response, n, f"Score: {score}", score, None if score is not None else "no_score")
        for n, scores in enumerate(rounds)
        for response, score in zip(THREE, scores, strict=True)
    ]
    names = ("judgment_id", "response_id", "n", "judgment", "score", "invalid")
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def said(found: Selected) -> dict[str, int]:
    return dict(Counter(found.dropped["reason"]))


# ------------------------------------------------------------------------------------------ what people agree with


@pytest.mark.parametrize(
    ("scores", "kept", "dropped"),
    [
        ([5, 4, 2], [5, 4, 2], {}),
        ([5, 5, 2], [5, 5, 2], {}),
        ([5, 4.5, 4.5], [5, 4.5, 4.5], {}),
        ([5, 2, 4], [], {"ranks_differ": 3}),
        ([2, 5, 5], [], {"ranks_differ": 3}),
        ([4, 4, 4], [], {"all_scores_equal": 3}),
        ([5, None, 2], [5, 2], {"no_score": 1}),
        ([2, None, 5], [], {"no_score": 1, "ranks_differ": 2}),
        ([5, None, None], [], {"no_score": 2, "only_score": 1}),
        ([None, None, None], [], {"no_score": 3}),
    ],
)
def test_a_round_is_kept_where_its_scores_rank_as_people_did(
    scores: list[float | None], kept: list[float], dropped: dict[str, int]
) -> None:
    """Row 28: no reply scores higher than one that people ranked above it, and the best higher than the last."""
    found = agreeing(judged(scores), REPLIES)
    assert (found.rows["score"].to_list(), said(found)) == (kept, dropped)
    DROPPED.check(found.dropped)


def test_a_score_that_was_asked_for_again_counts() -> None:
    """The column invalid keeps why the text had none; the reason of the round is the one that it is dropped for."""
    again = judged([2, 4, 5]).with_columns(invalid=pl.lit("no_score"))
    assert said(agreeing(again, REPLIES)) == {"ranks_differ": 3}
    assert agreeing(judged([5, 4, 2]).with_columns(invalid=pl.lit("no_score")), REPLIES).rows.height == 3


def test_rounds_are_held_each_against_the_ranks() -> None:
    """The second of three contradicts people: of each reply the judgments 0 and 2 stay, and the scores say why."""
    found = agreeing(judged([5, 3, 1], [1, 3, 5], [4, 3, 2]), REPLIES)
    assert found.rows["judgment_id"].to_list() == [f"{response}.j{n}" for n in (0, 2) for response in THREE]
    assert [json.loads(numbers) for numbers in found.dropped["numbers"]] == [{"scores": [1.0, 3.0, 5.0]}] * 3


def test_where_scores_are_expectations_the_texts_decide() -> None:
    """What is trained on says 5, 4, 2, which agrees with people; the expectations do not."""
    texts = judged([5, 4, 2]).with_columns(score=pl.Series([3.1, 3.4, 3.2]))
    scoring = Scoring(expected=True)
    given = {"shares": shares_of(0, 0), "examples": None, "seed": 0}
    rows = eft_dataset(REPLIES, texts, judge=Judge(JUDGE, scoring), meta_judge=ASKED[1], **given).rows  # type: ignore[arg-type]
    assert rows["score"].to_list() == [5, 4, 2]


# --------------------------------------------------------------------------------------------------------- thinning


def scored(**scores: int) -> pl.DataFrame:
    rows = [(f"{score}.{n}", float(score[1:])) for score, count in scores.items() for n in range(count)]
    return pl.DataFrame(rows, schema=["judgment_id", "score"], orient="row")


def test_the_commonest_score_is_thinned_to_the_next() -> None:
    """Row 28: of nine fours as many as there are fives, three; nothing else changes, and what goes says the counts."""
    found = thinned(scored(s4=9, s5=3, s1=2), seed=0)
    assert dict(Counter(found.rows["score"])) == {4.0: 3, 5.0: 3, 1.0: 2}
    assert said(found) == {"commonest_score": 6}
    assert json.loads(found.dropped["numbers"][0]) == {"score": 4.0, "count": 9, "next": 3}
    assert not set(found.rows["judgment_id"]) & set(found.dropped["id"])


def test_which_ones_stay_is_drawn_by_id() -> None:
    """The order of the rows is no matter, the seed is."""
    rows = scored(s4=9, s5=3)
    first = set(thinned(rows, seed=0).rows["judgment_id"])
    assert set(thinned(rows.reverse(), seed=0).rows["judgment_id"]) == first
    assert {frozenset(thinned(rows, seed=seed).rows["judgment_id"]) for seed in range(5)} != {frozenset(first)}


@pytest.mark.parametrize("rows", [scored(s4=3, s5=3, s1=1), scored(s4=5), scored()])
def test_nothing_is_thinned_without_one_commonest_score(rows: pl.DataFrame) -> None:
    assert thinned(rows, seed=0).rows.equals(rows)


# -------------------------------------------------------------------------------------------------------- from ranks


@pytest.mark.parametrize(
    ("replies", "scores"),
    [(2, [5, 0]), (3, [5, 3, 0]), (4, [5, 4, 2, 0]), (5, [5, 4, 3, 2, 0]), (6, [5, 4, 3, 2, 1, 0])],
)
def test_ranks_give_scores_from_five_to_zero(replies: int, scores: list[int]) -> None:
    """Row 28: in even whole steps."""
    assert [score_of(place, replies) for place in range(replies)] == scores


def test_ranks_give_scores_on_any_scale_in_the_words_that_a_recipe_has() -> None:
    """From 1 to 10: 10, then 10 - 9/2 rounded down, then 1."""
    scoring, verdicts = Scoring("Punktzahl", 1, 10), Verdicts("Sieger", "Urteil 1", "Urteil 2")
    made = dict(from_ranks(REPLIES, scoring).select("response_id", "score").iter_rows())
    assert [made[response] for response in THREE] == [10, 6, 1]
    given = {"shares": shares_of(0.5, 0), "examples": None, "seed": 0}
    rows = eft_dataset(REPLIES, None, judge=Judge(JUDGE, scoring), meta_judge=MetaJudge(META, verdicts), **given).rows  # type: ignore[arg-type]
    said = {kind: rows.filter(pl.col("kind") == kind)["completion"] for kind in (JUDGMENT, META_JUDGMENT)}
    assert all(parse_score(text[0]["content"], scoring)[0] is not None for text in said[JUDGMENT])
    assert all(parse_winner(text[0]["content"], verdicts)[0] is not None for text in said[META_JUDGMENT])


def test_a_judgment_made_of_a_rank_says_so_and_gives_its_score() -> None:
    made = from_ranks(REPLIES)
    assert made["judgment_id"].to_list() == [f"{response}.rank" for response in made["response_id"]]
    scores = dict(zip(made["response_id"], made["score"], strict=True))
    assert [scores[response] for response in THREE] == [5, 3, 0]
    for text, score in made.select("judgment", "score").iter_rows():
        assert parse_score(text) == (score, None)
        assert text.startswith("This judgment is made from ranks")


def dataset(judgments: pl.DataFrame | None = None, meta: float = 0, instructions: float = 0) -> Selected:
    return eft_dataset(
        REPLIES,
        judgments,
        judge=Judge(JUDGE),
        meta_judge=MetaJudge(META),
        shares=shares_of(meta, instructions),
        examples=None,
        seed=0,
    )


def test_every_example_says_what_it_is_made_of() -> None:
    """Its tree, the reply and its rank; a sampled judgment its id. The prompt is the judge prompt with both in it."""
    found = dataset(judged([5, 4, 2]))
    EFT_DATASET.check(found.rows)
    first = found.rows.row(0, named=True)
    origin = {name: first[name] for name in EFT_DATASET.optional}
    assert origin == {
        "kind": JUDGMENT,
        "tree_id": "t",
        "message_id": "t.0",
        "rank": 0,
        "judgment_id": f"{THREE[0]}.j0",
        "score": 5.0,
    }
    assert first["example_id"] == first["judgment_id"]
    assert first["prompt"][0]["content"] == JUDGE.fill({"prompt": "First?", "response": "Good."})
    assert first["completion"] == [{"role": "assistant", "content": "Score: 5"}]
    assert dataset().rows["judgment_id"].null_count() == 5


def test_meta_judgments_name_the_judgment_with_the_score_of_the_rank() -> None:
    """Each compares the score of the rank with another one; which of them stands first is drawn."""
    rows = dataset(meta=0.8).rows.filter(pl.col("kind") == META_JUDGMENT)
    right = dict(from_ranks(REPLIES).select("response_id", "score").iter_rows())
    firsts = set()
    for row in rows.iter_rows(named=True):
        values = META.unfill(row["prompt"][0]["content"])
        assert values is not None
        winner, _ = parse_winner(row["completion"][0]["content"])
        firsts.add(winner)
        won, lost = ("judgment_a", "judgment_b") if winner == "first" else ("judgment_b", "judgment_a")
        response, _, made = row["example_id"].rpartition(".")
        assert parse_score(values[won])[0] == right[response]
        assert f"meta{parse_score(values[lost])[0]:g}" == made
    assert firsts == {"first", "second"}


def test_an_instruction_is_a_prompt_with_its_best_reply() -> None:
    """Without the judge prompt around it, so that the actor goes on to answer."""
    rows = dataset(instructions=0.5).rows.filter(pl.col("kind") == INSTRUCTION)
    asked = {(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in rows.iter_rows(named=True)}
    assert asked == {("First?", "Good."), ("Second?", "Yes.")}


def test_what_is_held_out_is_in_no_example() -> None:
    """One of two prompts is held out, and its judgments, too, are passed over."""
    held = REPLIES.with_columns(held_out=pl.col("tree_id") == "t")
    found = eft_dataset(
        held,
        judged([5, 4, 2]),
        judge=Judge(JUDGE),
        meta_judge=MetaJudge(META),
        shares=shares_of(0, 0),
        examples=None,
        seed=0,
    )
    assert (found.rows.height, found.dropped.height) == (0, 0)
    made = eft_dataset(
        held, None, judge=ASKED[0], meta_judge=ASKED[1], shares=shares_of(0.3, 0.3), examples=None, seed=0
    )
    assert set(made.rows["tree_id"]) == set(in_parts(held)[0]["tree_id"]) == {"u"}


# ---------------------------------------------------------------------------------------------------------- shares


@pytest.mark.parametrize(
    ("there", "shares", "most", "taken"),
    [
        ((100, 500, 50), (0.0, 0.0), None, (100, 0, 0)),
        ((100, 500, 50), (0.25, 0.25), None, (100, 50, 50)),
        ((100, 500, 20), (0.25, 0.25), None, (40, 20, 20)),  # few prompts: fewer of everything
        ((100, 500, 50), (0.25, 0.25), 80, (40, 20, 20)),
        ((100, 500, 50), (0.0, 0.0), 30, (30, 0, 0)),
        ((0, 500, 50), (0.25, 0.25), None, (0, 0, 0)),
    ],
)
def test_as_many_are_taken_as_give_the_shares(
    there: tuple[int, int, int], shares: tuple[float, float], most: int | None, taken: tuple[int, int, int]
) -> None:
    kinds = (JUDGMENT, META_JUDGMENT, INSTRUCTION)
    found = counts(dict(zip(kinds, there, strict=True)), shares_of(*shares), most)
    assert tuple(found[kind] for kind in kinds) == taken


def test_the_figures_show_the_shares_and_the_scores() -> None:
    """Of 2 instructions of a share of a half, 2 judgments are left of 5; the other 3 are dropped for the share."""
    found = dataset(instructions=0.5)
    figures = eft_numbers(found.rows, found.dropped)
    assert (figures["examples"], figures["judgments"], figures["instructions"]) == (4, 2, 2)
    assert (figures["share of judgments"], figures["share of instructions"]) == (0.5, 0.5)
    assert said(found) == {"kind_share": 3}


def test_the_figures_show_the_commonest_score_before_and_after() -> None:
    """Three fives, one one: two fives of three go."""
    found = dataset(judged([5, 5, 1], [5, None, None], [5, 5, 5], [4, 4, 3]))
    assert said(found) == {"all_scores_equal": 3, "no_score": 2, "only_score": 1}
    more = dataset(judged([5, 5, 1], [5, 5, 1], [5, 4, 1]))  # 5 five times, 1 three times, 4 once
    figures = eft_numbers(more.rows, more.dropped)
    assert (figures["judgments of score 5 before thinning"], figures["judgments of score 5 after thinning"]) == (5, 3)
    assert (figures["judgments of score 5"], figures["judgments of score 1"], figures["judgments of score 4"]) == (
        3,
        3,
        1,
    )
