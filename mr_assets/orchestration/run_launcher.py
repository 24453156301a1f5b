"""Dagster runs as processes of their own, which are seen when they die.

Dagster's default launcher has the code server start a Dagster run: its process id is not known outside, so that after
a kill of everything nobody can tell whether it still works, and the code server must live for it to be cancelled. Here
a Dagster run is started by the daemon itself, outlives it, and bears its process in a tag. That is less code than to
teach the default launcher the same, since of that one nothing would be left.
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
from mr_assets.orchestration.ray_steps import end_ray_steps, ray_tags
from mr_assets.processes import MARK, TAG, UI_MARK, Worker, end_processes
from mr_assets.runs.data_folder import data_root
from mr_assets.runs.stored import hold_recipes, recipes_of

DAGSTER = (sys.executable, "-m", "dagster")  # the command itself need not be on the PATH
ITERATION_TAG = "mr/iteration"
GRACE_SECONDS = 15  # for a cancelled Dagster run to stop by itself; less than cancel_timeout_seconds in dagster.yaml
GONE = (
    "its {process} has ended without a word: it was killed, or the machine ran out of memory. Re-execute the "
    "Dagster run from failure: what is complete is kept, sampling goes on from its last shard, training from its last "
    "checkpoint"
)


class ProcessRunLauncher(RunLauncher, ConfigurableClass):
    """Starts each Dagster run as a process of its own session, on this machine."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._started: list[subprocess.Popen[bytes]] = []
        super().__init__()  # type: ignore[no-untyped-call]

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
        """Start the Dagster run's process and note it in a tag. What it prints goes to a file of the instance."""
        dagster_run, origin = context.dagster_run, context.job_code_origin
        run_id, instance = dagster_run.run_id, self._instance
        assert origin is not None, f"Dagster run {run_id} does not say which code it is of"
        self._reap()
        output = self._output(run_id)
        output.parent.mkdir(parents=True, exist_ok=True)
        spaces = {key.path[0] for key in dagster_run.asset_selection} if dagster_run.asset_selection else None
        held = hold_recipes(held_recipes(instance, run_id), recipes_of(spaces, data_root()))
        with output.open("ab") as file:
            process = subprocess.Popen(
                [*DAGSTER, *ExecuteRunArgs(origin, run_id, instance.get_ref()).get_command_args()[1:]],
                env={name: value for name, value in os.environ.items() if name != UI_MARK} | {MARK: run_id} | held,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        instance.add_run_tags(
            run_id, {TAG: Worker.of(process.pid).tag(run_id)} | iteration_tag(dagster_run) | ray_tags()
        )

    def terminate(self, run_id: str) -> bool:
        """Interrupt the Dagster run's process; what is still there after a while is killed, engine and trainer too."""
        dagster_run = self._instance.get_run_by_id(run_id)
        if dagster_run is None or dagster_run.is_finished:
            return False
        worker = _worker(dagster_run)
        if worker is None or not worker.here:
            where = f"on {worker.host}" if worker else "not known"
            said = f"Cannot cancel from here: the process of the Dagster run is {where}."
            self._instance.report_engine_event(said, dagster_run)
            return False
        self._instance.report_run_canceling(dagster_run)
        if not worker.alive:
            _end(dagster_run)
            self._instance.report_run_canceled(dagster_run)
            return True
        worker.interrupt()
        threading.Thread(target=_end_after_grace, args=(worker, dagster_run), daemon=True).start()
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks every few seconds."""
        return True

    def check_run_worker_health(self, dagster_run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the Dagster run's process is gone; then what it left behind is ended first.

        RUNNING also where nothing can be said: the process is another machine's, or not noted.
        """
        self._reap()
        worker = _worker(dagster_run)
        if worker is None or not worker.gone:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        _end(dagster_run)
        return CheckRunHealthResult(WorkerStatus.FAILED, GONE.format(process=worker.said))

    def get_run_worker_debug_info(
        self, dagster_run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """The end of what the Dagster run's process printed, for the message of its failure."""
        try:
            lines = self._output(dagster_run.run_id).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return None
        said = [line for line in lines if " - DEBUG - " not in line][-15:]  # not Dagster's own events
        return "It printed at last:\n" + "\n".join(said) if said else None

    def _output(self, dagster_run_id: str) -> Path:
        return Path(self._instance.root_directory) / "run_output" / f"{dagster_run_id}.log"

    def _reap(self) -> None:
        self._started = [process for process in self._started if process.poll() is None]


def held_recipes(instance: dg.DagsterInstance, dagster_run_id: str) -> Path:
    """Where the recipes lie that a Dagster run began with."""
    return Path(instance.root_directory) / "run_output" / f"{dagster_run_id}.recipes.json"


def iteration_tag(dagster_run: dg.DagsterRun) -> dict[str, str]:
    """By which tag the UI's lists say which iteration a backfill's Dagster run is of: its own are not shown there."""
    tags = dagster_run.tags
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return {ITERATION_TAG: first} if first and first == last else {}


def _end(dagster_run: dg.DagsterRun) -> None:
    """End everything that works on a Dagster run: its steps on a cluster, its processes here."""
    end_ray_steps(dagster_run.tags, dagster_run.run_id)
    end_processes(dagster_run.run_id)


def _end_after_grace(worker: Worker, dagster_run: dg.DagsterRun) -> None:
    until = time.monotonic() + GRACE_SECONDS
    while worker.alive and time.monotonic() < until:
        time.sleep(0.1)
    _end(dagster_run)


def _worker(dagster_run: dg.DagsterRun) -> Worker | None:
    return Worker.from_tag(dagster_run.tags.get(TAG), dagster_run.run_id)


def fail_dead_runs(instance: dg.DagsterInstance, former: Worker | None = None) -> None:
    """Mark as failed every Dagster run whose process is gone, as the daemon does where it is up.

    former: a process of any host of which it is known that it is gone, since it has lost its lock (`run_lock`).
    """
    for dagster_run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        worker = _worker(dagster_run)
        if worker is not None and (worker.gone or worker == former):
            _end(dagster_run)
            instance.report_run_failed(dagster_run, GONE.format(process=worker.said))


def elsewhere(dagster_run: dg.DagsterRun) -> str | None:
    """The other host whose process leads a Dagster run; None if it is led from here, or nobody knows from where."""
    worker = _worker(dagster_run)
    return None if worker is None or worker.here else worker.host
