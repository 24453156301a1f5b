"""Runs as processes of their own, which are seen when they die.

Dagster's default launcher has the code server start a run: its process id is not known outside, so that after a kill
of everything nobody can tell whether a run still works, and the code server must live for a run to be cancelled. Here
a run is started by the daemon itself, outlives it, and bears its process in a tag. That is less code than to teach the
default launcher the same, since of that one nothing would be left.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg

from mr_assets.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    ExecuteRunArgs,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from mr_assets.processes import MARK, TAG, UI_MARK, Worker, end_processes
from mr_assets.runs.run import data_root, hold_recipes, recipes_of

DAGSTER = (sys.executable, "-m", "dagster")  # the command itself need not be on the PATH
ITERATION_TAG = "mr/iteration"
GRACE_SECONDS = 15  # for a cancelled run to stop by itself; less than cancel_timeout_seconds in dagster.yaml
GONE = (
    "its process {pid} has ended without a word: it was killed, or the machine ran out of memory. Re-execute the run "
    "from failure: what is complete is kept, sampling goes on from its last shard, training from its last checkpoint"
)


class ProcessRunLauncher(RunLauncher, ConfigurableClass):
    """Starts each run as a process of its own session, on this machine."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._started: list[subprocess.Popen] = []
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml says of it."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It has no settings."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from dagster.yaml."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process and note it in the run's tag. What it prints goes to a file of the instance."""
        run, origin = context.dagster_run, context.job_code_origin
        assert origin is not None, f"run {run.run_id} does not say which code it is of"
        self._reap()
        output = self._output(run.run_id)
        output.parent.mkdir(parents=True, exist_ok=True)
        spaces = {key.path[0] for key in run.asset_selection} if run.asset_selection else None
        held = hold_recipes(held_recipes(self._instance, run.run_id), recipes_of(spaces, data_root()))
        with output.open("ab") as file:
            process = subprocess.Popen(
                [*DAGSTER, *ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()).get_command_args()[1:]],
                env={name: value for name, value in os.environ.items() if name != UI_MARK} | {MARK: run.run_id} | held,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        self._instance.add_run_tags(run.run_id, {TAG: Worker.of(process.pid).tag(run.run_id)} | iteration_tag(run))

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process; what is still there after a while is killed, engine and trainer too."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        worker = _worker(run)
        if worker is None or not worker.here:
            where = f"on {worker.host}" if worker else "not known"
            self._instance.report_engine_event(f"Cannot cancel from here: the run's process is {where}.", run)
            return False
        self._instance.report_run_canceling(run)
        if not worker.alive:
            end_processes(run_id)
            self._instance.report_run_canceled(run)
            return True
        worker.interrupt()
        threading.Thread(target=_end_after_grace, args=(worker, run_id), daemon=True).start()
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks every few seconds."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the run's process is gone; then what it left behind is ended first.

        RUNNING also where nothing can be said: the process is another machine's, or not noted.
        """
        self._reap()
        worker = _worker(run)
        if worker is None or not worker.here or worker.alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        end_processes(run.run_id)
        return CheckRunHealthResult(WorkerStatus.FAILED, GONE.format(pid=worker.pid))

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """The end of what the run's process printed, for the message of its failure."""
        try:
            lines = self._output(run.run_id).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return None
        said = [line for line in lines if " - DEBUG - " not in line][-15:]  # not Dagster's own events
        return "It printed at last:\n" + "\n".join(said) if said else None

    def _output(self, run_id: str) -> Path:
        return Path(self._instance.root_directory) / "run_output" / f"{run_id}.log"

    def _reap(self) -> None:
        self._started = [process for process in self._started if process.poll() is None]


def held_recipes(instance: dg.DagsterInstance, run_id: str) -> Path:
    """Where the recipes lie that a Dagster run began with."""
    return Path(instance.root_directory) / "run_output" / f"{run_id}.recipes.json"


def iteration_tag(run: dg.DagsterRun) -> dict[str, str]:
    """The tag that says in the UI's lists which iteration a backfill's run is of; Dagster's own is not shown there."""
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    return {ITERATION_TAG: first} if first and first == last else {}


def _end_after_grace(worker: Worker, run_id: str) -> None:
    until = time.monotonic() + GRACE_SECONDS
    while worker.alive and time.monotonic() < until:
        time.sleep(0.1)
    end_processes(run_id)


def _worker(run: dg.DagsterRun) -> Worker | None:
    return Worker.from_tag(run.tags.get(TAG), run.run_id)


def fail_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark as failed every run whose process is gone, as the daemon does where it is up."""
    for run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        worker = _worker(run)
        if worker is not None and worker.here and not worker.alive:
            end_processes(run.run_id)
            instance.report_run_failed(run, GONE.format(pid=worker.pid))
