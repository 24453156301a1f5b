"""The steps of a run: what is missing or stale, in order, iteration by iteration; and a Dagster run for a step.

That is of the job which the UI's Materialize button starts, with the same executor, instance and IO managers. What is
complete and made with the recipe's settings is not computed again. What follows from an artifact whose checks failed
is not begun.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dagster as dg

from mr_assets.addresses import runs_on_ray
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
from mr_assets.loop import Place, titled
from mr_assets.orchestration import code_server, ray_steps
from mr_assets.orchestration.console import following, without_history_errors
from mr_assets.orchestration.run_launcher import held_recipes
from mr_assets.processes import MARK, TAG, Worker
from mr_assets.runs.overrides import as_config
from mr_assets.runs.pruning import check_policy
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overrides_of
from mr_assets.runs.status import harmful_findings, refused, state
from mr_assets.runs.stored import hold_recipes, stored_text
from mr_assets.wiring.partitions import asset_key, asset_of_step


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
        due = pending(run, assets, partition)
        for asset in assets:
            if asset not in due and harmful_findings(run, asset, partition):
                raise UserError(refused(run, asset, partition))
        if due:
            check_policy(run, due, partition)
            yield Step(title, tuple(due), partition)


def _stages(run: Run) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """The whole run in order: what one step may make, under which title and partition key."""
    by_model = run.loop.per("model")
    yield "one-off assets", run.loop.per("family"), None
    yield from ((titled(asset, model), (asset,), model) for model in ("seed", "0") for asset in by_model)
    for t in run.iterations:
        yield f"iteration {t} of {run.iterations[-1]}", run.loop.per("iteration"), t
        yield from ((titled(asset, t), (asset,), t) for asset in by_model)


def plan(run: Run) -> list[tuple[Step, bool]]:
    """Every step that there will be, and whether it is certain; nothing is made for it.

    What is there now and follows from an earlier step is re-materialized only if that comes out otherwise than before:
    a step of nothing else is not certain. Raises `UserError` as `steps` does.
    """
    found: list[tuple[Step, bool]] = []
    planned: set[Place] = set()
    for title, assets, partition in _stages(run):
        certain = pending(run, assets, partition)
        for asset in assets:
            if asset in certain or planned.intersection(run.ancestors(asset, partition)):
                planned.add((asset, partition))
            elif harmful_findings(run, asset, partition):
                raise UserError(refused(run, asset, partition))
        if due := tuple(asset for asset in assets if (asset, partition) in planned):
            check_policy(run, certain, partition, planned)
            found.append((Step(title, due, partition), bool(certain)))
    return found


def pending(run: Run, assets: Sequence[str], partition: str | None) -> list[str]:
    """Those of `assets` that are missing or stale, or that follow from one that is, in their order."""
    found: list[str] = []
    for asset in assets:  # what an asset is made of comes before it
        follows = any(u in found and at == partition for u, at in run.ancestors(asset, partition))
        if follows or state(run, asset, partition) in ("missing", "stale"):
            found.append(asset)
    return found


def step_config(run: Run, step: Step) -> dict[str, Any]:
    """The launchpad's config of a step: the overrides that stay in force. What has none goes by the recipe."""
    overrides = {asset: overrides_of(run, asset, step.partition) for asset in step.assets}
    return {
        asset_key(run, asset).to_python_identifier(): {"config": as_config(choices)}
        for asset, choices in overrides.items()
        if choices
    }


def launch(run: Run, step: Step, instance: dg.DagsterInstance) -> None:
    """Materialize a step's assets in a Dagster run. Raises `UserError` with what went wrong and where.

    Raises `KeyboardInterrupt` if Ctrl-C, a signal or the UI stopped it, which Dagster makes an event of.
    """
    job = ReconstructableJob(ReconstructableRepository.for_module(code_server.MODULE, "defs"), IMPLICIT_ASSET_JOB_NAME)
    dagster_run_id = str(uuid4())
    with (
        without_history_errors(),
        _marked(run, dagster_run_id, instance),
        _on_cluster(dagster_run_id, instance),
        execute_run(job, _create(run, step, dagster_run_id, instance, job), instance) as result,
    ):
        if result.success:
            return
        if any(map(_stopped, result.all_events)):
            raise KeyboardInterrupt
        said = failures(result.all_events)
        raise UserError(
            f"{step.title} failed in Dagster run {result.run_id}.\n"
            + "\n".join(said or ["See the Dagster run in the UI (mr ui)."])
            + "\nWhat was complete is kept; the same command goes on from there."
        )


