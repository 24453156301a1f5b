"""What Dagster's history says of a run: what is under way, what failed, and how the last attempt at a step ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster import DagsterRunStatus as Status

from mr_assets.dagster_internals import (
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
    PARTITION_NAME_TAG,
    BulkActionsFilter,
    BulkActionStatus,
)
from mr_assets.errors import UserError
from mr_assets.loop import LOOP, Place
from mr_assets.orchestration.run_launcher import elsewhere
from mr_assets.orchestration.steps import failures
from mr_assets.runs.run import Run
from mr_assets.runs.status import places
from mr_assets.wiring.partitions import asset_key

LOOK_BACK = 200  # Dagster runs


def partition_of(dagster_run: dg.DagsterRun) -> str | None:
    """The partition of a Dagster run. A backfill's runs have a range in its place, of one key."""
    return dagster_run.tags.get(PARTITION_NAME_TAG) or dagster_run.tags.get(ASSET_PARTITION_RANGE_START_TAG)


def under_way(namespace: str, instance: dg.DagsterInstance) -> str | None:
    """A sentence that names what is queued or in progress under a key prefix, however it was started; None if idle."""
    for dagster_run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if _concerns(dagster_run.asset_selection, namespace):
            state, host = dagster_run.status.value.lower(), elsewhere(dagster_run)
            said = f"{namespace}: {_what(dagster_run)} is being made by Dagster run {dagster_run.run_id} ({state}"
            lost = "If that host is gone, cancel the Dagster run in the UI with Force termination immediately."
            return f"{said} on host {host}). {lost}" if host else f"{said})."
    running = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=running)):
        if _concerns(backfill.asset_selection, namespace):
            return f"{namespace}: backfill {backfill.backfill_id} is in progress."
    return None


def refuse_if_busy(namespace: str, instance: dg.DagsterInstance) -> None:
    """Raise `UserError` if the UI, the sensor or a backfill works on the same artifacts."""
    if busy := under_way(namespace, instance):
        raise UserError(f"{busy} Wait for it, or cancel it in the UI (mr ui), then start again.")


def _what(dagster_run: dg.DagsterRun) -> str:
    partition = partition_of(dagster_run)
    if partition is None:
        return "what is made once"
    evaluation = dagster_run.asset_selection and all(_by_model(key) for key in dagster_run.asset_selection)
    return f"the evaluation of model {partition}" if evaluation else f"iteration {partition}"


def _by_model(key: dg.AssetKey) -> bool:
    row = LOOP.get(key.path[-1])
    return row is not None and row.per == "model"


def _concerns(keys: Collection[dg.AssetKey] | None, namespace: str) -> bool:
    """Whether one of the keys is of the namespace; no keys are all keys."""
    return not keys or any(key.path[0] == namespace for key in keys)


