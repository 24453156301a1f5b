"""How far figures of a sample may be from the whole, whatever they are: worked out again of groups that are drawn.

    bootstrap(lambda drawn: float(means[drawn].mean()), len(means))      (3.1, 3.6)

Groups are prompts, as a rule, and drawn with replacement.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

RESAMPLES = 1000
"""How often groups are drawn: the ends of an interval are then off by some 4% of its length."""


def bootstrap(statistic: Callable[[NDArray[np.intp]], float], groups: int) -> tuple[float, float]:
    """The 95% percentile interval of a statistic of rows that come in `groups` groups, such as prompts; NaN of none.

    statistic: takes the places of the groups drawn, (groups,) from 0 on, some of them several times. A draw of which it
    is NaN does not count. The same draws every time.
    """
    return bootstraps(lambda drawn: (statistic(drawn),), groups)[0] if groups > 0 else (float("nan"), float("nan"))


def bootstraps(statistic: Callable[[NDArray[np.intp]], Sequence[float]], groups: int) -> list[tuple[float, float]]:
    """The same of several figures that are found together, in their order; of at least one group."""
    random = np.random.default_rng(0)
    draws = [statistic(random.integers(groups, size=groups)) for _ in range(RESAMPLES)]
    return [_ends(values[~np.isnan(values)]) for values in np.array(draws, dtype=np.float64).T]


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    """What holds 95% of the values; NaN of none."""
    low, high = np.quantile(values, (0.025, 0.975)) if len(values) else (float("nan"), float("nan"))
    return float(low), float(high)


def mean_interval(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95% bootstrap interval of the mean of all values; a group may have none. NaN of no value."""
    filled = [group for group in groups if len(group)]
    sums, counts = np.array([sum(group) for group in filled]), np.array([len(group) for group in filled])
    return bootstrap(lambda drawn: float(sums[drawn].sum() / counts[drawn].sum()), len(filled))


def mean_with_interval(name: str, rows: pl.DataFrame, column: str, group: str = "prompt_id") -> dict[str, float | None]:
    """The mean of a column, null values aside, by its name, with X_low and X_high over the groups; None of no value."""
    given = rows.filter(pl.col(column).is_not_null() & pl.col(column).is_not_nan())
    if given.is_empty():
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    per_group = given.group_by(group, maintain_order=True).agg(pl.col(column).cast(pl.Float64))
    low, high = mean_interval(per_group[column].to_list())
    return {name: float(np.mean(given[column].to_numpy())), f"{name}_low": low, f"{name}_high": high}