def step_tags(run: Run, step: Step) -> dict[str, str]:
    """The tags of a Dagster run that does a step."""
    tags = {"mr/run": run.name, "mr/step": step.title}
    return tags | ({PARTITION_NAME_TAG: step.partition} if step.partition is not None else {})


def asset_keys(run: Run, step: Step) -> list[dg.AssetKey]:
    """The keys of a step's assets."""
    return [asset_key(run, asset) for asset in step.assets]


def _create(
    run: Run, step: Step, dagster_run_id: str, instance: dg.DagsterInstance, job: ReconstructableJob
) -> dg.DagsterRun:
    """A Dagster run that bears this process, so that its death is seen, and its origin, so that the UI can redo it."""
    quiet: dict[str, Any] = {"console": {"config": {}}}  # the readable lines of mr_assets.orchestration.console
    return instance.create_run_for_job(
        job_def=job.get_definition(),
        run_id=dagster_run_id,
        run_config={"loggers": quiet, "ops": step_config(run, step)},
        tags=step_tags(run, step) | {TAG: Worker.of(os.getpid()).tag(dagster_run_id)} | ray_steps.ray_tags(),
        asset_selection=frozenset(asset_keys(run, step)),
        job_code_origin=job.get_python_origin(),
        remote_job_origin=origin(),
    )


def origin() -> RemoteJobOrigin:
    """Where the UI finds the job again, to re-execute a Dagster run of it."""
    location = location_origin_from_module_name(code_server.MODULE, None, None)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), IMPLICIT_ASSET_JOB_NAME)


@contextmanager
def _marked(run: Run, dagster_run_id: str, instance: dg.DagsterInstance) -> Iterator[None]:
    """What this process starts meanwhile bears the Dagster run's id, and goes by the recipe as this process has it."""
    place = held_recipes(instance, dagster_run_id)
    marks = {MARK: dagster_run_id, **hold_recipes(place, {run.name: stored_text(run)})}
    os.environ.update(marks)
    try:
        yield
    finally:
        for name in marks:
            del os.environ[name]
        place.unlink(missing_ok=True)


@contextmanager
def _on_cluster(dagster_run_id: str, instance: dg.DagsterInstance) -> Iterator[None]:
    """Where steps are jobs of a cluster, print what they log; if it ends early, none is at work afterwards."""
    if not runs_on_ray():
        yield
        return
    with following(dagster_run_id, instance):
        try:
            yield
        except BaseException:  # what ended well ends by itself
            ray_steps.end_ray_steps(ray_steps.ray_tags(), dagster_run_id)
            raise


def _stopped(event: dg.DagsterEvent) -> bool:
    """Whether it says that its Dagster run was stopped from outside."""
    if event.event_type == dg.DagsterEventType.RUN_FAILURE:
        return event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    return event.event_type == dg.DagsterEventType.RUN_CANCELED


def was_interrupted(events: Sequence[dg.DagsterEvent]) -> bool:
    """Whether a step was stopped by Ctrl-C or a signal."""
    return any(map(_stopped, events)) or any(event.is_step_failure and _interrupted(event) for event in events)


def _interrupted(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def _message(event: dg.DagsterEvent, error: object) -> str:
    failure = event.step_failure_data
    if _interrupted(event):
        return "interrupted"
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return _innermost(failure.error) or str(error)


def _innermost(error: Any) -> str:
    """What an error comes from, with its traceback; "" without one."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.to_string() if error else ""


def failures(events: Sequence[dg.DagsterEvent]) -> list[str]:
    """What failed in a Dagster run, asset by asset: the step's own message, or what the checks say that stopped it.

    If no step did, it is what ended the Dagster run.
    """
    said = []
    for event in events:
        if event.is_step_failure:
            error = event.step_failure_data.user_failure_data or event.step_failure_data.error
            stopped = _failed_checks(events, event.step_key) if "AssetCheckFailed" in str(error) else []
            failed = asset_of_step(event.step_key) if event.step_key else "a step"
            said += [f"{failed}: {message}" for message in stopped or [_message(event, error)]]
    ended = [e for e in events if e.event_type == dg.DagsterEventType.RUN_FAILURE]
    return said or [_innermost(e.event_specific_data and e.job_failure_data.error) or e.message or "" for e in ended]


def _failed_checks(events: Sequence[dg.DagsterEvent], step: str | None) -> list[str]:
    """The sentences of a step's harmful findings; Dagster's own error has only their names."""
    evaluated = (e for e in events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [e.asset_check_evaluation_data for e in evaluated if e.step_key == step]
    return [
        f"check {check.check_name}: {check.description}"
        for check in found
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
