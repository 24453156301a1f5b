"""The method's pure functions, one file per noun as in the UI: polars and numpy in, polars and numpy out.

Every function takes its tables as data frames or lazy frames and reads only the columns that it needs, so that a table
scanned from parquet is never in memory as a whole. Nothing depends on the order of rows: where the method draws at
random, the draw belongs to an id and a seed (`mr_assets.tables.draws`).
"""

from typing import Literal

import polars as pl

Frame = pl.DataFrame | pl.LazyFrame
CutOff = Literal["never_chosen", "eligible"]
"""Whether a completion that was cut off at max tokens may be the chosen one of a pair (row 14)."""
JudgePairs = Literal["as_ranked", "shuffled"]
"""Whether the better judgment of a judge pair is the chosen one, or a coin says which (row 30)."""

DECIMALS = 9
"""Means and variances are rounded to so many decimals before they are compared (float noise would break ties)."""
