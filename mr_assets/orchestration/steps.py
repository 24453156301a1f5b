"""Launching a run through Dagster: what is not complete, in order, iteration by iteration.

Each step is a Dagster run of the job that the UI's Materialize button starts, with the same executor, instance and IO
managers. What is complete and made with the recipe's settings is not computed again. What follows from an artifact
whose checks failed is not begun.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import dagster as dg

from mr_assets.dagster_internals import (
    IMPLICIT_ASSET_JOB_NAME,
    PARTITION_NAME_TAG,
    SINGLETON_REPOSITORY_NAME,
    ReconstructableJob,
    ReconstructableRepository,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    RunFailureReason,
    execute_run,
    location_origin_from_module_name,
)
from mr_assets.errors import UserError
from mr_assets.loop import LOOP, Place, titled
from mr_assets.orchestration.run_launcher import held_recipes
from mr_assets.processes import MARK, TAG, Worker
from mr_assets.runs.run import Run, hold_recipes
from mr_assets.runs.settings import as_config
from mr_assets.runs.status import refused
from mr_assets.wiring.partitions import asset_key

MODULE = "mr_assets.definitions"


@dataclass(frozen=True)
class Step:
    """Assets to materialize in one Dagster run, for one partition key or for none."""

    title: str
    assets: tuple[str, ...]
    partition: str | None


def steps(run: Run) -> Iterator[Step]:
    """What there is to do, each step found when the one before it has ended.

    Raises `UserError` at an artifact that is up to date and whose checks failed: what it is, why, and how to go on.
    """
    for title, assets, partition in _stages(run):
        pending = [asset for asset in assets if needed(run, asset, partition, assets)]
        for asset in assets:
            if asset not in pending and run.failed_checks(asset, partition):
                raise UserError(refused(run, asset, partition))
        if pending:
            yield Step(title, tuple(pending), partition)


def _stages(run: Run) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """The whole run in order: what is made at a time, under which title and partition key."""
    by_model = LOOP.per("model") if run.recipe.evaluation else ()
    yield "one-off assets", LOOP.per("family"), None
    yield from ((titled(asset, model), (asset,), model) for asset in by_model for model in ("seed", "0"))
    for t in run.iterations:
        yield f"iteration {t} of {run.iterations[-1]}", LOOP.per("iteration"), t
        yield from ((titled(asset, t), (asset,), t) for asset in by_model)


def plan(run: Run) -> list[tuple[Step, bool]]:
    """Every step that there will be, and whether it is certain; nothing is made for it.

    What is there now and follows from an earlier step is made again only if that comes out otherwise than before: a
    step of nothing else is not certain. Raises `UserError` as `steps` does.
    """
    found: list[tuple[Step, bool]] = []
    made: set[Place] = set()
    for title, assets, partition in _stages(run):
        certain = [asset for asset in assets if needed(run, asset, partition, assets)]
        for asset in assets:
            if asset in certain or made.intersection(run.ancestors(asset, partition)):
                made.add((asset, partition))
            elif run.failed_checks(asset, partition):
                raise UserError(refused(run, asset, partition))
        if pending := tuple(asset for asset in assets if (asset, partition) in made):
            found.append((Step(title, pending, partition), bool(certain)))
    return found


def needed(run: Run, asset: str, partition: str | None, among: tuple[str, ...]) -> bool:
    """Whether an asset is missing or out of date, or follows from one among `among` that is."""
    if run.state(asset, partition) in ("missing", "out of date"):
        return True
    return any(needed(run, u, at, among) for u, at in run.ancestors(asset, partition) if u in among and at == partition)


def chosen_config(run: Run, step: Step) -> dict[str, Any]:
    """The config with which a step's assets are made again as a person chose them; what has none goes by the recipe."""
    made = {asset: run.chosen(asset, step.partition) for asset in step.assets}
    return {
        asset_key(run, asset).to_python_identifier(): {"config": as_config(choices)}
        for asset, choices in made.items()
        if choices
    }


@contextmanager
def run_lock(folder: Path, what: str, *, wait: bool) -> Iterator[None]:
    """Hold a folder's lock. Taken already: wait for it, or raise `UserError`. It ends with the process, however.

    A folder that is made for the lock, and in which nothing comes to lie, goes again.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(folder / ".lock", "a+") as lock:
            if holder := _taken(lock):
                if not wait:
                    raise UserError(
                        f"{what} is being run by process {holder}. Wait for it, or end it, then start again."
                    )
                print(f"waiting for process {holder}, which makes {what}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
    finally:
        if made and folder.is_dir() and [path.name for path in folder.iterdir()] == [".lock"]:
            shutil.rmtree(folder)


def holder_of(folder: Path) -> str | None:
    """The process that holds a folder's lock, as its id; None if none does. Nothing is written."""
    place = folder / ".lock"
    if not place.is_file():
        return None
    with open(place) as lock:
        return _taken(lock)


