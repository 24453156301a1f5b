"""The responses: K per prompt (section 3.1), of which identical ones are left out of what follows."""

from typing import TypeVar

import polars as pl

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


def mark_duplicates(responses: F) -> F:
    """Add ``duplicate_of``: the response_id of the prompt's first identical response by k, null for that one itself.

    Columns in: response_id, prompt_id, k, response. Rows and their order stay as they are: nothing is removed, and k
    is never renumbered.
    """
    first = pl.col("response_id").sort_by("k", "response_id").first().over("prompt_id", "response")
    return responses.with_columns(duplicate_of=pl.when(first != pl.col("response_id")).then(first))
