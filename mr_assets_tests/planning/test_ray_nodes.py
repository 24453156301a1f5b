"""What no node of a Ray cluster can ever do is refused, before anything is launched."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.addresses import RAY
from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.planning.ray_nodes import GROWS, node_gpus, unmet
from mr_assets_tests.tiny import files, tiny_run

HEAD = "http://10.0.0.1:8265"
EIGHT = ("engine.replicas=4", "engine.tensor_parallel_size=2", "prompts.source=missing.txt")


def node(state: str, **resources: float) -> Any:
    return SimpleNamespace(state=state, resources_total={"CPU": 16.0, **resources})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A head without a GPU, two workers with four; what is added to the list is up as well."""
    nodes = [node("ALIVE"), node("ALIVE", GPU=4.0), node("ALIVE", GPU=4.0), node("DEAD", GPU=8.0)]

    def list_nodes(address: str) -> list[Any]:
        assert address == HEAD
        return nodes

    monkeypatch.setattr("ray.util.state.list_nodes", list_nodes)
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", lambda address: None)
    monkeypatch.setenv("MR_EXECUTOR", "ray")
    monkeypatch.setenv(RAY, HEAD)
    monkeypatch.delenv(GROWS, raising=False)
    return nodes


def said_of(data: Path, *sets: str) -> str:
    """What is refused, or what comes after it: there is no file of prompts."""
    with pytest.raises(UserError) as refused:
        check_run(tiny_run(data, *sets))
    return str(refused.value)


def test_a_cluster_that_takes_no_jobs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not there, or wants a token: before a Dagster run is made."""
    monkeypatch.setenv("MR_EXECUTOR", "ray")
    monkeypatch.setenv(RAY, "http://127.0.0.1:1")
    said = said_of(tmp_path / "data")
    assert said.startswith("the Ray cluster at http://127.0.0.1:1 takes no jobs of this host: ")
    assert "mend RAY_API_SERVER_ADDRESS; with a token, RAY_AUTH_MODE=token" in said
    assert files(tmp_path) == {}


def test_nodes_that_are_down_do_not_count(cluster: list[Any]) -> None:
    assert node_gpus(HEAD) == [0, 4, 4]


def test_more_than_the_largest_node_has_is_refused(tmp_path: Path, cluster: list[Any]) -> None:
    """4 x 2 GPUs of nodes that have 4. What one node has, a DPO of four processes, is not named."""
    said = said_of(tmp_path / "data", *EIGHT, "dpo.num_processes=4", "dpo.micro_batch_size=2")
    first, line, last = said.splitlines()
    more = "its steps ask for more than any node has. Nothing was started."
    assert first == f"tiny cannot run on the Ray cluster at {HEAD}: {more}"
    asked = "8 GPUs on one node (engine.tensor_parallel_size x engine.replicas); of the nodes that are up (3)"
    change = "the largest has 4. Lower engine.tensor_parallel_size or engine.replicas."
    assert line == f"  - responses, judgments, meta_judgments, evaluation: {asked}, {change}"
    assert "set MR_RAY_AUTOSCALES=1: then steps wait for it" in last
    assert files(tmp_path) == {}


def test_each_training_names_its_own_field(cluster: list[Any]) -> None:
    trainings = {"checkpoints": "dpo.num_processes", "sft_checkpoint": "sft.num_processes"}
    for asset, field in trainings.items():
        assert (unmet(asset, 5, [0, 4]) or "").startswith(f"5 GPUs on one node ({field});")


def test_without_any_gpu_it_says_what_to_start(cluster: list[Any]) -> None:
    said = unmet("checkpoints", 1, [0, 0])
    assert said is not None
    assert said.endswith("(2), the largest has none. Start a node that has them.")


@pytest.mark.parametrize("why", ["a larger node", "an autoscaler", "no answer", "other executor"])
def test_else_it_goes_on(tmp_path: Path, cluster: list[Any], monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Also where nobody knows: whoever hands the first step over says what is wrong with the cluster."""

    def silent(address: str) -> Any:
        raise ConnectionError("no answer")

    if why == "a larger node":
        cluster.append(node("ALIVE", GPU=8.0))
    elif why == "an autoscaler":
        monkeypatch.setenv(GROWS, "1")
    elif why == "no answer":
        monkeypatch.setattr("ray.util.state.list_nodes", silent)
    else:
        monkeypatch.setenv("MR_EXECUTOR", "in_process")
        monkeypatch.setattr("mr_assets.planning.refusal.devices", list)
    assert "there is no file" in said_of(tmp_path / "data", *EIGHT)
