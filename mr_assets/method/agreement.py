"""What a judge says of pairs of which it is known which response is better, and the shares that sum it up.

    means 4 and 2    right        4 and 4    tie        2 and 4    wrong        4 and none    tie
    right, right, wrong, tie      0.625 right where a tie is half of one, 2/3 without ties

A side without any valid score is preferred by nobody: a tie. Every interval is 95%, by a bootstrap over prompts, since
pairs of one prompt are not independent.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.method import DECIMALS
from mr_assets.method.bootstrap import bootstrap

Counts = NDArray[np.float64]  # summed up over prompts: of a pair's verdicts right, ties and pairs
RIGHT, WRONG, TIE = "right", "wrong", "tie"
WORTH = {RIGHT: 1.0, TIE: 0.5, WRONG: 0.0}


def mean_score(scores: Sequence[float | None]) -> float | None:
    """The mean of the valid scores; None if there is none. Rounded, so that equal means are equal numbers."""
    valid = [score for score in scores if score is not None]
    return round(float(np.mean(valid)), DECIMALS) if valid else None


def verdict(chosen: float | None, rejected: float | None) -> str:
    """What the mean scores of a pair say: right if the chosen one's is higher; a tie if either has none."""
    if chosen is None or rejected is None or chosen == rejected:
        return TIE
    return RIGHT if chosen > rejected else WRONG


def verdict_of_both(chosen_first: str | None, rejected_first: str | None) -> str:
    """What a pairwise judge says that was asked in both orders: orders that disagree, or name no winner, are a tie.

    chosen_first: the winner, "first" or "second", where the chosen response was shown first; rejected_first: the other
    way round.
    """
    if (chosen_first, rejected_first) == ("first", "second"):
        return RIGHT
    return WRONG if (chosen_first, rejected_first) == ("second", "first") else TIE


def share(counts: Counts) -> float:
    """The first of two counts as a share of the second."""
    return float(counts[0] / counts[1]) if counts[1] else float("nan")


def share_right(counts: Counts) -> float:
    """The share of pairs that are right, a tie being half of one."""
    right, ties, pairs = counts
    return float((right + ties / 2) / pairs) if pairs else float("nan")


def share_right_of_decided(counts: Counts) -> float:
    """The share of pairs that are right of those that are no ties."""
    right, ties, pairs = counts
    return float(right / (pairs - ties)) if pairs > ties else float("nan")


def share_of_ties(counts: Counts) -> float:
    """The share of pairs that the judge calls a tie."""
    return float(counts[1] / counts[2]) if counts[2] else float("nan")


def kappa(counts: Counts) -> float:
    """Cohen's (1960) kappa between judge and people, whose answers are: the first is better, the second is, a tie.

    Which reply of a pair is the first says nothing, so each pair is taken in both orders. Then people say "first" half
    of the time and never a tie, and the judge, with the share t of ties, says it (1 - t)/2 of the time: by chance they
    would agree on (1 - t)/2. Without ties kappa is twice the agreement less 1.
    """
    right, ties, pairs = counts
    if not pairs:
        return float("nan")
    chance = (1 - ties / pairs) / 2
    return float((right / pairs - chance) / (1 - chance))


def share_numbers(
    verdicts: Sequence[str], prompts: pl.Series, shares: Mapping[str, Callable[[Counts], float]]
) -> dict[str, float]:
    """Shares of the pairs' verdicts, by name, each with X_low and X_high. prompts: the prompt of each pair."""
    frame = pl.DataFrame({"prompt": prompts, "verdict": verdicts}, schema_overrides={"verdict": pl.String})
    counted = frame.group_by("prompt").agg(
        right=(pl.col("verdict") == RIGHT).sum(), ties=(pl.col("verdict") == TIE).sum(), pairs=pl.len()
    )
    return sums_with_interval(shares, counted.sort("prompt").drop("prompt"))


def parse_rate(scores: pl.DataFrame, prompt: str) -> dict[str, float]:
    """The share of judgments that give a score, with its interval. scores: columns `prompt` and score, a list each."""
    each = scores.explode("score").group_by(prompt).agg(pl.col("score").count(), judgments=pl.len())
    return sums_with_interval({"parse_rate": share}, each.sort(prompt).drop(prompt))


def sums_with_interval(statistics: Mapping[str, Callable[[Counts], float]], counted: pl.DataFrame) -> dict[str, float]:
    """Statistics of the sums of counts, by name, each with X_low and X_high. counted: a row for each prompt."""
    counts = counted.cast(pl.Float64).to_numpy()

    def of_drawn(statistic: Callable[[Counts], float]) -> Callable[[NDArray[np.intp]], float]:
        return lambda drawn: statistic(counts[drawn].sum(axis=0))

    found: dict[str, float] = {}
    for name, statistic in statistics.items():
        found |= with_interval(name, of_drawn(statistic), len(counts))
    return found


def with_interval(name: str, statistic: Callable[[NDArray[np.intp]], float], groups: int) -> dict[str, float]:
    """A statistic of all groups by its name, and its bootstrap interval as name_low and name_high."""
    low, high = bootstrap(statistic, groups)
    value = statistic(np.arange(groups)) if groups else float("nan")
    return {name: value, f"{name}_low": low, f"{name}_high": high}
