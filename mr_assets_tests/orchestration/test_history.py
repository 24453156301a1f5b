"""What the commands make of Dagster's history: runs that died, and runs that are under way in the UI."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.test_utils import create_run_for_test

from mr_assets.cli.main import main
from mr_assets.orchestration.history import partition_of
from mr_assets.orchestration.instance import instance
from mr_assets.processes import TAG, Worker
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.tiny import NAME, complete, tiny_run

STARTED = dg.DagsterRunStatus.STARTED
RANGE = {"dagster/asset_partition_range_start": "2", "dagster/asset_partition_range_end": "2"}


@pytest.fixture
def run(tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    shutil.copytree(fresh_home, tmp_path / ".dagster")
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")
    run = tiny_run(tmp_path)
    save(run)
    return run


def started(run: Run, asset: str, worker: Worker, *others: str, **tags: str) -> str:
    """A Dagster run of an asset, and of others, that is under way as far as Dagster knows; its id."""
    run_id = str(uuid4())
    with instance() as history:
        create_run_for_test(
            history,
            run_id=run_id,
            status=STARTED,
            asset_selection=frozenset(dg.AssetKey([run.namespace(each), each]) for each in (asset, *others)),
            tags={TAG: worker.tag(run_id), **tags},
        )
    return run_id


def status(run: Run) -> str:
    """What `mr status` says of a run."""
    done = CliRunner().invoke(main, ["status", run.name])
    assert done.exit_code == 0, done.output
    return done.output


def row(run: Run, asset: str) -> list[str]:
    """What `mr status` shows of an asset."""
    [line] = [line for line in status(run).splitlines() if f" {asset} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")][2:]


def test_a_backfills_run_has_its_partition(run: Run) -> None:
    """In a range of one, where others have it by name."""
    with dg.DagsterInstance.ephemeral() as history:
        assert partition_of(create_run_for_test(history, tags=RANGE)) == "2"
        assert partition_of(create_run_for_test(history, tags={"dagster/partition": "1"})) == "1"
        assert partition_of(create_run_for_test(history)) is None


def test_status_shows_what_a_backfill_makes(run: Run) -> None:
    started(run, "responses", Worker.of(os.getpid()), **RANGE)
    assert row(run, "responses") == ["-", "running"]


def test_status_shows_as_done_what_a_run_under_way_has_completed(run: Run) -> None:
    """And as running what it has not, be there one from before."""
    record = complete(run, "responses", "2")
    run_id = started(run, "responses", Worker.of(os.getpid()), **RANGE)
    assert row(run, "responses") == ["-", "running"]
    write_record(run.record_path("responses", "2"), replace(record, run_id=run_id))
    assert row(run, "responses") == ["-", "done"]


def test_status_sees_a_run_that_was_killed(run: Run) -> None:
    """Without a daemon, too: it is failed in the history from now on."""
    dead = replace(Worker.of(os.getpid()), ticks=1)
    run_id = started(run, "responses", dead, **RANGE)
    assert row(run, "responses") == ["-", "failed"]
    with instance() as history:
        found = history.get_run_by_id(run_id)
        assert found is not None and found.status == dg.DagsterRunStatus.FAILURE


def test_what_another_host_made_before_a_kill_was_noticed_is_made_since(run: Run) -> None:
    """The killed run is failed in this history by the look at its state; one from before it began is no work since."""
    record = complete(run, "responses", "2")
    started(run, "responses", replace(Worker.of(os.getpid()), ticks=1), **RANGE)
    now = datetime.now(UTC).isoformat()
    assert "failed, and not made since" in status(run)
    write_record(run.record_path("responses", "2"), replace(record, created=now))
    assert "failed" not in status(run)


def test_what_a_failed_run_did_not_come_to_did_not_fail(run: Run) -> None:
    """responses was under way; judgments, which is made of them, is as missing as before."""
    started(run, "responses", replace(Worker.of(os.getpid()), ticks=1), "judgments", **RANGE)
    assert row(run, "responses") == ["-", "failed"]
    assert row(run, "judgments") == ["-", "-"]


@pytest.mark.slow
def test_a_run_does_not_begin_beside_the_uis(run: Run) -> None:
    """It names what is under way, and begins nothing."""
    run_id = started(run, "responses", Worker.of(os.getpid()), **RANGE)
    done = CliRunner().invoke(main, ["run", NAME, "--name", run.name])
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert f"tiny: iteration 2 is being made by Dagster run {run_id} (started)" in said
    assert "cancel it in the UI" in said
    with instance() as history:
        assert history.get_runs_count() == 1
