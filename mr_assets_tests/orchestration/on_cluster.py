"""What is tried on a cluster: run there by test_trial_cluster.py, whose command `mr cluster` starts it.

The engine and the trainer are fakes (`mr_assets_tests.ui.location`), Ray and the nodes are real. The tests are one
story in their order, of an iteration that is interrupted three times and comes to its end: as a step takes seconds to
begin, none is begun for one test alone.
"""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from mr_assets.addresses import RAY
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.orchestration.instance import instance
from mr_assets.orchestration.trial_cluster import environment, start_worker
from mr_assets.planning.ray_nodes import GROWS, check_nodes, node_gpus
from mr_assets.processes import processes_of
from mr_assets.recipes.gpus import gpus
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save
from mr_assets.wiring.partitions import asset_key
from mr_assets_tests.real_run import printed, started, wait_for
from mr_assets_tests.tiny import NAME, tiny_recipe
from mr_assets_tests.ui.fake_trainer import SAVED_EVERY, STEPS
from mr_assets_tests.ui.server import MODULE, Server, serving

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

PATIENCE = 600  # seconds until what takes seconds counts as hung
SHARD = 4  # completions: one request of K = 4 responses or of N = 3 judgments, or four battles
A_REQUEST = 1  # of responses is a shard: more than that is never made again
SETS = ("evaluation=null", f"engine.shard_size={SHARD}")
RUN = ("run", NAME, "--name", "typed")
ITERATION = LOOP.per("iteration")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of one iteration whose one-off assets are there."""
    import mr_assets_tests.ui.location  # noqa: F401  the fakes, for this process as well

    data = tmp_path_factory.mktemp("on_cluster") / "data"
    run = Run("typed", with_iterations(tiny_recipe(*SETS), 1), data)
    save(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MR_DATA", str(data))
        patch.setenv("MR_EXECUTOR", "ray")  # as `mr cluster` has it; conftest.py takes it away
        patch.setenv("MR_FAKE_SECONDS", "0.25")
        patch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.2")  # between two looks at what has ended
        patch.delenv("DAGSTER_HOME", raising=False)
        job = build_definitions([run]).resolve_implicit_global_asset_job_def()
        with instance() as dagster:
            keys = [asset_key(run, asset) for asset in run.loop.per("family")]
            assert job.execute_in_process(instance=dagster, asset_selection=keys).success
        (data / "steps.log").unlink()  # of M0
        patch.setenv("MR_FAKE_STEP_SECONDS", "0.75")
        yield run


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    """The webserver, which hands steps to the cluster."""
    with serving(run.data) as server:
        yield server


def lines(run: Run, what: str) -> list[str]:
    """The requests that the engine completed, by their ids, or the steps that the trainer took."""
    path = run.data / f"{what}.log"
    return path.read_text().splitlines() if path.exists() else []


def redone(run: Run) -> int:
    """How many requests were completed once more."""
    found = lines(run, "requests")
    return len(found) - len(set(found))


def at_work() -> list[str]:
    """The Ray jobs that have not ended."""
    from ray.job_submission import JobSubmissionClient

    return [job.submission_id for job in JobSubmissionClient().list_jobs() if not job.status.is_terminal()]


def trainers() -> list[int]:
    """The trainers' processes, of any node."""
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if "mr_assets_tests.ui.fake_trainer" in (each.info["cmdline"] or ())]


def nodes() -> dict[str, str]:
    """The nodes of the cluster that are up: "head" and "worker" to their ids."""
    from ray.util.state import list_nodes

    found = [node for node in list_nodes(address=os.environ[RAY]) if node.state == "ALIVE"]
    return {"head" if node.is_head_node else "worker": node.node_id for node in found}


