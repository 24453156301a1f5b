"""How far a share that rests on few rows may be off: 95% intervals, of rows that come in groups, too.

    wilson(0.0, 16)      0 of 16: 0 to 0.19
    wilson(0.5, 100)     50 of 100: 0.40 to 0.60

The judgments of one prompt are much alike: a thousand of them from sixteen prompts tell less than a thousand of as many
prompts. So they count as fewer rows, by the design effect of cluster sampling. Other figures than shares have those of
`mr_assets.method.bootstrap`. This module takes no numpy, as commands that only read do not.
"""

from math import sqrt
from typing import NamedTuple

import polars as pl

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
