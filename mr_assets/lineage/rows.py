"""The rows of one prompt, read from tables of any size.

Ids begin with iteration and prompt, so that all rows of a prompt lie in one range of ids. The filter reaches the
parquet reader: it reads the column of ids, skips row groups whose bounds leave the range out, and takes the other
columns of the rows that are left alone. Token ids are not read.
"""

import polars as pl

from mr_assets.errors import UserError
from mr_assets.runs import Run
from mr_assets.status import titled
from mr_assets.tables import DROPPED, REWARD_MARGINS, TABLES
from mr_assets.training.margins import scan_margins


def scanned(run: Run, asset: str, t: str) -> pl.LazyFrame:
    """A table of iteration `t`, lazily. Raises `UserError` if it cannot be read or is of another version's columns."""
    try:
        return TABLES[asset].scan(run.path(asset, t))
    except (OSError, pl.exceptions.PolarsError) as error:
        what = f"{titled(asset, t)} of run {run.name}"
        raise UserError(f"{what} cannot be read: {error}. Materialize it again.") from error


def has_row(run: Run, asset: str, t: str, identity: str) -> bool:
    """Whether a table has a row of that id."""
    there = scanned(run, asset, t).filter(pl.col(TABLES[asset].key) == identity)
    return bool(there.select(pl.len()).collect().item())


def rows_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.DataFrame:
    """A prompt's rows of a table of iteration `t`, sorted by id, which is the first column; without token ids."""
    key = TABLES[asset].key
    columns = [c for c in TABLES[asset].columns if c != key and not c.endswith("token_ids")]
    wanted = pl.col(key) == prompt_id if key == "prompt_id" else of_prompt(key, t, prompt_id)
    return scanned(run, asset, t).filter(wanted).select(key, *columns).collect().sort(key)


def ids_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.Series:
    """The ids of a prompt's rows alone."""
    key = TABLES[asset].key
    return scanned(run, asset, t).select(key).filter(of_prompt(key, t, prompt_id)).collect()[key].sort()


def dropped_of(run: Run, asset: str, t: str, prompt_id: str) -> pl.DataFrame:
    """What an asset left out of a prompt and its descendants: rows of `DROPPED`; none if it leaves nothing out."""
    path = run.path(asset, t).with_suffix(".dropped.parquet")
    if not path.exists():
        return DROPPED.empty()
    wanted = (pl.col("id") == prompt_id) | of_prompt("id", t, prompt_id)
    return pl.scan_parquet(path).filter(wanted).collect().sort("id", "reason")


def margins_of(run: Run, t: str, prompt_id: str) -> pl.DataFrame:
    """The reward margins of a prompt's pairs under M_t: rows of `REWARD_MARGINS`; none if they are not recorded."""
    margins = scan_margins(run.path("checkpoints", t))
    return REWARD_MARGINS.empty() if margins is None else margins.filter(of_prompt("pair_id", t, prompt_id)).collect()


def of_prompt(key: str, t: str, prompt_id: str) -> pl.Expr:
    """Whether an id comes of a prompt in iteration `t`; as bounds, which row groups can be held against."""
    return (pl.col(key) >= f"{t}.{prompt_id}.") & (pl.col(key) < f"{t}.{prompt_id}/")  # "/" follows "." in ASCII