def _taken(lock: IO[str]) -> str | None:
    """Take the lock of an open file; if another process has it, that one's id."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        return lock.read().strip() or "unknown"
    return None


def launch(run: Run, step: Step, instance: dg.DagsterInstance) -> None:
    """Materialize a step's assets in a Dagster run. Raises `UserError` with what went wrong and where.

    Raises `KeyboardInterrupt` if Ctrl-C, a signal or the UI stopped it, which Dagster makes an event of.
    """
    job = ReconstructableJob(ReconstructableRepository.for_module(MODULE, "defs"), IMPLICIT_ASSET_JOB_NAME)
    run_id = str(uuid4())
    with (
        _marked(run, run_id, instance),
        execute_run(job, _created(run, step, run_id, instance, job), instance) as result,
    ):
        if result.success:
            return
        if any(map(_stopped, result.all_events)):
            raise KeyboardInterrupt
        said = failures(result.all_events)
        raise UserError(
            f"{step.title} failed in Dagster run {result.run_id}.\n"
            + "\n".join(said or ["See the run in the UI (mr ui)."])
            + "\nWhat was complete is kept; the same command goes on from there."
        )


def step_tags(run: Run, step: Step) -> dict[str, str]:
    """The tags of a Dagster run that does a step."""
    tags = {"mr/run": run.name, "mr/step": step.title}
    return tags | ({PARTITION_NAME_TAG: step.partition} if step.partition is not None else {})


def asset_keys(run: Run, step: Step) -> list[dg.AssetKey]:
    """The keys of a step's assets."""
    return [asset_key(run, asset) for asset in step.assets]


def _created(run: Run, step: Step, run_id: str, instance: dg.DagsterInstance, job: ReconstructableJob) -> dg.DagsterRun:
    """A Dagster run that bears this process, so that its death is seen, and its origin, so that the UI can redo it."""
    quiet: dict[str, Any] = {"console": {"config": {}}}  # the readable lines of mr_assets.orchestration.console
    return instance.create_run_for_job(
        job_def=job.get_definition(),
        run_id=run_id,
        run_config={"loggers": quiet, "ops": chosen_config(run, step)},
        tags=step_tags(run, step) | {TAG: Worker.of(os.getpid()).tag(run_id)},
        asset_selection=frozenset(asset_keys(run, step)),
        job_code_origin=job.get_python_origin(),
        remote_job_origin=origin(),
    )


def origin() -> RemoteJobOrigin:
    """Where the UI finds the job again, to re-execute a run of it."""
    location = location_origin_from_module_name(MODULE, None, None)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), IMPLICIT_ASSET_JOB_NAME)


@contextmanager
def _marked(run: Run, run_id: str, instance: dg.DagsterInstance) -> Iterator[None]:
    """What this process starts meanwhile bears the Dagster run's id, and goes by the recipe as this process has it."""
    place = held_recipes(instance, run_id)
    marks = {MARK: run_id, **hold_recipes(place, {run.name: run.stored})}
    os.environ.update(marks)
    try:
        yield
    finally:
        for name in marks:
            del os.environ[name]
        place.unlink(missing_ok=True)


def _stopped(event: dg.DagsterEvent) -> bool:
    """Whether it says that its run was stopped from outside."""
    if event.event_type == dg.DagsterEventType.RUN_FAILURE:
        return event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    return event.event_type == dg.DagsterEventType.RUN_CANCELED


def _message(event: dg.DagsterEvent, error: object) -> str:
    failure = event.step_failure_data
    if failure.error and failure.error.cls_name == "DagsterExecutionInterruptedError":
        return "interrupted"
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    info = failure.error
    while info is not None and info.cause is not None:
        info = info.cause
    return info.to_string() if info else str(error)


def failures(events: Sequence[dg.DagsterEvent]) -> list[str]:
    """What failed in a run, asset by asset: the step's own message, or what the checks say that stopped it."""
    said = []
    for event in events:
        if event.is_step_failure:
            error = event.step_failure_data.user_failure_data or event.step_failure_data.error
            stopped = _failed_checks(events, event.step_key) if "AssetCheckFailed" in str(error) else []
            failed = event.step_key.split("__")[-1] if event.step_key else "a step"
            said += [f"{failed}: {message}" for message in stopped or [_message(event, error)]]
    return said


def _failed_checks(events: Sequence[dg.DagsterEvent], step: str | None) -> list[str]:
    """The sentences of a step's harmful findings; Dagster's own error has only their names."""
    evaluated = (e for e in events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [e.asset_check_evaluation_data for e in evaluated if e.step_key == step]
    return [
        f"check {check.check_name}: {check.description}"
        for check in found
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
