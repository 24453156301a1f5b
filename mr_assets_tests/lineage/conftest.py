"""Copies of the finished run (two iterations, the first trains the judge), and changes of what lies in them."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import dropped_path, version_of
from mr_assets_tests.tiny import copied, tiny_run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy of the finished run."""
    return tiny_run(copied(finished.data, tmp_path / "data"))


Change = Callable[[pl.DataFrame], pl.DataFrame]


def table(run: Run, asset: str, t: str | None = "1") -> pl.DataFrame:
    return pl.read_parquet(run.path(asset, t))


def dropped(run: Run, asset: str, t: str | None = "1") -> pl.DataFrame:
    return pl.read_parquet(dropped_path(run.path(asset, t)))


def change(run: Run, asset: str, with_change: Change, t: str | None = "1") -> None:
    """Change a table where it lies; its record stays as it was."""
    with_change(table(run, asset, t)).write_parquet(run.path(asset, t))


def forge(run: Run, asset: str, with_change: Change, t: str | None = "1") -> None:
    """Change a table, and its record and those of what was made of it, so that no version gives it away."""
    change(run, asset, with_change, t)
    frame, record = table(run, asset, t), run.record(asset, t)
    assert record is not None
    version = version_of(frame)
    _write(run, asset, t, version=version, rows=frame.height)
    for path in run.data.glob("tiny/*/*.json"):
        made = json.loads(path.read_text())
        if made["inputs"].get(asset) == record.version:
            path.write_text(json.dumps(made | {"inputs": made["inputs"] | {asset: version}}))


def with_hostile_texts(run: Run, text: str) -> None:
    """Every sampled text and every prompt of iteration 1 is `text`."""
    texts = {"prompts": "prompt", "responses": "response", "judgments": "judgment", "meta_judgments": "meta_judgment"}
    for asset, column in texts.items():
        table(run, asset).with_columns(pl.lit(text).alias(column)).write_parquet(run.path(asset, "1"))


def rematerialized(run: Run, asset: str, t: str | None = "1") -> None:
    """The record of an artifact that another Dagster run made again, with other content."""
    _write(run, asset, t, version="another", run_id="later")


def _write(run: Run, asset: str, t: str | None, **fields: object) -> None:
    record = run.record(asset, t)
    assert record is not None
    changed = replace(record, **fields)  # type: ignore[arg-type]
    run.record_path(asset, t).write_text(json.dumps(asdict(changed)))
