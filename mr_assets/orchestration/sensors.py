"""Hands-off: a sensor per run that takes it from where it is to its last iteration, one step at a time.

It asks for what `mr run` would do next, when nothing of the run is queued or in progress. What failed is not asked for
again, unless what it is made of has changed since: iteration 3 failed for want of M2, and M2 is there now.

It ships switched off: else to materialize checkpoints of iteration 1 again would set off the others.

Declarative automation (https://docs.dagster.io/guides/automate/declarative-automation) cannot do this: its conditions
look along the edges of the graph, and the handoff from checkpoints[t] to policy[t+1] is none. What policy depends on
in the graph, sft_checkpoint and seed_prompts, has no iterations. So with `AutomationCondition.eager()` a new
sft_checkpoint asks for policy of every iteration at once, of which only the first can be made, and new checkpoints[1]
do not ask for policy[2]. `AutomationCondition.asset_matches` needs no edge, but compares equal partitions: policy[1]
with checkpoints[1].
"""

from datetime import datetime

import dagster as dg

from mr_assets.errors import UserError
from mr_assets.orchestration.history import last_attempt, under_way
from mr_assets.orchestration.steps import Step, asset_keys, step_tags, steps
from mr_assets.runs.object_store import pull
from mr_assets.runs.run import Run
from mr_assets.wiring.partitions import asset_key

SECONDS = 10


def hands_off(run: Run) -> dg.SensorDefinition:
    """The sensor of a run."""
    keys = [asset_key(run, asset) for asset in run.loop]

    @dg.sensor(
        name=f"{run.name}_hands_off",
        asset_selection=dg.AssetSelection.assets(*keys),  # jobs of its own would make each run's half of all to load
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Takes {run.name} to its last iteration: what is missing or stale, one step at a time, when nothing "
            "of the run is queued or in progress. What failed is left to you. More iterations: "
            f"`mr extend {run.name} N` in the terminal, then Deployment > Code locations > Reload definitions here."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return next_request(run, context.instance)

    return sensor


def next_request(run: Run, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """The run's next step, or why there is none."""
    pull(run.data, within=SECONDS / 2)
    for namespace in (run.name, run.family):
        if busy := under_way(namespace, instance):
            return dg.SkipReason(busy)
    try:
        step = next(steps(run), None)
    except UserError as error:
        return dg.SkipReason(str(error))
    if step is None:
        return dg.SkipReason(f"{run.name} is complete: {len(run.iterations)} of {len(run.iterations)} iterations.")
    if hindered := _hindrance(run, step, instance):
        return dg.SkipReason(hindered)
    return dg.RunRequest(
        asset_selection=asset_keys(run, step),
        partition_key=step.partition,
        tags=step_tags(run, step),
    )


def _hindrance(run: Run, step: Step, instance: dg.DagsterInstance) -> str | None:
    """Why a step must not be asked for: it failed, or to do it once did not complete it."""
    keys = asset_keys(run, step)
    last = last_attempt(keys, step.partition, instance)
    if last is None:
        return None
    title = f"{run.name}, {step.title}"
    if last.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        if _inputs_changed(run, step, last, instance):
            return None
        how = "failed" if last.status == dg.DagsterRunStatus.FAILURE else "was cancelled"
        return (
            f"{title} {how} in Dagster run {last.run_id}. Open it, read its error, mend that, then press "
            "Re-execute > From failure; the sensor goes on by itself once it is complete."
        )
    if last.tags.get("mr/step") == step.title and last.asset_selection == set(keys):
        return (
            f"{title} was made by Dagster run {last.run_id} and yet is not up to date: {', '.join(step.assets)}. "
            f"`mr status {run.name}` shows what is; materialize it once to let the sensor go on."
        )
    return None


def _inputs_changed(run: Run, step: Step, last: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether an input of a step was made after the step's last attempt."""
    own = {(asset, step.partition) for asset in step.assets}
    inputs = {place for asset in step.assets for place in run.ancestors(asset, step.partition)} - own
    row = instance.get_run_record_by_id(last.run_id)
    ended = (row.end_time or row.create_timestamp.timestamp()) if row else 0.0
    records = [record for place in inputs if (record := run.record(*place))]
    return any(datetime.fromisoformat(record.created).timestamp() > ended for record in records)
