"""The run launcher: a Dagster run whose process is gone is seen; a cancelled one ends with all that belongs to it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.tags import TagType, get_tag_type
from dagster._core.test_utils import create_run_for_test

from mr_assets.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    LaunchRunContext,
    WorkerStatus,
)
from mr_assets.orchestration import run_launcher
from mr_assets.orchestration.instance import instance as open_instance
from mr_assets.orchestration.run_launcher import ProcessRunLauncher, fail_dead_runs, iteration_tag
from mr_assets.processes import MARK, TAG, Worker, end_processes, processes_of
from mr_assets.runs.stored import HELD, save, stored_runs
from mr_assets_tests.tiny import tiny_run

CODE = JobPythonOrigin(
    "job", RepositoryPythonOrigin(sys.executable, ModuleCodePointer("mr_assets.definitions", "defs"))
)
STARTED = dg.DagsterRunStatus.STARTED
POLITE = "import time; print('ready', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {POLITE}"
Start = Callable[[dg.DagsterRun, str], tuple[subprocess.Popen[str], dg.DagsterRun]]


@pytest.fixture
def instance(tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    shutil.copytree(fresh_home, tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance() as instance:
        yield instance


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> ProcessRunLauncher:
    assert isinstance(instance.run_launcher, ProcessRunLauncher)
    return instance.run_launcher


@pytest.fixture
def dagster_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return create_run_for_test(instance, status=STARTED)


@pytest.fixture
def start(instance: dg.DagsterInstance) -> Iterator[Start]:
    """Give a Dagster run a process."""
    processes: list[subprocess.Popen[str]] = []

    def started(dagster_run: dg.DagsterRun, program: str) -> tuple[subprocess.Popen[str], dg.DagsterRun]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, MARK: dagster_run.run_id},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        instance.add_run_tags(dagster_run.run_id, {TAG: Worker.of(process.pid).tag(dagster_run.run_id)})
        return process, now(instance, dagster_run)

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def now(instance: dg.DagsterInstance, dagster_run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(dagster_run.run_id)
    assert found is not None
    return found


def test_a_run_is_healthy_until_its_process_is_gone(
    launcher: ProcessRunLauncher,
    instance: dg.DagsterInstance,
    dagster_run: dg.DagsterRun,
    start: Start,
) -> None:
    """Then it has failed, and the message says what to do and what the process printed at last."""
    process, dagster_run = start(dagster_run, POLITE)
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(dagster_run).status == WorkerStatus.RUNNING
    process.kill()
    process.wait()
    seen = launcher.check_run_worker_health(dagster_run)
    assert seen.status == WorkerStatus.FAILED
    assert f"its process {process.pid} has ended without a word" in (seen.msg or "")
    assert "Re-execute the Dagster run from failure" in (seen.msg or "")
    assert launcher.get_run_worker_debug_info(dagster_run) is None
    output = Path(instance.root_directory) / "run_output" / f"{dagster_run.run_id}.log"
    output.parent.mkdir()
    output.write_text("12:00:00 dagster - DEBUG - STEP_START\nFatal Python error: Segmentation fault\n")
    assert (
        launcher.get_run_worker_debug_info(dagster_run) == "It printed at last:\nFatal Python error: Segmentation fault"
    )


def test_the_ui_shows_the_iteration_and_not_the_process(instance: dg.DagsterInstance) -> None:
    """A backfill's Dagster runs have a range of one partition, which the UI's lists do not show."""
    ranges = [{ASSET_PARTITION_RANGE_START_TAG: "2", ASSET_PARTITION_RANGE_END_TAG: last} for last in ("2", "3")]
    of_one, of_two, alone = (create_run_for_test(instance, tags=tags) for tags in (*ranges, {}))
    assert [iteration_tag(each) for each in (of_one, of_two, alone)] == [{"mr/iteration": "2"}, {}, {}]
    assert get_tag_type(TAG) == TagType.HIDDEN  # type: ignore[no-untyped-call]


def test_what_a_dead_run_left_behind_is_ended(
    launcher: ProcessRunLauncher,
    instance: dg.DagsterInstance,
    dagster_run: dg.DagsterRun,
    start: Start,
) -> None:
    """Before it counts as failed, so that nothing disturbs its re-execution."""
    process, dagster_run = start(dagster_run, POLITE)
    orphan, _ = start(dagster_run, POLITE)  # of the same Dagster run, but not the one in its tag
    instance.add_run_tags(dagster_run.run_id, {TAG: Worker.of(process.pid).tag(dagster_run.run_id)})
    dagster_run = now(instance, dagster_run)
    process.kill()
    process.wait()
    assert launcher.check_run_worker_health(dagster_run).status == WorkerStatus.FAILED
    assert orphan.wait(10) < 0
    assert processes_of(dagster_run.run_id) == []


@pytest.mark.parametrize("other", [{"host": "gpu-07"}, None])
def test_of_what_it_cannot_see_it_says_nothing(
    launcher: ProcessRunLauncher,
    dagster_run: dg.DagsterRun,
    instance: dg.DagsterInstance,
    other: dict[str, Any] | None,
) -> None:
    """A Dagster run of another machine, or one that another launcher started, is not declared dead."""
    if other is not None:
        gone = replace(Worker.of(os.getpid()), ticks=1, **other)
        instance.add_run_tags(dagster_run.run_id, {TAG: gone.tag(dagster_run.run_id)})
    assert launcher.check_run_worker_health(now(instance, dagster_run)).status == WorkerStatus.RUNNING
    fail_dead_runs(instance)
    assert now(instance, dagster_run).status == STARTED
    assert not launcher.terminate(dagster_run.run_id)


def test_a_run_of_another_host_is_failed_when_its_process_has_lost_its_lock(
    dagster_run: dg.DagsterRun, instance: dg.DagsterInstance
) -> None:
    """Then it is known to be gone; of another process of that host still nothing is."""
    former = replace(Worker.of(os.getpid()), host="gpu-07")
    instance.add_run_tags(dagster_run.run_id, {TAG: former.tag(dagster_run.run_id)})
    fail_dead_runs(instance, replace(former, ticks=1))
    assert now(instance, dagster_run).status == STARTED
    fail_dead_runs(instance, former)
    assert now(instance, dagster_run).status == dg.DagsterRunStatus.FAILURE


def test_without_a_daemon_dead_runs_are_failed_by_the_command(
    instance: dg.DagsterInstance,
    dagster_run: dg.DagsterRun,
    start: Start,
) -> None:
    """`mr status` and `mr run` do it; a living one stays."""
    process, dagster_run = start(dagster_run, POLITE)
    fail_dead_runs(instance)
    assert now(instance, dagster_run).status == STARTED
    process.kill()
    process.wait()
    fail_dead_runs(instance)
    assert now(instance, dagster_run).status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("program", [POLITE, DEAF])
def test_a_cancelled_run_ends(
    launcher: ProcessRunLauncher,
    instance: dg.DagsterInstance,
    dagster_run: dg.DagsterRun,
    start: Start,
    program: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By itself, or by force after a while; what it had started is gone, too."""
    monkeypatch.setattr(run_launcher, "GRACE_SECONDS", 0.5)
    trainer, dagster_run = start(dagster_run, DEAF)
    process, dagster_run = start(dagster_run, program)
    began = time.monotonic()
    assert launcher.terminate(dagster_run.run_id)
    assert now(instance, dagster_run).status == dg.DagsterRunStatus.CANCELING
    for each in (process, trainer):
        each.wait(10)
    if program == DEAF:
        assert time.monotonic() - began >= 0.5


