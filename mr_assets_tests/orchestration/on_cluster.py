"""What is tried on a cluster: run there by test_trial_cluster.py, whose command `mr cluster` starts it.

The engine and the trainer are fakes (`mr_assets_tests.ui.location`), Ray and the nodes are real.
"""

import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from mr_assets.addresses import RAY
from mr_assets.definitions import build_definitions
from mr_assets.orchestration.instance import instance
from mr_assets.orchestration.trial_cluster import environment, start_worker
from mr_assets.processes import processes_of
from mr_assets.recipes.gpus import gpus
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save
from mr_assets.wiring.partitions import asset_key
from mr_assets_tests.real_run import printed, started, wait_for
from mr_assets_tests.tiny import NAME, tiny_recipe
from mr_assets_tests.ui.server import MODULE, serving

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

PATIENCE = 300  # seconds until what takes seconds counts as hung
SHARD = 4  # completions: one request of K = 4 responses or of N = 3 judgments, or four battles
SETS = ("evaluation=null", f"engine.shard_size={SHARD}")
RUN = ("run", NAME, "--name", "typed")


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
        patch.delenv("DAGSTER_HOME", raising=False)
        job = build_definitions([run]).resolve_implicit_global_asset_job_def()
        with instance() as dagster:
            keys = [asset_key(run, asset) for asset in run.loop.per("family")]
            assert job.execute_in_process(instance=dagster, asset_selection=keys).success
        yield run


def requests(run: Run) -> list[str]:
    """What the engine completed, by request."""
    path = run.data / "requests.log"
    return path.read_text().splitlines() if path.exists() else []


def at_work() -> list[str]:
    """The Ray jobs that have not ended."""
    from ray.job_submission import JobSubmissionClient

    return [job.submission_id for job in JobSubmissionClient().list_jobs() if not job.status.is_terminal()]


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


def test_a_lost_node_and_ctrl_c_cost_a_shard_each(run: Run) -> None:
    """By `mr run`: the node lost in the middle of a table, then stopped in the next; the same command goes on.

    What needs a GPU is made on the worker, the rest on the head; the asset's page and the terminal say so.
    """
    with started(run.data, *RUN, module=MODULE) as command:
        wait_for(lambda: len(requests(run)) >= 2, PATIENCE, command)
        lose_the_worker()
        assert command.wait(PATIENCE) == 1
        assert "the same command goes on from there" in " ".join(printed(command).split())
    assert state(run, "responses", "1") == "missing"
    start_worker(environment(Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent), 1)

    with started(run.data, *RUN, module=MODULE) as command:
        wait_for(lambda: state(run, "responses", "1") == "done", PATIENCE, command)
        before = len(requests(run))
        wait_for(lambda: len(requests(run)) >= before + 2, PATIENCE, command)
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(PATIENCE) == 130
        assert at_work() == []
        said = printed(command)
    assert said.endswith("stopped; the same command goes on\n")
    assert "responses: 5 of 5 requests" in said
    assert f"responses: on 127.0.0.1 (node {nodes()['worker'][:12]}), GPU 0; Ray job dagster-step-" in said
    for asset in ("policy", "prompts", "responses"):
        found, count = shown(run, asset), gpus(run.recipe, asset)
        assert found["node"] == f"127.0.0.1 {nodes()['worker' if count else 'head']}", asset
        assert found["GPUs"] == ("0" if count else "none"), asset
        assert found["log of the Ray job"] == f"{os.environ[RAY]}/#/jobs/{found['Ray job']}"


def test_terminate_in_the_ui_ends_a_step_on_its_node(run: Run) -> None:
    """Launched by the webserver: nothing of it is at work afterwards, on any node. Launched again it goes on."""
    before = len(requests(run))
    with serving(run.data) as server:
        stopped = server.launch(run, ("judgments",), "1")
        wait_for(lambda: len(requests(run)) >= before + 2, PATIENCE, server.process)
        assert processes_of(stopped) != []
        server.cancel(stopped)
        assert server.ended(stopped).status == "CANCELED"
        wait_for(lambda: not at_work() and not processes_of(stopped), PATIENCE)
        assert server.ended(server.launch(run, ("judgments",), "1")).status == "SUCCESS"
    again = Counter(requests(run)) - Counter(set(requests(run)))
    assert sum(again.values()) <= 3 * SHARD
