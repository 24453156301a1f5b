"""How far a share that rests on few rows may be off: 95% intervals, of rows that come in groups, too.

    wilson(0.0, 16)      0 of 16: 0 to 0.19
    wilson(0.5, 100)     50 of 100: 0.40 to 0.60

The judgments of one prompt are much alike: a thousand of them from sixteen prompts tell less than a thousand of as many
prompts. So they count as fewer rows, by the design effect of cluster sampling; other figures are worked out again of
prompts that are drawn with replacement (`bootstrap`).
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.method import Frame

Z = 1.959964
"""Standard deviations to either side that hold 95% of a normal distribution."""


class Interval(NamedTuple):
    """The share of `rows` rows that come in `groups` groups, and the 95% interval that it lies in."""

    share: float
    low: float
    high: float
    rows: int
    groups: int


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's (1927) 95% interval of a share that was seen in `count` independent rows; count need not be whole."""
    if count <= 0:
        return 0.0, 1.0
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def share_interval(rows: Frame, hit: pl.Expr, group: pl.Expr) -> Interval | None:
    """The share of rows for which `hit` is true, with its interval; None of no rows.

    group: what rows of one group have in common, such as the prompt. With m_g rows and k_g hits in group g of G and the
    share p, the variance of p is G/(G-1) sum (k_g - p m_g)^2 / (sum m_g)^2 (the ratio estimate of cluster sampling).
    Wilson's interval is taken of as many independent rows as have that variance, p(1-p)/variance, from 1 up to all of
    them. Where p is 0 or 1 there is no variance to see, and each group counts once.
    """
    groups = (
        rows.lazy()
        .select(group=group, hit=hit.fill_null(False).cast(pl.Int64))
        .group_by("group")
        .agg(m=pl.len().cast(pl.Int64), k=pl.col("hit").sum())
        .collect()
    )
    total, g = int(groups["m"].sum()), groups.height
    if not total:
        return None
    share = float(groups["k"].sum()) / total
    count = float(g)
    if 0 < share < 1 and g > 1:
        apart = groups.select(((pl.col("k") - share * pl.col("m")) ** 2).sum()).item()
        variance = g / (g - 1) * float(apart) / total**2
        count = min(max(share * (1 - share) / variance, 1.0), float(total)) if variance > 0 else float(total)
    low, high = wilson(share, count)
    return Interval(share, low, high, total, g)


RESAMPLES = 1000
"""How often groups are drawn anew: the ends of an interval are then off by some 4% of its length."""


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
