"""Ties: where the method orders candidates and some are equal, one is drawn."""

import polars as pl

from mr_assets.tables import draws


def first_of_each(
    candidates: pl.DataFrame, group: str, key: str, seed: str, order: pl.Expr | None = None
) -> pl.DataFrame:
    """Per group the first candidate by `order`; among equals, or without an order, one drawn by `seed`.

    key: the column whose ids the draws belong to, so that neither the order of rows nor other candidates matter.
    """
    draw = pl.Series(draws(candidates[key], seed), dtype=pl.Int64)
    by = [] if order is None else [order]
    drawn = candidates.with_columns(draw=draw).sort(*by, "draw", key)
    return drawn.unique(group, keep="first", maintain_order=True).drop("draw")
