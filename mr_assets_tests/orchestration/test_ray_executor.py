"""The executor itself, on a cluster that is none: what no node can ever do is not submitted, what waits is told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from ray.job_submission import JobStatus

from mr_assets.orchestration import ray_executor
from mr_assets.orchestration.steps import failures
from mr_assets.planning.ray_nodes import GROWS

ADDRESS = "http://10.0.0.1:8265"
RAY_SAYS = "Job has not started yet."


class Jobs:
    """In place of Ray's client: a job waits for three looks, then it fails."""

    def __init__(self) -> None:
        self.submitted: list[float] = []
        self.looks = 0

    def submit_job(self, *, entrypoint_num_gpus: float, **_: Any) -> None:
        self.submitted.append(entrypoint_num_gpus)

    def get_job_status(self, job: str) -> JobStatus:
        self.looks += 1
        return JobStatus.PENDING if self.looks <= 3 else JobStatus.FAILED

    def get_job_info(self, job: str) -> Any:
        return SimpleNamespace(status=JobStatus.PENDING, message=RAY_SAYS, error_type=None)


@dg.op(tags={"dagster-ray/config": {"num_gpus": 4}})
def small_world__responses() -> None:
    """Asks for four GPUs, and is never begun."""


@dg.job(executor_def=ray_executor.executor_of(ADDRESS, []))
def iteration() -> None:
    """One step."""
    small_world__responses()


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    made = Jobs()
    monkeypatch.setattr(ray_executor, "jobs_of", lambda address: made)
    monkeypatch.setattr(ray_executor, "LOOK_SECONDS", 0)
    monkeypatch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.1")
    monkeypatch.delenv(GROWS, raising=False)
    return made


def executed(folder: Path, found: list[int], monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Why the step failed, and what its other events said, on nodes with these GPUs."""
    monkeypatch.setattr(ray_executor, "node_gpus", lambda address: found)
    with (
        dg.DagsterInstance.local_temp(str(folder)) as instance,
        dg.execute_job(dg.reconstructable(iteration), instance) as result,
    ):
        [why] = failures(result.all_events)
        told = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return why, [entry.dagster_event.message or "" for entry in told if entry.step_key and entry.dagster_event]


@pytest.mark.slow
def test_what_no_node_has_fails_at_once(tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    why, _ = executed(tmp_path, [0, 2], monkeypatch)
    assert why.startswith("responses: asks for 4 GPUs on one node (engine.tensor_parallel_size x engine.replicas);")
    assert "MR_RAY_AUTOSCALES=1" in why
    assert jobs.submitted == []


@pytest.mark.slow
def test_a_job_that_waits_is_told(tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it waits for, as long as it waits, and no more often than once in so many seconds."""
    monkeypatch.setattr(ray_executor, "SAY_SECONDS", 0)
    why, told = executed(tmp_path, [0, 4], monkeypatch)
    nodes = "the nodes that are up have 0, 4 (taken or not)"
    assert told == [f"waits for 4 GPUs on one node, for 0 min now; {nodes}. Ray: {RAY_SAYS}"] * 3
    assert "Discovered failed Ray job" in why
    assert jobs.submitted == [4]
    jobs.looks = 0
    monkeypatch.setattr(ray_executor, "SAY_SECONDS", 60)
    assert executed(tmp_path, [0, 4], monkeypatch)[1] == []


@pytest.mark.slow
def test_where_nodes_may_come_it_waits_for_one(tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GROWS, "1")
    executed(tmp_path, [0, 2], monkeypatch)
    assert jobs.submitted == [4]


def test_what_asks_for_no_gpu_waits_for_the_head() -> None:
    said = ray_executor.waits_for(0, 125, [0, 4], None)
    assert said == "waits for the cluster's head to start it, for 2 min now"
