"""The files of a finished run, read by other people's tools."""

from pathlib import Path

import datasets
import polars as pl
import pytest

from mr_assets.cli.report import reasons_of
from mr_assets.lineage import rows
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets.tables import DROPPED, TABLES, dropped_beside, dropped_path
from mr_assets_tests.lineage.conftest import dropped, table

BY_ITERATION = sorted(set(TABLES).intersection(LOOP.per("iteration")))
SELECTING = ("actor_pairs", "selected_responses", "elo_pairs")


@pytest.mark.parametrize("asset", BY_ITERATION)
@pytest.mark.parametrize("pattern", ["*.parquet", "**/*.parquet"])
def test_a_glob_over_a_table_s_folder_is_the_table(finished: Run, tmp_path: Path, asset: str, pattern: str) -> None:
    """polars and datasets read all iterations at once: nothing but files of one schema matches."""
    files = finished.folder / asset / pattern
    rows = sum(table(finished, asset, t).height for t in finished.iterations)
    read = pl.read_parquet(files)
    TABLES[asset].check(read)
    assert read.height == rows > 0
    loaded = datasets.load_dataset("parquet", data_files=str(files), split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == rows
    assert loaded.column_names == read.columns


def test_what_was_dropped_has_one_schema_too(finished: Run) -> None:
    """All that a run dropped, by one glob."""
    DROPPED.check(pl.read_parquet(finished.folder / "dropped" / "**" / "*.parquet"))


def test_rows_dropped_by_an_earlier_version_are_read_where_they_lie(run: Run) -> None:
    """An earlier version wrote them beside the table: lineage, report and verification find them there."""
    before = {asset: dropped(run, asset) for asset in SELECTING}
    counted = {asset: reasons_of(run, asset, "1") for asset in SELECTING}
    for asset in SELECTING:
        path = run.path(asset, "1")
        dropped_path(path).rename(dropped_beside(path))
    for asset in SELECTING:
        assert rows.dropped(run, asset, "1").equals(before[asset].sort("id", "reason"))
        assert reasons_of(run, asset, "1") == counted[asset]
    assert sum(map(len, counted.values())) > 0
    assert not [fault for fault in verify(run, ["1"], SELECTING)]
