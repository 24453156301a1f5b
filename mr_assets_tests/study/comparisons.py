"""Paired differences: of two arms with the same seed, and of two models of one arm.

    Meta-Rewarding minus Self-Rewarding, true score of M4, seeds 201 to 205:  0.31, 0.52, 0.44, 0.28, 0.60
    mean 0.43, bootstrap over seeds 0.33 to 0.53, t (4 degrees of freedom) 0.26 to 0.60

Five seeds are few: the bootstrap's interval is then too narrow, and Student's holds if differences are about normal.
Both stand in the tables. A claim goes by the wider one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mr_assets_tests.study.results import Result

FIGURES = {
    "true_score": "actor: true score, 0 to 5",
    "judge_exact": "judge: share of exact scores",
    "characters": "actor: characters per answer",
}
Results = Mapping[tuple[str, int], Result]


class Interval(NamedTuple):
    """From low to high."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The mean of values, one of each seed, with two 95% intervals; None of fewer than two values.

    bootstrap: percentiles of the means of 10,000 resamples of the seeds; student: the t interval.
    """

    values: tuple[float, ...]
    mean: float
    bootstrap: Interval | None
    student: Interval | None

    @property
    def widest(self) -> Interval | None:
        """From the lower of the two lows to the higher of the two highs."""
        if self.bootstrap is None or self.student is None:
            return None
        both = (self.bootstrap, self.student)
        return Interval(min(each.low for each in both), max(each.high for each in both))

    @property
    def shown(self) -> bool:
        """Whether both intervals leave zero on the same side."""
        return self.widest is not None and (self.widest.low > 0 or self.widest.high < 0)


def estimate(values: Sequence[float]) -> Estimate | None:
    """The mean with its intervals; None of no value. Without spread both intervals are the mean itself."""
    import numpy as np
    from scipy.stats import bootstrap, sem, t

    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(tuple(values), mean, None, None)
    if len(set(values)) == 1:
        return Estimate(tuple(values), mean, Interval(mean, mean), Interval(mean, mean))
    drawn = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    student = t.interval(0.95, len(values) - 1, loc=mean, scale=sem(values))
    return Estimate(tuple(values), mean, Interval(*map(float, drawn)), Interval(*map(float, student)))


def seeds_of(results: Results, *arms: str) -> list[int]:
    """The seeds that all of these arms have a result of."""
    return sorted(set.intersection(*({seed for arm, seed in results if arm == name} for name in arms)))


def between(results: Results, left: str, right: str, model: str, figure: str) -> Estimate | None:
    """Left minus right of one figure of one model, paired by seed."""
    return estimate(
        [
            results[left, seed].models[model][figure] - results[right, seed].models[model][figure]
            for seed in seeds_of(results, left, right)
        ]
    )


def within(results: Results, arm: str, first: str, last: str, figure: str) -> Estimate | None:
    """By how much a figure of an arm's `last` model is above that of its `first` one, paired by seed."""
    return estimate(
        [
            results[arm, seed].models[last][figure] - results[arm, seed].models[first][figure]
            for seed in seeds_of(results, arm)
        ]
    )


def unlike(results: Results, left: str, right: str) -> list[str]:
    """What makes pairs of two arms uneven, a sentence each: another kind of CPU, other code, another M0."""
    said = []
    for seed in seeds_of(results, left, right):
        one, other = results[left, seed], results[right, seed]
        if one.cpu != other.cpu:
            said.append(f"seed {seed}: {left} is from {one.cpu}, {right} from {other.cpu}.")
        if code := sorted(asset for asset in one.code if one.code[asset] != other.code.get(asset)):
            said.append(f"seed {seed}: {left} and {right} were made by different code of {', '.join(code)}.")
        if one.models["M0"] != other.models["M0"]:
            said.append(f"seed {seed}: M0 of {left} and of {right} are not the same.")
    return said
