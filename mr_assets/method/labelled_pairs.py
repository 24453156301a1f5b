"""Labelled pairs: a judge is held against pairs of which it is known which response is better (JudgeBench, say).

    pointwise    the mean of N scores of each response; the higher one wins, equal means are a tie
    pairwise     both responses in one prompt, in both orders; orders that disagree are a tie

A tie counts half for the accuracy, and not at all for the accuracy without ties (`mr_assets.method.agreement`).
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from mr_assets.ids import prompt_id
from mr_assets.judging import Verdicts
from mr_assets.method.agreement import (
    WORTH,
    mean_score,
    parse_rate,
    share,
    share_numbers,
    share_of_ties,
    share_right,
    share_right_of_decided,
    sums_with_interval,
    verdict,
    verdict_of_both,
)
from mr_assets.tables import LABELLED_PAIRS

SIDES = ("chosen", "rejected")
PAIRWISE_VERDICTS = Verdicts("Winner", "Response A", "Response B")
"""How the pairwise prompt (`mr_assets.templates`) asks for the winner."""
NO_WINNER, TOO_LONG = "none", "too_long"
MOST_CATEGORIES = 20
"""Categories that have figures of their own: so many of the most frequent ones."""
ACCURACY = {"accuracy": "verdict", "pairwise_accuracy": "pairwise_verdict"}
SHARES = {"accuracy": share_right, "accuracy_without_ties": share_right_of_decided, "ties": share_of_ties}


def answers(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    """What is scored: (prompt, response) of the chosen side of every pair, then of the rejected one."""
    return [row for side in SIDES for row in pairs.select("prompt", side).iter_rows()]


def in_both_orders(pairs: pl.DataFrame) -> list[dict[str, str]]:
    """What fills the pairwise prompt: every pair with the chosen response first, then with the rejected one first."""
    return [
        {"prompt": row["prompt"], "response_a": row[first], "response_b": row[second]}
        for first, second in (SIDES, SIDES[::-1])
        for row in pairs.iter_rows(named=True)
    ]


def labelled_pairs(
    pairs: pl.DataFrame, scores: Sequence[Sequence[float | None]], winners: Sequence[Sequence[str | None]] | None
) -> pl.DataFrame:
    """The pairs as they were judged, columns of `LABELLED_PAIRS`.

    pairs: pair_id, category, prompt, chosen, rejected. scores: of each of `answers`; winners: of each of
    `in_both_orders`, None if nothing was asked. What did not fit into the context has an empty list.
    """
    ids = pl.Series("prompt_id", [prompt_id(prompt) for prompt in pairs["prompt"]])
    said: list[str | None] = [None] * (2 * pairs.height)
    if winners is not None:
        said = [each[0] or NO_WINNER if each else TOO_LONG for each in winners]
    scored = _by_side([each or None for each in scores], "{}_scores", pl.List(pl.Float64))
    judged = pairs.with_columns(ids, *scored, *_by_side(said, "{}_first", pl.String))
    return with_verdicts(judged).select(list(LABELLED_PAIRS.columns))


def _by_side(values: Sequence[object], name: str, dtype: pl.DataType | type[pl.DataType]) -> list[pl.Series]:
    """Values of one side after the other as a column for each."""
    half = len(values) // 2
    parts = zip(SIDES, (values[:half], values[half:]), strict=True)
    return [pl.Series(name.format(side), part, dtype=dtype) for side, part in parts]


def with_verdicts(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs with the mean of each side's valid scores, what both judges say, and what that is worth.

    pairs: columns of `LABELLED_PAIRS`. A verdict is null where one of its questions was not asked, or was too long.
    """
    found: dict[str, list[Any]] = {name: [] for name in ("chosen_mean", "rejected_mean", "verdict", "pairwise_verdict")}
    asked = pairs.select("chosen_scores", "rejected_scores", "chosen_first", "rejected_first")
    for chosen, rejected, *winners in asked.iter_rows():
        means = [None if scores is None else mean_score(scores) for scores in (chosen, rejected)]
        found["chosen_mean"].append(means[0])
        found["rejected_mean"].append(means[1])
        found["verdict"].append(None if None in (chosen, rejected) else verdict(*means))
        found["pairwise_verdict"].append(None if {None, TOO_LONG} & {*winners} else verdict_of_both(*winners))
    types = {name: pl.Float64 if name.endswith("mean") else pl.String for name in found}
    judged = pairs.with_columns(pl.Series(name, values, types[name]) for name, values in found.items())
    return judged.with_columns(
        pl.col(verdicts).replace_strict(WORTH, return_dtype=pl.Float64).alias(name)
        for name, verdicts in ACCURACY.items()
    )


def labelled_pair_numbers(pairs: pl.DataFrame) -> dict[str, float]:
    """Accuracy, accuracy without ties, share of ties, and accuracy by category, each with X_low and X_high.

    pairs: columns of `LABELLED_PAIRS`. The pairwise judge's begin with ``pairwise_`` and are there if it was asked. A
    pair that does not fit into the context counts in ``too_long`` alone.
    """
    found: dict[str, float] = {"pairs": pairs.height, **_judged(pairs, "verdict", ""), **_parse_rate(pairs)}
    if pairs["chosen_first"].null_count() < pairs.height:
        found |= _judged(pairs, "pairwise_verdict", "pairwise_") | _pairwise_numbers(pairs)
    return found


def _judged(pairs: pl.DataFrame, column: str, prefix: str) -> dict[str, float]:
    """The figures of one judge, whose verdicts are in `column`."""
    judged = pairs.filter(pl.col(column).is_not_null())
    named = {prefix + name: share for name, share in SHARES.items()}
    found: dict[str, float] = {f"{prefix}too_long": pairs.height - judged.height}
    found |= share_numbers(judged[column].to_list(), judged["prompt"], named)
    for category in _categories(judged):
        of_it = judged.filter(pl.col("category") == category)
        named = {f"{prefix}accuracy of {category}": share_right}
        found |= share_numbers(of_it[column].to_list(), of_it["prompt"], named)
    return found


def _categories(pairs: pl.DataFrame) -> list[str]:
    """The most frequent categories, by name."""
    counted = pairs.drop_nulls("category").group_by("category").len().sort("len", "category", descending=[True, False])
    return sorted(counted["category"].head(MOST_CATEGORIES))


def _pairwise_numbers(pairs: pl.DataFrame) -> dict[str, float]:
    """The share of the pairwise judge's verdicts that name a winner, and of these for the first; 0.5 is no bias."""
    judged = pairs.filter(pl.col("pairwise_verdict").is_not_null())
    orders = pl.concat([judged.select("prompt", winner=order) for order in ("chosen_first", "rejected_first")])
    winner = pl.col("winner")
    counted = orders.group_by("prompt").agg(
        first=(winner == "first").sum(), named=(winner != NO_WINNER).sum(), verdicts=pl.len()
    )
    counted = counted.sort("prompt")
    return sums_with_interval({"pairwise_parse_rate": share}, counted.select("named", "verdicts")) | sums_with_interval(
        {"pairwise_first": share}, counted.select("first", "named")
    )


def _parse_rate(pairs: pl.DataFrame) -> dict[str, float]:
    """The share of the judgments of both sides that give a score."""
    sides = pl.concat([pairs.select("prompt", score=f"{side}_scores") for side in ("chosen", "rejected")])
    return parse_rate(sides.drop_nulls("score"), "prompt")
