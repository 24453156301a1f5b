"""A tiny run, with and without its artifacts, for the tests of runs."""

from pathlib import Path

import pytest

from mr_assets.runs.run import Run
from mr_assets.runs.status import places, state
from mr_assets_tests.tiny import complete, tiny_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


@pytest.fixture
def done(run: Run) -> Run:
    """A run of which everything is complete."""
    for asset, partition in places(run):
        complete(run, asset, partition)
    return run


def states(run: Run) -> dict[str, set[str]]:
    """Artifacts by state, those that are done aside."""
    found: dict[str, set[str]] = {}
    for asset, partition in places(run):
        now = state(run, asset, partition)
        if now != "done":
            found.setdefault(now, set()).add(f"{asset} {partition or ''}".strip())
    return found