def test_a_run_that_died_unseen_can_be_cancelled(
    launcher: ProcessRunLauncher,
    instance: dg.DagsterInstance,
    dagster_run: dg.DagsterRun,
    start: Start,
) -> None:
    """At once, without waiting for anything."""
    process, dagster_run = start(dagster_run, POLITE)
    process.kill()
    process.wait()
    assert launcher.terminate(dagster_run.run_id)
    assert now(instance, dagster_run).status == dg.DagsterRunStatus.CANCELED
    assert not launcher.terminate(dagster_run.run_id)
    end_processes(dagster_run.run_id)


def test_a_launched_run_keeps_the_recipe_that_it_began_with(
    launcher: ProcessRunLauncher,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every process of it, those of a multiprocess executor too, reads that one, whoever stores another meanwhile."""
    began, later = (tiny_run(tmp_path / "data", f"seed={seed}") for seed in (3, 5))
    monkeypatch.setenv("MR_DATA", str(tmp_path / "data"))
    save(began)
    environments: list[dict[str, str]] = []

    class Process:
        pid = os.getpid()

        def __init__(self, command: list[str], env: dict[str, str], **others: object) -> None:
            environments.append(env)

        def poll(self) -> None:
            return None

    keys = frozenset({dg.AssetKey(["tiny", "responses"])})
    launched = create_run_for_test(instance, asset_selection=keys, job_code_origin=CODE)
    with monkeypatch.context() as patch:
        patch.setattr("mr_assets.orchestration.run_launcher.subprocess.Popen", Process)
        launcher.launch_run(LaunchRunContext(launched, None))
    save(later)
    assert stored_runs(began.data)["tiny"].recipe == later.recipe
    monkeypatch.setenv(HELD, environments[0][HELD])
    assert stored_runs(began.data)["tiny"].recipe == began.recipe
