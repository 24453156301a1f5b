"""dagster-ray's executor, which refuses what no node can ever do, and says of a step that waits that it does.

    responses: waits for 4 GPUs on one node, for 3 min now; the nodes that are up have 0, 4, 4 (taken or not). Ray: ...

That is an event of the step in Dagster's history, so that the page of the Dagster run and `mr run` show it.
"""

import time
from collections.abc import Iterator

import dagster as dg
from dagster_ray.configs import RayExecutionConfig
from dagster_ray.core.executor import RayStepHandler
from ray.job_submission import JobStatus

from mr_assets.dagster_internals import (
    CheckStepHealthResult,
    EngineEventData,
    RetryMode,
    StepDelegatingExecutor,
    StepFailureData,
    StepHandlerContext,
    UserFailureData,
)
from mr_assets.orchestration.console import WAITS
from mr_assets.planning.ray_nodes import TO_WAIT, jobs_of, node_gpus, unmet
from mr_assets.wiring.partitions import asset_of_step

LOOK_SECONDS = 10  # between two looks at the jobs: whether one was lost with its node, or waits
SAY_SECONDS = 55  # at least, between two sentences about a step that waits


def executor_of(address: str, env_vars: list[str]) -> dg.ExecutorDefinition:
    """The executor for the cluster at `address`, whose steps get `env_vars`, as dagster-ray takes them."""

    @dg.executor(name="ray", requirements=dg.multiple_process_executor_requirements())
    def ray(_: dg.InitExecutorContext) -> StepDelegatingExecutor:
        return StepDelegatingExecutor(
            Steps(address, env_vars),
            retries=RetryMode.ENABLED,
            check_step_health_interval_seconds=LOOK_SECONDS,
            should_verify_step=True,
        )

    made: dg.ExecutorDefinition = ray
    return made


class Steps(RayStepHandler):  # type: ignore[misc]  # mypy does not look into dagster-ray
    """Hands the steps of a Dagster run to the cluster."""

    def __init__(self, address: str, env_vars: list[str]) -> None:
        self.address = address
        self._waiting: dict[str, tuple[float, float]] = {}  # since when, and when it was said last
        super().__init__(jobs_of(address), env_vars, None, None, None, None, None)

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Submit the step's job; the step fails at once if no node that is up has the GPUs that it asks for."""
        step = self._get_step_key(step_handler_context)
        asked = _gpus(step_handler_context, step)
        if why := asked and unmet(asset_of_step(step), asked, node_gpus(self.address)):
            said = UserFailureData("no node has the GPUs", f"asks for {why} {TO_WAIT}")  # type: ignore[no-untyped-call]
            failed = StepFailureData(None, said)  # type: ignore[no-untyped-call]
            yield dg.DagsterEvent.step_failure_event(step_handler_context.get_step_context(step), failed)
            return
        self._waiting[step] = (time.monotonic(),) * 2
        yield from super().launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """As dagster-ray finds it; of a job that has not begun, the history says every minute what it waits for."""
        found: CheckStepHealthResult = super().check_step_health(step_handler_context)
        step = self._get_step_key(step_handler_context)
        if found.is_healthy and step in self._waiting:
            since, said = self._waiting[step]
            info = self.client.get_job_info(self._get_ray_job_submission_id(step_handler_context))
            if info.status != JobStatus.PENDING:
                del self._waiting[step]
            elif (now := time.monotonic()) - said >= SAY_SECONDS:
                self._waiting[step] = since, now
                message = waits_for(
                    _gpus(step_handler_context, step), now - since, node_gpus(self.address), info.message
                )
                dg.DagsterEvent.engine_event(step_handler_context.get_step_context(step), message, EngineEventData())
        return found


def _gpus(context: StepHandlerContext, step: str) -> int:
    """How many GPUs a step asks for, by its tag."""
    return int(RayExecutionConfig.from_tags({**context.step_tags[step]}).num_gpus or 0)


def waits_for(asked: int, seconds: float, found: list[int], ray_says: str | None) -> str:
    """What a step waits for: its GPUs, or the head, which takes what asks for none."""
    for_what = f"{asked} GPU{'s' * (asked > 1)} on one node" if asked else "the cluster's head to start it"
    nodes = f"; the nodes that are up have {', '.join(map(str, found))} (taken or not)" if asked and found else ""
    ray = f". Ray: {' '.join(ray_says.split())}" if ray_says else ""
    return f"{WAITS} {for_what}, for {seconds / 60:.0f} min now{nodes}{ray}"