def last_attempt(keys: list[dg.AssetKey], partition: str | None, instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """The newest Dagster run that was to make one of these assets in this partition.

    An unpartitioned asset may be made beside any partition, so that for `partition` None every Dagster run counts.
    """
    for dagster_run in instance.get_runs(limit=LOOK_BACK):
        of_these = not dagster_run.asset_selection or dagster_run.asset_selection & set(keys)
        if of_these and (partition is None or partition_of(dagster_run) == partition):
            return dagster_run
    return None


@dataclass(frozen=True)
class Attempt:
    """The newest Dagster run that was to make an artifact, where it is under way or did not make it.

    state: running; waiting for what comes before it in that Dagster run, or for that to start; failed; interrupted,
    which is stopped, cancelled or killed. when: the end of what ended, the beginning of what is under way, as ISO time.
    message: of what ended the first line of why, else "". host: that of its process, where that is another one.
    """

    dagster_run: str
    state: Literal["running", "waiting", "failed", "interrupted"]
    when: str
    message: str = ""
    host: str = ""


def attempts(runs: Sequence[Run], instance: dg.DagsterInstance) -> dict[str, dict[Place, Attempt]]:
    """By run and place, what is under way, or failed or was interrupted and has not been made since.

    A place that a Dagster run did not come to, because it ended before, has no attempt in it.
    """
    statuses = [*NOT_FINISHED_STATUSES, Status.FAILURE, Status.CANCELED]
    newest = instance.get_run_records(dg.RunsFilter(statuses=statuses), limit=LOOK_BACK)
    return {run.name: _attempts(run, newest, instance) for run in runs}


def _attempts(run: Run, newest: Sequence[dg.RunRecord], instance: dg.DagsterInstance) -> dict[Place, Attempt]:
    found: dict[Place, Attempt] = {}
    all_places = list(places(run))
    for row in newest:
        dagster_run = row.dagster_run
        keys, partition = dagster_run.asset_selection or frozenset(), partition_of(dagster_run)
        if not any(key.path[0] in (run.name, run.family) for key in keys):
            continue
        wanted = [
            place
            for place in all_places
            if place not in found
            and asset_key(run, place[0]) in keys
            and place[1] in (None, partition)
            and not _made_since(run, place, row)
        ]
        if not wanted:
            continue
        steps = {each.step_key: each for each in instance.get_run_step_stats(dagster_run.run_id)}
        unfinished, said = dagster_run.status in NOT_FINISHED_STATUSES, _why_ended(dagster_run, instance)
        began = _began(row)
        for place in wanted:
            step = steps.get(asset_key(run, place[0]).to_python_identifier())
            # without a step that began, the Dagster run was about to begin the first
            status = step.status.value if step and step.status else "IN_PROGRESS" if place == wanted[0] else None
            if steps and not step:
                status = None
            if unfinished and status in (None, "IN_PROGRESS"):
                at_work = status is not None and dagster_run.status != Status.QUEUED
                since = (step.start_time if step else None) or began
                found[place] = Attempt(
                    dagster_run.run_id,
                    "running" if at_work else "waiting",
                    _iso(since),
                    host=elsewhere(dagster_run) or "",
                )
            elif not unfinished and status in ("FAILURE", "IN_PROGRESS"):
                stopped = said == INTERRUPTED or dagster_run.status == Status.CANCELED
                found[place] = Attempt(
                    dagster_run.run_id, "interrupted" if stopped else "failed", _iso(row.end_time or began), said
                )
    return found


INTERRUPTED = "stopped by Ctrl-C or a signal"


def _made_since(run: Run, place: Place, row: dg.RunRecord) -> bool:
    """Whether an artifact was made in a Dagster run, or, if that has ended, by another one since it began.

    The end is no measure: of what was killed it is when somebody noticed, and another host may have gone on before.
    What checks say is in the record.
    """
    record = run.record(*place)
    if record is None or record.run_id == row.dagster_run.run_id:
        return record is not None
    return row.end_time is not None and datetime.fromisoformat(record.created).timestamp() >= _began(row)


def _began(row: dg.RunRecord) -> float:
    """When a Dagster run began, or was to."""
    return row.start_time or row.create_timestamp.timestamp()


def _why_ended(dagster_run: dg.DagsterRun, instance: dg.DagsterInstance) -> str:
    """The first line of why a Dagster run failed or was cancelled; "" if it did neither."""
    if dagster_run.status in NOT_FINISHED_STATUSES:
        return ""
    kinds = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterEventType.RUN_CANCELED,
    }
    logs = instance.all_logs(dagster_run.run_id, of_type=kinds)
    events = [entry.dagster_event for entry in logs if entry.dagster_event]
    said = failures(events) or [e.message or "" for e in events if not e.is_step_event]
    first = next((line for text in said for line in text.splitlines() if line.strip()), "it did not say why")
    return INTERRUPTED if first.endswith(": interrupted") else first


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def tell_shared(run: Run, shared: Sequence[Place], other: str, instance: dg.DagsterInstance) -> None:
    """Tell Dagster that these artifacts of a branch are there, each with its version and figures, and from which run.

    The UI then shows them as materialized.
    """
    from mr_assets.wiring.previews import figures  # with all of the method, which `mr status` needs not

    for asset, partition in shared:
        record = run.record(asset, partition)
        assert record is not None
        rows = {} if record.rows is None else {"dagster/row_count": record.rows}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key(run, asset),
                partition=partition,
                description=f"Shared with run {other}, by mr branch.",
                metadata={"shared with": other, **rows, **figures(record.numbers)},
                tags={"dagster/data_version": record.version, "dagster/data_version_is_user_provided": "true"},
            )
        )
