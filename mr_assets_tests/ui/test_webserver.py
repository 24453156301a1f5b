"""The webserver that a person opens: what the UI's buttons do, through the GraphQL that the UI itself speaks."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mr_assets_tests.real_run import PATIENCE, RealRun, alive, descendants, free_port, printed, started, wait_for

pytestmark = pytest.mark.slow

ASSETS = "{ assetNodes { assetKey { path } partitionKeys } }"
LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
RUN = """
query($id: ID!) {
  runOrError(runId: $id) { ... on Run {
    status startTime endTime
    eventConnection(limit: 1000) { events {
      __typename
      ... on ExecutionStepFailureEvent { failureMetadata { description } error { message } }
    } }
  } }
}"""
MATERIALIZATION = """
query($key: AssetKeyInput!, $partitions: [String!]) {
  assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: 1) {
      runId partition
      metadataEntries { label ... on IntMetadataEntry { intValue } ... on MarkdownMetadataEntry { mdStr } }
      tags { key value }
    }
  } }
}"""
STALE = """
query($keys: [AssetKeyInput!], $partition: String) {
  assetNodes(assetKeys: $keys) {
    staleStatus(partition: $partition)
    staleCauses(partition: $partition) { category reason key { path } }
  }
}"""
EDITOR = """
query($selector: PipelineSelector!) {
  runConfigSchemaOrError(selector: $selector, mode: "default") { ... on RunConfigSchema {
    rootDefaultYaml
    allConfigTypes { ... on CompositeConfigType { fields { name description } } }
  } }
}"""
LOOP = {
    *("policy", "prompts", "responses", "judgments", "actor_pairs", "selected_responses", "meta_judgments"),
    *("battle_matrices", "elo_pairs", "dpo_dataset", "checkpoints"),
}


@dataclass(frozen=True)
class Webserver:
    """``mr ui`` on a data folder of its own, and what a browser does with it."""

    run: RealRun
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def launch(self, run: str, asset: str, partition: str, **config: Any) -> Any:
        """Launch one partition of an asset, with what the launchpad's editor then holds; the webserver's answer."""
        selector = {
            "repositoryLocationName": "mr_assets.definitions",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [run, asset]}],  # and with it, as in the UI, its checks
        }
        parameters = {
            "mode": "default",
            "runConfigData": json.dumps({"ops": {f"{run}__{asset}": {"config": config}}} if config else {}),
            "selector": selector,
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        try:
            return self.ask(LAUNCH, parameters=parameters)["launchPipelineExecution"]
        except urllib.error.HTTPError as error:  # an error of Python's is answered with status 500
            return json.load(error)["data"]["launchPipelineExecution"]

    def materialize(self, run: str, asset: str, partition: str, **config: Any) -> str:
        """Press Materialize for one partition of an asset; the id of the run that this launches."""
        launched = self.launch(run, asset, partition, **config)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def ended(self, run_id: str) -> Any:
        """The run, once it has ended."""

        def look() -> Any:
            run = self.ask(RUN, id=run_id)["runOrError"]
            return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

        return wait_for(look, PATIENCE, self.process)

    def materialization(self, asset: str, partition: str) -> Any:
        """The latest materialization of a partition."""
        asked = self.ask(MATERIALIZATION, key={"path": [self.run.name, asset]}, partitions=[partition])
        [found] = asked["assetOrError"]["assetMaterializations"]
        return found

    def stale(self, asset: str, partition: str) -> tuple[str, list[str]]:
        """What the page of a partition says: its status, and which assets made it so."""
        asked = self.ask(STALE, keys=[{"path": [self.run.name, asset]}], partition=partition)
        [node] = asked["assetNodes"]
        return node["staleStatus"], [cause["key"]["path"][-1] for cause in node["staleCauses"]]

    def listening(self) -> set[str]:
        """The addresses at which any of its processes can be reached."""
        found = set()
        for process in [psutil.Process(self.process.pid), *descendants(self.process)]:
            with suppress(psutil.NoSuchProcess):
                found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        return found


def start(data: Path, name: str) -> Iterator[Webserver]:
    """Start ``mr ui``, wait until it has loaded the assets, and leave nothing behind."""
    port = free_port()
    with started(data, "ui", "--port", str(port)) as process:
        server = Webserver(RealRun(data, name), port, process)

        def ready() -> bool:
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                return bool(server.ask(ASSETS)["assetNodes"])
            return False

        wait_for(ready, PATIENCE, process)
        family = descendants(process)
        yield server
        family = [*{*family, *descendants(process)}]
        for each in alive(family):
            each.kill()


@pytest.fixture(scope="module")
def server(one_iteration: RealRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """On a copy of the finished iteration, so that materializing again disturbs no other test."""
    data = tmp_path_factory.mktemp("webserver") / "data"
    shutil.copytree(one_iteration.data, data)
    yield from start(data, one_iteration.name)


def test_every_asset_of_every_iteration_is_there(server: Webserver) -> None:
    """The UI lists the loop of the launched run and of the shipped recipes, each with its iterations."""
    nodes = {tuple(n["assetKey"]["path"]): n["partitionKeys"] for n in server.ask(ASSETS)["assetNodes"]}
    by_model = {"evaluation", "human_agreement", "labelled_pairs"}
    assert {asset for run, asset in nodes if run == "t"} == {*LOOP, *by_model}
    assert all(nodes["t", asset] == ["1"] for asset in LOOP)
    assert all(nodes["small_world_meta_rewarding", asset] == ["1", "2", "3", "4"] for asset in LOOP)
    assert nodes["t", "evaluation"] == ["seed", "0", "1"]
    assert (server.run.family, "sft_checkpoint") in nodes


def test_actor_pairs_can_be_materialized_again(server: Webserver) -> None:
    """Materialize writes the table again, the same one, and the UI shows the new materialization with its rows."""
    before, record = server.run.table("actor_pairs"), server.run.record("actor_pairs")
    run_id = server.materialize("t", "actor_pairs", "1")
    assert server.ended(run_id)["status"] == "SUCCESS"
    event = server.materialization("actor_pairs", "1")
    assert (event["runId"], event["partition"]) == (run_id, "1")
    rows = {e["label"]: e.get("intValue") for e in event["metadataEntries"]}["dagster/row_count"]
    assert rows == len(before)
    assert server.run.table("actor_pairs") == before
    assert server.run.record("actor_pairs")["run_id"] == run_id
    assert server.run.record("actor_pairs")["version"] == record["version"]


def test_the_launchpad_shows_what_may_be_chosen(server: Webserver) -> None:
    """The editor holds what the recipe says, ready to be changed; beside it every field says what it means."""
    selector = {
        "repositoryLocationName": "mr_assets.definitions",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [server.run.name, "actor_pairs"]}],
    }
    schema = server.ask(EDITOR, selector=selector)["runConfigSchemaOrError"]
    assert f"{server.run.name}__actor_pairs" in schema["rootDefaultYaml"]
    assert "rho: " in schema["rootDefaultYaml"]
    said = {f["name"]: f["description"] for each in schema["allConfigTypes"] for f in each.get("fields", [])}
    assert said["rho"].startswith("length control")
    assert "The recipe says" in said["rho"]


def test_another_rho_for_one_materialization(server: Webserver) -> None:
    """Overridden in the launchpad: the page shows both values, the dataset is stale, and going back mends it.

    Dagster looks one step down: what follows from the dataset is stale once that was re-materialized.
    """
    run, before, record = server.run.name, server.run.table("actor_pairs"), server.run.record("actor_pairs")
    assert server.stale("dpo_dataset", "1") == ("FRESH", [])
    for _ in range(2):  # the same rho again gives the same content, and changes nothing more
        assert server.ended(server.materialize(run, "actor_pairs", "1", rho=0.5))["status"] == "SUCCESS"
        now = server.run.record("actor_pairs")
        assert (now["overrides"], now["settings"]["iteration.rho"]) == ({"rho": 0.5}, 0.5)
        assert {row["rho"] for row in server.run.table("actor_pairs")} == {0.5}
        shown = {e["label"]: e.get("mdStr") for e in server.materialization("actor_pairs", "1")["metadataEntries"]}
        assert "| rho | 0.5 |" in shown["departs from the recipe"]
        assert server.stale("actor_pairs", "1") == ("FRESH", [])
        assert server.stale("dpo_dataset", "1") == ("STALE", ["actor_pairs"])
        assert server.stale("checkpoints", "1") == ("FRESH", [])
    assert server.ended(server.materialize(run, "actor_pairs", "1"))["status"] == "SUCCESS"
    assert server.run.table("actor_pairs") == before
    assert server.run.record("actor_pairs")["version"] == record["version"]
    assert server.stale("dpo_dataset", "1") == ("FRESH", [])


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"rho": 3}, ["rho = 3: expected a number >= 0 and <= 1", "length control"]),
        ({"rho": "much"}, ["much", "a number >= 0 and <= 1"]),
        ({"cut_off": "always"}, ["never_chosen or eligible", "always"]),
        ({"rh": 0.3}, ["rh", "rho?"]),
    ],
)
def test_the_launchpad_refuses_what_is_out_of_range(
    server: Webserver, config: dict[str, Any], parts: list[str]
) -> None:
    """At once, in words, without a run."""
    answer = server.launch(server.run.name, "actor_pairs", "1", **config)
    said = answer.get("message") or answer["errors"][0]["message"]
    for part in parts:
        assert part in said


def test_responses_are_sampled_by_the_webservers_own_run(server: Webserver) -> None:
    """The real engine works in a run that the UI launched, and gives what the command gave; nothing listens outside."""
    before, shards = server.run.table("responses"), server.run.folder("responses") / ".shards-1"
    shutil.rmtree(shards, ignore_errors=True)
    run_id = server.materialize("t", "responses", "1")
    addresses = set[str]()

    def done() -> bool:
        addresses.update(server.listening())
        return server.ask(RUN, id=run_id)["runOrError"]["status"] in ("SUCCESS", "FAILURE")

    wait_for(done, PATIENCE, server.process)
    assert server.ended(run_id)["status"] == "SUCCESS"
    assert addresses == {"127.0.0.1"}
    assert server.materialization("responses", "1")["runId"] == run_id
    record = server.run.record("responses")
    assert record["numbers"]["requests sampled by this run"] == record["numbers"]["requests"] > 0
    assert server.run.table("responses") == before


def test_a_policy_without_its_model_fails_at_once_and_says_what_to_do(server: Webserver) -> None:
    """Iteration 3 of a run that has no M_2: it fails in seconds, once, and names checkpoints of iteration 2."""
    run = server.ended(server.materialize("small_world_meta_rewarding", "policy", "3"))
    assert run["status"] == "FAILURE"
    events = run["eventConnection"]["events"]
    failures = [e for e in events if e["__typename"] == "ExecutionStepFailureEvent"]
    assert len(failures) == 1
    said = failures[0]["failureMetadata"]["description"]
    assert "small_world_meta_rewarding/checkpoints of iteration 2" in said
    assert "Materialize it first" in said
    assert run["endTime"] - run["startTime"] < 60


@pytest.mark.parametrize("how", ["ctrl_c", "terminate"])
def test_it_leaves_no_process_behind(one_iteration: RealRun, tmp_path: Path, how: str) -> None:
    """Ctrl-C in its terminal, or ``kill`` of the command alone: webserver, daemon and code servers are all gone."""
    data = tmp_path / "data"
    data.mkdir()
    servers = start(data, "none")
    server = next(servers)
    family = wait_for(lambda: found if len(found := descendants(server.process)) >= 3 else None, 60, server.process)
    if how == "ctrl_c":
        os.killpg(server.process.pid, signal.SIGINT)
    else:
        server.process.terminate()
    server.process.wait(PATIENCE)
    wait_for(lambda: not alive(family), 60)
    with pytest.raises(urllib.error.URLError):
        server.ask(ASSETS)
    assert "Traceback" not in printed(server.process)
    next(servers, None)
