"""``mr ui`` with the fake engine and trainer, and what a browser does with it, by the GraphQL that the UI speaks."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets_tests.real_run import alive, descendants, free_port, started, wait_for

V = TypeVar("V")

LOCATION = "mr_assets_tests.ui.location"
MODULE = "mr_assets_tests.ui"
PATIENCE = 300  # seconds until what takes seconds counts as hung
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

BACKFILL = """
mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
REEXECUTE = """
mutation($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
REEXECUTE_BACKFILL = """
mutation($parameters: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
CANCEL = """
mutation($run: String!) {
  terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } ... on PythonError { message } }
}"""
SWITCH = """
mutation($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { __typename ... on PythonError { message } }
}"""
TICKS = """
query($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) { ... on Sensor {
    sensorState { status ticks(limit: 20) { status skipReason runIds error { message } } }
  } }
}"""
FIELDS = "runId status startTime endTime creationTime tags { key value } assetSelection { path }"
RUNS = f"{{ runsOrError(limit: 500) {{ ... on Runs {{ results {{ {FIELDS} }} }} }} }}"
RUN = f"query($id: ID!) {{ runOrError(runId: $id) {{ ... on Run {{ {FIELDS} }} }} }}"
FAILURES = """
query($id: ID!) {
  runOrError(runId: $id) { ... on Run { eventConnection(limit: 2000) { events {
    __typename
    ... on MessageEvent { message }
    ... on ExecutionStepFailureEvent { stepKey failureMetadata { description } error { message } }
  } } } }
}"""
BACKFILL_STATUS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
}"""
LOADED = "{ assetNodes { id } }"


@dataclass(frozen=True)
class DagsterRun:
    """A Dagster run as the UI lists it; times are seconds since 1970, None before they come."""

    id: str
    status: str
    start: float | None
    end: float | None
    created: float
    tags: dict[str, str]
    assets: frozenset[str]

    @classmethod
    def of(cls, row: Any) -> Self:
        """As GraphQL tells it."""
        times = (row["startTime"], row["endTime"], row["creationTime"])
        tags = {tag["key"]: tag["value"] for tag in row["tags"]}
        assets = frozenset(key["path"][-1] for key in row["assetSelection"] or ())
        return cls(row["runId"], row["status"], *times, tags, assets)

    @property
    def partition(self) -> str | None:
        """The iteration, under whichever kind of tag."""
        return self.tags.get("dagster/partition") or self.tags.get("dagster/asset_partition_range_start")


@dataclass
class Server:
    """The webserver and the daemon of a data folder."""

    data: Path
    port: int
    process: subprocess.Popen[bytes]
    pages_port: int = 0

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def loaded(self) -> bool:
        """Whether it answers, and has assets."""
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            return bool(self.ask(LOADED)["assetNodes"])
        return False

    def _do(self, mutation: str, success: str, **variables: Any) -> Any:
        [result] = self.ask(mutation, **variables).values()
        assert result["__typename"] == success, result
        return result

    def backfill(self, run: Run, partitions: Sequence[str], assets: Sequence[str] = LOOP.per("iteration")) -> str:
        """Select assets, press Materialize, choose partitions, launch; the backfill's id."""
        keys = [{"path": [run.namespace(asset), asset]} for asset in assets]
        parameters = {"assetSelection": keys, "partitionNames": list(partitions), "tags": []}
        found: str = self._do(BACKFILL, "LaunchBackfillSuccess", parameters=parameters)["backfillId"]
        return found

    def launch(self, run: Run, assets: Sequence[str], partition: str | None = None) -> str:
        """Materialize one partition, or assets that have none; the Dagster run's id."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [run.namespace(asset), asset]} for asset in assets],
        }
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        parameters = {
            "mode": "default",
            "runConfigData": "{}",
            "selector": selector,
            "executionMetadata": {"tags": tags},
        }
        found: str = self._do(LAUNCH, "LaunchRunSuccess", parameters=parameters)["run"]["runId"]
        return found

    def once(self, run: Run) -> None:
        """The one-off assets, to their end, if they are not there."""
        if any(state(run, asset) != "done" for asset in run.loop.per("family")):
            assert self.ended(self.launch(run, run.loop.per("family"))).status == "SUCCESS"

    def reexecute(self, run_id: str, strategy: str = "FROM_FAILURE") -> str:
        """Re-execute a run; the new one's id."""
        parameters = {"parentRunId": run_id, "strategy": strategy}
        found: str = self._do(REEXECUTE, "LaunchRunSuccess", parameters=parameters)["run"]["runId"]
        return found

    def reexecute_backfill(self, backfill_id: str) -> str:
        """The backfill page's "re-execute from failure"; the new backfill's id."""
        parameters = {"parentRunId": backfill_id, "strategy": "FROM_FAILURE"}
        found: str = self._do(REEXECUTE_BACKFILL, "LaunchBackfillSuccess", parameters=parameters)["backfillId"]
        return found

    def cancel(self, run_id: str) -> None:
        """Press Terminate."""
        self._do(CANCEL, "TerminateRunSuccess", run=run_id)

    def switch_on(self, run: Run) -> None:
        """Switch the run's sensor on."""
        self._do(SWITCH, "Sensor", sensor=_sensor(run))

    def ticks(self, run: Run) -> Any:
        """The latest ticks of the run's sensor, newest first."""
        return self.ask(TICKS, sensor=_sensor(run))["sensorOrError"]["sensorState"]

    def runs(self) -> list[DagsterRun]:
        """Every Dagster run, in the order of their creation."""
        return sorted(map(DagsterRun.of, self.ask(RUNS)["runsOrError"]["results"]), key=lambda r: r.created)

    def run(self, run_id: str) -> DagsterRun:
        """One Dagster run."""
        return DagsterRun.of(self.ask(RUN, id=run_id)["runOrError"])

    def ended(self, run_id: str, seconds: float = PATIENCE) -> DagsterRun:
        """A Dagster run, once it has ended."""

        def look() -> DagsterRun | None:
            found = self.run(run_id)
            return found if found.status in ENDED else None

        return self.wait_for(look, seconds)

    def backfill_ended(self, backfill_id: str, seconds: float = PATIENCE) -> list[DagsterRun]:
        """The runs of a backfill, once it has ended."""

        def look() -> bool:
            status = self.ask(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]["status"]
            return status not in ("REQUESTED", "CANCELING", "FAILING")

        self.wait_for(look, seconds)
        return self._runs_of(backfill_id)

    def backfill_ran(self, backfill_id: str, count: int) -> list[DagsterRun]:
        """The runs of a backfill, once there are so many and all have ended; the backfill itself may go on."""

        def look() -> list[DagsterRun]:
            found = self._runs_of(backfill_id)
            return found if len(found) >= count and all(r.status in ENDED for r in found) else []

        return self.wait_for(look, PATIENCE)

    def _runs_of(self, backfill_id: str) -> list[DagsterRun]:
        return [r for r in self.runs() if r.tags.get("dagster/backfill") == backfill_id]

    def wait_for(self, look: Callable[[], V | None], seconds: float = PATIENCE) -> V:
        """As `real_run.wait_for`, without asking the webserver all the time: that takes a core from what it serves."""

        def slowly() -> V | None:
            time.sleep(0.3)
            return look()

        return wait_for(slowly, seconds, self.process)

    def said(self, run_id: str) -> list[str]:
        """What the failures of a run say: of its steps, else of the run."""
        events = self.ask(FAILURES, id=run_id)["runOrError"]["eventConnection"]["events"]
        steps = [e for e in events if e["__typename"] == "ExecutionStepFailureEvent"]
        found = [(e["failureMetadata"] or {}).get("description") or e["error"]["message"] for e in steps]
        return found or [e["message"] for e in events if e["__typename"] == "RunFailureEvent"]


def _sensor(run: Run) -> dict[str, str]:
    return {
        "repositoryLocationName": LOCATION,
        "repositoryName": "__repository__",
        "sensorName": f"{run.name}_hands_off",
    }


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """Start ``mr ui``, wait until it has loaded the assets, and leave nothing behind."""
    port, pages_port = free_port(), free_port()
    ports = ("--port", str(port), "--pages-port", str(pages_port))
    with started(data, "ui", *ports, module=MODULE) as process:
        server = Server(data, port, process, pages_port)

        server.wait_for(server.loaded)
        try:
            yield server
        finally:
            for each in alive(descendants(process)):
                each.kill()
