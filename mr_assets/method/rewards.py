"""Rewards as judgments: one per response, whose text is the reward and whose score is that number.

    "-1.8125"      score -1.8125

A reward has no scale and no words; what is said of it is in `mr_assets.sampling.reward_model`.
"""

from typing import TypeVar

import polars as pl

from mr_assets.ids import judgment_ids
from mr_assets.method import Frame
from mr_assets.tables import JUDGMENTS

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


def rewards(completions: Frame) -> pl.LazyFrame:
    """The rewards of responses as their judgments, lazily: columns of `JUDGMENTS`.

    completions: request_id (of the response), sample, text, finish_reason, token_ids.
    """
    rows = completions.lazy().select(
        judgment_id=judgment_ids("request_id", "sample"),
        response_id="request_id",
        n=pl.col("sample").cast(pl.Int32),
        judgment="text",
        finish_reason="finish_reason",
        token_ids="token_ids",
    )
    return with_rewards(rows).select(list(JUDGMENTS.columns))


def with_rewards(judgments: F) -> F:
    """Add ``score``, the number that each ``judgment`` is, and ``invalid``, which is always null."""
    return judgments.with_columns(score=pl.col("judgment").cast(pl.Float64), invalid=pl.lit(None, pl.String))
