"""Differences of models and of recipes, with their standard errors: what is beyond noise, and what is not.

    true_score, seed to M4: +1.69, standard error 0.11, 95% interval +1.47 to +1.91    better
    judge_exact, seed to M4: +0.01, standard error 0.03, 95% interval -0.05 to +0.07   not told apart from noise

What is measured on the same prompts is compared prompt by prompt where the values are there, and runs of the same seeds
seed by seed. Else the two are taken for independent: that is never too sure, as the same prompts make two models alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean, stdev
from typing import Literal, TypeVar

from mr_assets.method.intervals import Z
from mr_assets.report.measured import Key, Measured
from mr_assets.runs.estimates import Estimate

K = TypeVar("K", str, int)
Verdict = Literal["better", "worse", "moved", "unclear", "unknown"]
_MORE_IS_BETTER = re.compile(
    "accuracy|agreement|kappa|spearman|exact|same_rank|tau_truth|true_score|win_rate|length_controlled|style_controlled"
    "|^(score|first_turn|second_turn)$"
)


def more_is_better(figure: str) -> bool:
    """Whether more of a figure is better. Of all others a change is told, and not called better or worse."""
    return _MORE_IS_BETTER.search(figure) is not None


@dataclass(frozen=True)
class Difference:
    """A difference, its standard error and its 95% interval; None where nothing tells how far it may be off.

    count: how many values it is the mean of; over: what these are, "prompts" or "seeds".
    """

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 1
    over: str = ""

    @property
    def beyond_noise(self) -> bool | None:
        """Whether the interval leaves out 0; None without one."""
        return None if self.low is None or self.high is None else not self.low <= 0 <= self.high


def apart(new: Estimate, old: Estimate) -> Difference:
    """Of two figures that are taken for independent; without an interval if one of them has none."""
    value = new.value - old.value
    if new.error is None or old.error is None:
        return Difference(value)
    error = sqrt(new.error**2 + old.error**2)
    return Difference(value, error, value - Z * error, value + Z * error, 1, "prompts")


def paired(new: Mapping[K, float], old: Mapping[K, float], over: str) -> Difference | None:
    """The mean difference of what both have, pair by pair; None if they share nothing."""
    gaps = [value - old[key] for key, value in new.items() if key in old]
    return mean_difference(gaps, over) if gaps else None


def mean_difference(gaps: Sequence[float], over: str) -> Difference:
    """The mean of differences with Student's 95% interval; without one of a single difference, or of equal ones."""
    from scipy.stats import t

    value, count = fmean(gaps), len(gaps)
    if count < 2 or (spread := stdev(gaps)) == 0:
        return Difference(value, count=count, over=over)
    error = spread / sqrt(count)
    half = float(t.ppf(0.975, count - 1)) * error
    return Difference(value, error, value - half, value + half, count, over)


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of a figure over seeds with Student's 95% interval; without one of a single seed."""
    found = mean_difference(values, "seeds")
    return Estimate(found.value, found.low, found.high)


@dataclass(frozen=True)
class Change:
    """A figure before and after: of two models, or of two recipes at the same model."""

    key: Key
    before: float
    after: float
    difference: Difference

    @property
    def verdict(self) -> Verdict:
        """Better and worse are said only beyond noise, and only of figures of which more is better."""
        beyond = self.difference.beyond_noise
        if beyond is None:
            return "unknown"
        if not beyond:
            return "unclear"
        if not more_is_better(self.key.name):
            return "moved"
        return "better" if self.difference.value > 0 else "worse"


def between_models(runs: Sequence[Measured], new: str, old: str) -> Change | None:
    """A figure of two models, of one run or of several that differ in their seeds; None if it is not known of both.

    runs: the figure in each run. Over several runs each is compared with itself; the noise is that over seeds.
    """
    known = [run for run in runs if new in run.values and old in run.values]
    if not known:
        return None
    before, after = (fmean(run.values[model].value for run in known) for model in (old, new))
    if len(known) == 1:
        difference = _of_one(known[0], new, known[0], old)
    else:
        difference = mean_difference([run.values[new].value - run.values[old].value for run in known], "seeds")
    return Change(known[0].key, before, after, difference)


def between_arms(new: Mapping[int, Measured], old: Mapping[int, Measured], model: str) -> Change | None:
    """A figure of one model under two recipes, each by its runs' seeds; None if one of them lacks it.

    Seed by seed where they share several seeds. Of one run each the noise is that over prompts, which is not all of it:
    another seed gives another run.
    """
    here, there = ({seed: run for seed, run in side.items() if model in run.values} for side in (new, old))
    if not here or not there:
        return None
    means = [fmean(run.values[model].value for run in side.values()) for side in (there, here)]
    values = [{seed: run.values[model].value for seed, run in side.items()} for side in (there, here)]
    shared = here.keys() & there.keys()
    if len(shared) > 1:
        means = [fmean(side[seed] for seed in shared) for side in values]
        difference = paired(values[1], values[0], "seeds")
    elif len(here) == len(there) == 1:
        difference = _of_one(next(iter(here.values())), model, next(iter(there.values())), model)
    else:
        sides = [mean_of([*side.values()]) for side in values]
        difference = replace(apart(sides[1], sides[0]), over="seeds")
    assert difference is not None
    return Change(next(iter(here.values())).key, means[0], means[1], difference)


def _of_one(new: Measured, new_model: str, old: Measured, old_model: str) -> Difference:
    """The difference of two models of one run each, by prompt if that is possible."""
    found = paired(new.by_prompt.get(new_model, {}), old.by_prompt.get(old_model, {}), "prompts")
    if found and found.error is not None:
        return found
    return apart(new.values[new_model], old.values[old_model])
