"""What a step on a Ray cluster says of where it works."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.wiring.ray_job import RayJob, ray_job

NODE = "3f1c09aa72be4c1e9f3c0a6be1d24c7f"


class Client:
    """In place of Ray's: knows one job."""

    def __init__(self, address: str | None) -> None:
        assert address == "http://head:8265"

    def get_address(self) -> str:
        return "http://head:8265"

    def get_job_info(self, job: str) -> Any:
        assert job == "step-1"
        return SimpleNamespace(driver_node_id=NODE, driver_agent_http_address="http://10.0.0.7:52365")


@pytest.fixture
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a process that Ray started as a job."""
    config = {"metadata": {"job_submission_id": "step-1"}, "runtime_env": {}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(config))
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", Client)
    ray_job.cache_clear()
    yield monkeypatch
    ray_job.cache_clear()


def test_outside_of_a_cluster_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    ray_job.cache_clear()
    assert ray_job() is None


def test_the_node_is_the_one_that_the_cluster_names(in_a_job: pytest.MonkeyPatch) -> None:
    in_a_job.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    found = ray_job()
    assert found == RayJob("step-1", NODE, "10.0.0.7", "0,3", "http://head:8265/#/jobs/step-1")
    assert found.said == "on 10.0.0.7 (node 3f1c09aa72be), GPU 0,3; Ray job step-1"


def test_without_gpus_it_says_so(in_a_job: pytest.MonkeyPatch) -> None:
    in_a_job.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = ray_job()
    assert found is not None
    assert found.said == "on 10.0.0.7 (node 3f1c09aa72be), no GPU; Ray job step-1"


def test_a_cluster_that_does_not_answer_is_no_failure(in_a_job: pytest.MonkeyPatch) -> None:
    """The asset is made all the same; what is known is said."""

    def silent(address: str | None) -> Any:
        raise ConnectionError("no answer")

    in_a_job.setenv("CUDA_VISIBLE_DEVICES", "0")
    in_a_job.setattr("ray.job_submission.JobSubmissionClient", silent)
    found = ray_job()
    assert found == RayJob("step-1", "", "", "0", "")
    assert found.said == "on an unknown host (node unknown), GPU 0; Ray job step-1"
