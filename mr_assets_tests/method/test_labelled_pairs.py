import polars as pl
import pytest

from mr_assets.method.labelled_pairs import (
    MOST_CATEGORIES,
    PAIRWISE_VERDICTS,
    answers,
    in_both_orders,
    labelled_pair_numbers,
    labelled_pairs,
    with_verdicts,
)
from mr_assets.method.meta_judgments import parse_winner
from mr_assets.tables import LABELLED_PAIRS

Scores = list[float | None] | None
Row = tuple[str | None, Scores, Scores, str | None, str | None]
TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "category": pl.String,
    "chosen_scores": pl.List(pl.Float64),
    "rejected_scores": pl.List(pl.Float64),
    "chosen_first": pl.String,
    "rejected_first": pl.String,
}


def pairs(*rows: Row) -> pl.DataFrame:
    """Pairs of prompts "0", "1", ... with what both judges said."""
    frame = pl.DataFrame(list(rows), schema=TYPES, orient="row")
    return with_verdicts(frame.with_columns(prompt=pl.Series([str(n) for n in range(len(rows))])))


MATH: Row = ("math", [5.0], [1.0, None], "first", "second")
CODING: Row = ("coding", [3.0], [3.0], "first", "first")
UNSAID: Row = (None, [None], [2.0], "second", "first")
TOO_LONG: Row = ("math", [5.0], None, "too_long", "first")


def test_verdicts_by_hand() -> None:
    found = pairs(MATH, CODING, UNSAID, TOO_LONG)
    assert found["verdict"].to_list() == ["right", "tie", "tie", None]
    assert found["pairwise_verdict"].to_list() == ["right", "tie", "wrong", None]
    assert found["accuracy"].to_list() == [1.0, 0.5, 0.5, None]
    assert found["pairwise_accuracy"].to_list() == [1.0, 0.5, 0.0, None]
    assert found["chosen_mean"].to_list() == [5.0, 3.0, None, 5.0]
    assert found["rejected_mean"].to_list() == [1.0, 3.0, 2.0, None]


def test_what_was_asked_is_put_beside_its_pair() -> None:
    """Two pairs: scores of both chosen sides, then of the rejected ones; winners with chosen first, then rejected."""
    given = pl.DataFrame(
        {"pair_id": ["1", "2"], "category": ["math", None], "prompt": ["p", "q"]}
        | {"chosen": ["good", "well"], "rejected": ["bad", "ill"]}
    )
    assert answers(given) == [("p", "good"), ("q", "well"), ("p", "bad"), ("q", "ill")]
    orders = [("good", "bad"), ("well", "ill"), ("bad", "good"), ("ill", "well")]
    assert [(each["response_a"], each["response_b"]) for each in in_both_orders(given)] == orders
    scores: list[list[float | None]] = [[5.0], [3.0], [1.0], []]
    winners: list[list[str | None]] = [["first"], [None], ["second"], []]
    found = labelled_pairs(given, scores, winners)
    assert list(found.columns) == list(LABELLED_PAIRS.columns)
    assert found["rejected_scores"].to_list() == [[1.0], None]
    assert found["chosen_first"].to_list() == ["first", "none"]
    assert found["rejected_first"].to_list() == ["second", "too_long"]
    assert found["verdict"].to_list() == ["right", None]
    assert labelled_pairs(given, scores, None)["pairwise_verdict"].null_count() == 2


def test_figures_by_hand() -> None:
    found = labelled_pair_numbers(pairs(MATH, CODING, UNSAID, TOO_LONG))
    assert (found["pairs"], found["too_long"], found["pairwise_too_long"]) == (4, 1, 1)
    assert found["accuracy"] == pytest.approx(2 / 3)  # one right, two ties
    assert found["accuracy_without_ties"] == 1.0
    assert found["ties"] == pytest.approx(2 / 3)
    assert (found["accuracy of math"], found["accuracy of coding"]) == (1.0, 0.5)
    assert found["pairwise_accuracy"] == 0.5  # one right, one wrong, one tie
    assert found["parse_rate"] == pytest.approx(6 / 8)  # of all judgments that were sampled
    assert found["pairwise_parse_rate"] == 1.0
    assert found["pairwise_first"] == pytest.approx(4 / 6)  # first, second; first, first; second, first


def test_every_share_has_its_interval() -> None:
    found = labelled_pair_numbers(pairs(MATH, CODING, UNSAID))
    for name in (n for n in found if not n.endswith(("_low", "_high")) and n not in ("pairs", "too_long")):
        if name != "pairwise_too_long":
            assert 0 <= found[f"{name}_low"] <= found[name] <= found[f"{name}_high"] <= 1


def test_without_the_pairwise_judge_there_are_none_of_its_figures() -> None:
    found = labelled_pair_numbers(pairs(("math", [5.0], [1.0], None, None)))
    assert not [name for name in found if name.startswith("pairwise")]


def test_a_judge_that_names_no_winner_has_ties_and_no_share_of_first() -> None:
    found = labelled_pair_numbers(pairs((None, [5.0], [1.0], "none", "none")))
    assert found["pairwise_accuracy"] == 0.5
    assert found["pairwise_parse_rate"] == 0.0
    assert found["pairwise_first"] != found["pairwise_first"]  # it is NaN


def test_the_most_frequent_categories_have_figures() -> None:
    rare: list[Row] = [(f"rare {n:02}", [5.0], [1.0], None, None) for n in range(MOST_CATEGORIES)]
    often: list[Row] = [("often", [5.0], [1.0], None, None)] * 2
    found = labelled_pair_numbers(pairs(*rare, *often))
    named = [name for name in found if name.startswith("accuracy of ") and not name.endswith(("_low", "_high"))]
    assert len(named) == MOST_CATEGORIES
    assert "accuracy of often" in named
    assert f"accuracy of rare {MOST_CATEGORIES - 1}" not in named


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("A is vague.\n\nWinner: Response B", "second"),
        ("**Winner:** [Response A]", "first"),
        ("Winner: Response A is better than Response B", "first"),
        ("Winner: Tie", None),
        ("Winner: [Response A | Response B]", None),
        ("Response A is better.", None),
    ],
)
def test_the_pairwise_verdict_is_read_as_a_meta_judgments(text: str, winner: str | None) -> None:
    assert parse_winner(text, PAIRWISE_VERDICTS)[0] == winner
