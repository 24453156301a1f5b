"""Whether Dagster's history has something to tell, seen without Dagster, and never missed."""

import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from mr_assets.orchestration.glance import nothing_to_tell
from mr_assets.orchestration.instance import instance
from mr_assets.runs.stored import save
from mr_assets_tests.real_run import PROJECT
from mr_assets_tests.tiny import tiny_run

STATUSES = [status for status in dg.DagsterRunStatus if status.value != "QUEUED"]  # to queue takes a code location
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
MINE, OTHERS = "tiny", "tiny_2"


@pytest.fixture
def home(tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(fresh_home, tmp_path / ".dagster")
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("MR_POSTGRES", raising=False)
    return tmp_path / ".dagster"


def noted(namespace: str, status: dg.DagsterRunStatus) -> None:
    """Have Dagster note a run of an asset."""
    with instance() as history:
        keys = frozenset([dg.AssetKey([namespace, "responses"])])
        create_run_for_test(history, status=status, asset_selection=keys)


def test_a_fresh_history_and_none_at_all(home: Path) -> None:
    assert nothing_to_tell([MINE])
    shutil.rmtree(home)
    assert nothing_to_tell([MINE])
    assert not (home / "history").exists(), "to look makes none"


@pytest.mark.parametrize("status", STATUSES)
def test_what_ended_well_or_concerns_others_is_nothing(home: Path, status: dg.DagsterRunStatus) -> None:
    """A Dagster run that has not ended counts whatever it is of: its process may be gone, which would be noted."""
    noted(OTHERS, status)
    assert nothing_to_tell([MINE]) == (status in ENDED)
    noted(MINE, status)
    assert nothing_to_tell([MINE]) == (status == dg.DagsterRunStatus.SUCCESS)
    assert nothing_to_tell(["its_family", MINE]) == (status == dg.DagsterRunStatus.SUCCESS)


def test_where_it_cannot_be_seen_dagster_looks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another storage may be named in settings that somebody edited; a file may be none of SQLite's."""
    settings, runs = home / "dagster.yaml", home / "history" / "runs.db"
    shipped = settings.read_text()
    settings.write_text(f"{shipped}storage:\n  sqlite:\n    base_dir: /elsewhere\n")
    assert not nothing_to_tell([MINE])
    settings.write_text(shipped)
    assert nothing_to_tell([MINE])
    runs.write_bytes(b"no database" * 1000)
    assert not nothing_to_tell([MINE])
    monkeypatch.setenv("MR_POSTGRES", "postgresql://mr@db.internal/dagster")
    assert not nothing_to_tell([MINE])


@pytest.mark.slow
def test_status_loads_dagster_only_then(home: Path) -> None:
    save(tiny_run(home.parent))
    program = "\n".join(
        [
            "import sys, mr_assets.cli.main as cli",
            "cli.main(['status'], standalone_mode=False)",
            "print('loaded:', 'dagster' in sys.modules)",
        ]
    )

    def said() -> str:
        asked = [sys.executable, "-c", program]
        return subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert "loaded: False" in said()
    noted(MINE, dg.DagsterRunStatus.FAILURE)
    assert "loaded: True" in said()
