"""The rows of one prompt, read from tables of any size.

Ids begin with iteration and prompt, so that all rows of a prompt lie in one range of ids, and the rows of a table are
in the order of prompts. The filter reaches the parquet reader: it skips row groups whose bounds leave the range out,
reads the ids of the others, and takes the other columns of the rows that are left alone. Token ids are not read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import of_prompt
from mr_assets.loop import titled
from mr_assets.runs.run import Run
from mr_assets.tables import (
    DROPPED,
    GENERATED_PROMPTS,
    REWARD_MARGINS,
    TABLES,
    scan_dropped,
)
from mr_assets.training.margins import scan_margins

_NOTHING = DROPPED.empty()


def read(
    run: Run, asset: str, t: str | None, columns: Sequence[str] | None = None, where: pl.Expr | None = None
) -> pl.DataFrame:
    """Columns (None: all) of a table of iteration `t`, of the rows for which `where` holds (None: of every row).

    t is None of what is made once.
    Raises `UserError` if it cannot be read or is of another version's columns.
    """
    with _said(run, asset, t):
        rows = TABLES[asset].scan(run.path(asset, t))
        rows = rows if where is None else rows.filter(where)
        return (rows if columns is None else rows.select(columns)).collect()


@contextmanager
def _said(run: Run, asset: str, t: str | None) -> Iterator[None]:
    """Turns what polars makes of a file that is gone or damaged (it panics, too) into the user's error."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        what = f"{titled(asset, t)} of run {run.name}"
        why = "the file is damaged" if isinstance(error, pl.exceptions.PanicException) else error
        raise UserError(f"{what} cannot be read: {why}. Materialize it again.") from error


def has_row(run: Run, asset: str, t: str | None, identity: str) -> bool:
    """Whether a table has a row of that id."""
    key = TABLES[asset].key
    return not read(run, asset, t, [key], pl.col(key) == identity).is_empty()


def rows_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.DataFrame:
    """A prompt's rows of a table of iteration `t`, sorted by id, which is the first column; without token ids."""
    key = TABLES[asset].key
    columns = [c for c in TABLES[asset].columns if c != key and not c.endswith("token_ids")]
    wanted = pl.col(key) == prompt_id if key == "prompt_id" else of_prompt(key, t, prompt_id)
    return read(run, asset, t, [key, *columns], wanted).sort(key)


def generated_row(run: Run, prompt_id: str) -> list[dict[str, Any]]:
    """The row of a prompt that a model made, without the answer; none if the table does not have it."""
    with _said(run, "generated_prompts", None):
        rows = GENERATED_PROMPTS.scan(run.path("generated_prompts")).filter(pl.col("prompt_id") == prompt_id)
        return rows.select("request_id", "shown").collect().to_dicts()


def ids_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.Series:
    """The ids of a prompt's rows alone."""
    key = TABLES[asset].key
    return read(run, asset, t, [key], of_prompt(key, t, prompt_id))[key].sort()


def dropped(run: Run, asset: str, t: str | None, where: pl.Expr | None = None) -> pl.DataFrame:
    """What an asset dropped: rows of `DROPPED`, sorted by id; none if it drops nothing. Raises as `read` does.

    t is None of what is made once.

    Where the record says that nothing was dropped, and its files are as they were written, none is read: most assets of
    a sound run drop nothing.
    """
    if (record := run.record(asset, t)) and record.dropped == 0 and not run.damage(asset, t):
        return _NOTHING
    with _said(run, asset, t):
        rows = scan_dropped(run.path(asset, t))
        return (rows if where is None else rows.filter(where)).collect().sort("id", "reason")


def dropped_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.DataFrame:
    """What an asset dropped of a prompt and its descendants: rows of `DROPPED`."""
    return dropped(run, asset, t, (pl.col("id") == prompt_id) | of_prompt("id", t, prompt_id))


def margins(run: Run, t: str, where: pl.Expr | None = None) -> pl.DataFrame:
    """The reward margins of pairs under M_t: rows of `REWARD_MARGINS`; none if they are not recorded."""
    with _said(run, "checkpoints", t):
        found = scan_margins(run.path("checkpoints", t))
        rows = (REWARD_MARGINS.empty() if found is None else found).lazy()
        return (rows if where is None else rows.filter(where)).collect()


def margins_of(run: Run, t: str, prompt_id: str) -> pl.DataFrame:
    """The reward margins of a prompt's pairs under M_t, as `margins` gives them."""
    return margins(run, t, of_prompt("pair_id", t, prompt_id))