def lose_the_worker() -> None:
    """Everything on the node with the GPU is killed at once, as when its host loses its power."""
    [raylet] = [p for p in psutil.process_iter() if p.name() == "raylet" and ",GPU,1" in " ".join(p.cmdline())]
    for each in [raylet, *raylet.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def shown(run: Run, asset: str) -> dict[str, Any]:
    """The metadata of an asset's latest materialization, as its page shows it."""
    with instance() as dagster:
        chosen = dg.AssetRecordsFilter(asset_key=asset_key(run, asset), asset_partitions=["1"])
        event = dagster.fetch_materializations(chosen, limit=1).records[0].asset_materialization
    assert event is not None
    return {name: getattr(value, "value", value) for name, value in event.metadata.items()}


def test_without_the_token_it_takes_nothing() -> None:
    def asked(**headers: str) -> int:
        with urllib.request.urlopen(urllib.request.Request(f"{os.environ[RAY]}/api/jobs/", headers=headers)) as answer:
            json.load(answer)
            return answer.status

    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    assert asked(Authorization=f"Bearer {token}") == 200
    for wrong in ({}, {"Authorization": "Bearer 0123456789abcdef"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(**wrong)
        assert refused.value.code in (401, 403)


def test_more_gpus_than_a_node_has_are_refused(run: Run) -> None:
    """Two for an engine, where the worker has one and the head none."""
    assert node_gpus(os.environ[RAY]) == [0, 1]
    check_nodes(run, os.environ[RAY])
    two = replace(run, recipe=with_iterations(tiny_recipe(*SETS, "engine.replicas=2"), 1))
    with pytest.raises(UserError, match=r"responses, .*: 2 GPUs on one node .* the largest has 1\. Lower engine"):
        check_nodes(two, os.environ[RAY])


def test_a_lost_node_fails_the_iteration(run: Run, server: Server) -> None:
    """Launched whole by the webserver, lost in the middle of a table. What needs the node is refused from then on."""
    launched = server.launch(run, ITERATION, "1")
    wait_for(lambda: len(lines(run, "requests")) >= 2, PATIENCE, server.process)
    lose_the_worker()
    assert server.ended(launched).status == "FAILURE"
    assert state(run, "responses", "1") == "missing"
    wait_for(lambda: node_gpus(os.environ[RAY]) == [0], PATIENCE)
    with pytest.raises(UserError, match=r"responses, .*: 1 GPU on .* the largest has none\. Start a node that has"):
        check_nodes(run, os.environ[RAY])


def test_ctrl_c_ends_what_waits_for_a_node(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mr run` says that it waits. A job that were left would take the GPU as soon as there is one."""
    monkeypatch.setenv(GROWS, "1")
    with started(run.data, *RUN, module=MODULE, log="mr_run") as command:
        waits = "responses: waits for 1 GPU on one node, for 0 min now; the nodes that are up have 0 (taken or not)."
        wait_for(lambda: waits in printed(command), PATIENCE, command)
        os.killpg(command.pid, signal.SIGINT)
        start_worker(environment(Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent), 1)
        assert command.wait(PATIENCE) == 130
        assert at_work() == []
        assert printed(command).endswith("stopped; the same command goes on\n")
    assert state(run, "responses", "1") == "missing"


def test_it_goes_on_until_terminate_ends_the_training(run: Run, server: Server) -> None:
    """In the UI, the iteration from where it failed. Nothing of it is at work afterwards, on any node."""
    lost = next(each.id for each in server.runs() if each.status == "FAILURE")
    launched = server.reexecute(lost)
    wait_for(lambda: len(lines(run, "steps")) > SAVED_EVERY, PATIENCE, server.process)
    assert redone(run) <= A_REQUEST
    assert len(trainers()) == 1
    server.cancel(launched)
    assert server.ended(launched).status == "CANCELED"
    wait_for(lambda: not at_work() and not processes_of(launched) and not trainers(), PATIENCE)
    assert [asset for asset in ITERATION if state(run, asset, "1") != "done"] == ["checkpoints"]


def test_the_same_command_goes_on_to_the_end(run: Run) -> None:
    """What was not in the training's checkpoint yet is done again, and not more; the terminal says where."""
    with started(run.data, *RUN, module=MODULE, log="mr_run") as command:
        assert command.wait(PATIENCE) == 0, printed(command)
        said = printed(command)
    where = f"checkpoints: on 127.0.0.1 (node {nodes()['worker'][:12]}), GPU 0; Ray job dagster-step-"
    assert where in said
    assert len(lines(run, "steps")) <= STEPS + SAVED_EVERY


def test_each_step_was_on_a_node_that_has_what_it_needs(run: Run) -> None:
    """As its page says."""
    assert {asset for asset in ITERATION if gpus(run.recipe, asset)} == {
        *("responses", "judgments", "meta_judgments", "checkpoints")
    }
    for asset in ITERATION:
        found, needs = shown(run, asset), gpus(run.recipe, asset)
        assert found["node"] == f"127.0.0.1 {nodes()['worker' if needs else 'head']}", asset
        assert found["GPUs"] == ("0" if needs else "none"), asset
        assert found["log of the Ray job"] == f"{os.environ[RAY]}/#/jobs/{found['Ray job']}"
