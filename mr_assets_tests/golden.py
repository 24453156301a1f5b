"""What the tiny run makes, down to its bits: the version and the first and last id of every artifact.

    python -m mr_assets_tests.golden          makes the run and writes golden.json again

A change of the structure leaves golden.json as it is. A change of the method changes it, and its commit says why.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets.tables import TABLES

GOLDEN = Path(__file__).parent / "golden.json"


def artifacts(run: Run) -> dict[str, dict[str, Any]]:
    """Of every artifact that is there: its version, and of a table the number of rows and the ends of its key."""
    places: list[tuple[str, str | None]] = [(asset, None) for asset in LOOP.per("family")]
    places += [(asset, str(t)) for t in run.iterations for asset in LOOP.per("iteration")]
    places += [("evaluation", model) for model in run.models]
    found = {}
    for asset, partition in places:
        record = run.record(asset, partition)
        if record is None:
            continue
        described: dict[str, Any] = {"version": record.version}
        found[asset if partition is None else f"{asset}[{partition}]"] = described
        if asset in TABLES:
            keys = pl.read_parquet(run.path(asset, partition))[TABLES[asset].key]
            ends = {"first": keys[0], "last": keys[-1]} if keys.len() else {}
            described |= {"rows": keys.len(), **ends}
    return found


def main() -> None:
    """Make the tiny run and write golden.json."""
    from mr_assets.orchestration.steps import steps
    from mr_assets_tests.whole_runs.test_loop import messages, new_world

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root.manager, "disable", logging.WARNING)  # Dagster's own lines
        world = new_world(patch, Path(folder) / "data")
        for step in steps(world.run):
            result = world.materialize(step)
            assert result.success, messages(result)
        GOLDEN.write_text(json.dumps(artifacts(world.run), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
