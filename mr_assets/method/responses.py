"""The responses: K per prompt (section 3.1), of which identical ones go no further."""

from typing import TypeVar

import polars as pl

from mr_assets.ids import response_ids
from mr_assets.method import Frame
from mr_assets.tables import RESPONSES

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)

# White space, separators, controls and format characters (zero width, byte order mark), and letters without a glyph.
_INVISIBLE = r"[\s\p{Z}\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}]"


def responses(completions: Frame, iteration: int) -> pl.DataFrame:
    """The responses of an iteration, duplicates marked: columns of `RESPONSES`.

    completions: request_id (of the prompt), sample, text, finish_reason, token_ids.
    """
    rows = completions.lazy().select(
        response_id=response_ids(iteration, "request_id", "sample"),
        prompt_id="request_id",
        k=pl.col("sample").cast(pl.Int32),
        response="text",
        finish_reason="finish_reason",
        token_ids="token_ids",
    )
    return mark_duplicates(rows.collect()).select(list(RESPONSES.columns))


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether a text has nothing that can be seen: it is empty, or only white space and invisible characters."""
    return text.str.contains(f"^{_INVISIBLE}*$")


def mark_duplicates(responses: F) -> F:
    """Add ``duplicate_of``: the response_id of the prompt's first identical response by k, null for that one itself.

    Columns in: response_id, prompt_id, k, response. Rows and their order stay as they are: nothing is removed, and k
    is never renumbered.
    """
    first = pl.col("response_id").sort_by("k", "response_id").first().over("prompt_id", "response")
    return responses.with_columns(duplicate_of=pl.when(first != pl.col("response_id")).then(first))
