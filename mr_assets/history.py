"""What Dagster's history says of a run: what is under way, and how the last attempt at a step ended."""

from collections.abc import Collection

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunsFilter
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG

LOOK_BACK = 200  # Dagster runs


def partition_of(made: dg.DagsterRun) -> str | None:
    """The partition of a Dagster run. A backfill's runs have a range in its place, of one key."""
    return made.tags.get(PARTITION_NAME_TAG) or made.tags.get(ASSET_PARTITION_RANGE_START_TAG)


def under_way(namespace: str, instance: dg.DagsterInstance) -> str | None:
    """A sentence that names what is queued or in progress under a key prefix, however it was started; None if idle."""
    for made in instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if _concerns(made.asset_selection, namespace):
            state = made.status.value.lower()
            return f"{namespace}: {_what(made)} is being made by Dagster run {made.run_id} ({state})."
    running = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=running)):
        if _concerns(backfill.asset_selection, namespace):
            return f"{namespace}: backfill {backfill.backfill_id} is in progress."
    return None


def _what(made: dg.DagsterRun) -> str:
    partition = partition_of(made)
    if partition is None:
        return "what is made once"
    evaluation = made.asset_selection and all(key.path[-1] == "evaluation" for key in made.asset_selection)
    return f"the evaluation of model {partition}" if evaluation else f"iteration {partition}"


def _concerns(keys: Collection[dg.AssetKey] | None, namespace: str) -> bool:
    """Whether one of the keys is of the namespace; no keys are all keys."""
    return not keys or any(key.path[0] == namespace for key in keys)


def last_attempt(keys: list[dg.AssetKey], partition: str | None, instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """The newest Dagster run that was to make one of these assets in this partition.

    An unpartitioned asset may be made beside any partition, so that for `partition` None every run counts.
    """
    for made in instance.get_runs(limit=LOOK_BACK):
        of_these = not made.asset_selection or made.asset_selection & set(keys)
        if of_these and (partition is None or partition_of(made) == partition):
            return made
    return None
