"""Steps as jobs of a Ray cluster: what the executor needs and hands on, and how the jobs of a Dagster run are ended."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mr_assets.addresses import RAY
from mr_assets.definitions import executor
from mr_assets.errors import UserError
from mr_assets.orchestration import ray_steps

ADDRESS = "http://127.0.0.1:8265"


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("MR_EXECUTOR", "ray")
    monkeypatch.setenv(RAY, ADDRESS)
    return monkeypatch


def test_the_executor_is_dagster_rays(on_ray: pytest.MonkeyPatch) -> None:
    """The same object while the environment is the same: the definitions are built once."""
    assert executor().name == "ray"
    assert executor() is executor()
    first = executor()
    on_ray.setenv(RAY, "http://10.0.0.1:8265")
    assert executor() is not first


def test_without_the_extra_it_says_what_to_install(on_ray: pytest.MonkeyPatch) -> None:
    on_ray.setattr(ray_steps, "installed", lambda: False)
    with pytest.raises(UserError, match=r"on every node of the cluster: pip install -e '\.\[ray\]'"):
        executor()


def test_without_a_cluster_it_says_which_variable_names_one(on_ray: pytest.MonkeyPatch) -> None:
    on_ray.delenv(RAY)
    with pytest.raises(UserError, match=r"RAY_API_SERVER_ADDRESS is not set\. Set it to where the cluster takes jobs"):
        executor()
    assert ray_steps.ray_tags() == {}


def test_an_object_store_is_refused(on_ray: pytest.MonkeyPatch) -> None:
    on_ray.setenv("MR_DATA", "s3://bucket/runs")
    with pytest.raises(UserError, match="expected a folder that every node of the cluster has"):
        executor()


def test_a_step_gets_what_its_dagster_run_goes_by() -> None:
    """This environment's commands first; the Dagster run's id and recipes, though they are not known yet; not the UI's.

    Names alone are looked up when the step begins. Ray shows what it is handed, so that no password is.
    """
    own = str(Path(sys.executable).parent)
    path, *names = ray_steps.passed_on(
        {"PATH": f"/usr/bin:{own}", "MR_DATA": "/data", "MR_UI_OF": "x", "MR_POSTGRES": "p"}
    )
    assert path == f"PATH={own}:/usr/bin"
    assert {"DAGSTER_HOME", "PYTHONPATH", RAY, "MR_DATA", "MR_DAGSTER_RUN", "MR_RECIPES"} <= set(names)
    assert not {"MR_UI_OF", "MR_POSTGRES"} & set(names)


@dataclass
class Status:
    ended: bool

    def is_terminal(self) -> bool:
        return self.ended


@dataclass
class Job:
    submission_id: str | None
    metadata: dict[str, str] | None
    status: Status


class Cluster:
    """In place of Ray's client: a job ends at the second look after it was stopped."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = jobs
        self.stopped: list[str] = []
        self.looks = 0

    def __call__(self, address: str) -> "Cluster":
        assert address == ADDRESS
        return self

    def list_jobs(self) -> tuple[Job, ...]:
        self.looks += bool(self.stopped)
        for job in self.jobs:
            job.status.ended |= job.submission_id in self.stopped and self.looks == 2
        return self.jobs

    def stop_job(self, submission_id: str) -> None:
        self.stopped.append(submission_id)


def job(identity: str | None, run: str | None, *, ended: bool = False) -> Job:
    return Job(identity, {"dagster/run-id": run} if run else None, Status(ended))


def test_the_jobs_of_a_dagster_run_are_stopped_and_waited_for(on_ray: pytest.MonkeyPatch) -> None:
    """Those of another, those of nobody's, and those that have ended are let be."""
    cluster = Cluster(job("a", "run 1"), job("b", "run 1", ended=True), job("c", "run 2"), job(None, None))
    on_ray.setattr("ray.job_submission.JobSubmissionClient", cluster)
    on_ray.setattr("mr_assets.orchestration.ray_steps.time.sleep", lambda seconds: None)
    ray_steps.end_ray_steps(ray_steps.ray_tags(), "run 1")
    assert cluster.stopped == ["a"]
    assert cluster.jobs[0].status.ended


def test_a_dagster_run_without_ray_asks_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", refuse)
    monkeypatch.delenv("MR_EXECUTOR", raising=False)
    monkeypatch.setitem(os.environ, RAY, ADDRESS)
    assert ray_steps.ray_tags() == {}
    ray_steps.end_ray_steps({}, "run 1")


def test_a_cluster_that_cannot_be_reached_is_named(
    on_ray: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its jobs may still be at work, for example where the token is not set here."""

    def gone(address: str) -> Any:
        raise ConnectionError("401 Client Error: Unauthorized.")

    on_ray.setattr("ray.job_submission.JobSubmissionClient", gone)
    ray_steps.end_ray_steps(ray_steps.ray_tags(), "run 1")
    said = capsys.readouterr().err
    assert "the Ray jobs of Dagster run run 1 could not be ended at http://127.0.0.1:8265: 401" in said
