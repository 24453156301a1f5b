"""The webserver behind the gate: what changes anything comes by POST, as JSON, from its own pages or from no page."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import dagster as dg
import pytest
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mr_assets.dagster_internals import WorkspaceProcessContext
from mr_assets.gate import LOOPBACK

URL = "http://127.0.0.1:3000"
ASK = "query Q { version }"
ACT = 'mutation M { setConcurrencyLimit(concurrencyKey: "touched", limit: 3) }'
BOTH = f"{ASK} {ACT}"
FORGED = "/report_asset_materialization/a_run/actor_pairs"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("ui")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture(scope="module")
def ui(instance: dg.DagsterInstance) -> Iterator[TestClient]:
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        from mr_assets.orchestration.gated_webserver import Webserver  # a second of whoever loads it

        yield TestClient(Webserver(context, LOOPBACK).create_asgi_app(), base_url=URL)


def touched(instance: dg.DagsterInstance) -> bool:
    """Whether anything was changed."""
    return bool(instance.event_log_storage.get_concurrency_keys() or instance.all_asset_keys())


@pytest.mark.parametrize("document", [ACT, BOTH, f"# {ASK}\n{ACT}", ACT + " fragment F on Query { version }"])
@pytest.mark.parametrize("path", ["/graphql", "//graphql", "/graphql/", "/%67raphql", "/./graphql"])
def test_no_mutation_by_get(ui: TestClient, instance: dg.DagsterInstance, document: str, path: str) -> None:
    """Alone, beside a query, chosen by its name, as the second of two documents, and where Dagster shows GraphiQL."""
    for tail in ("", "&operationName=M", "&operationName=Q", f"&query={quote(ASK)}"):
        ui.get(f"{path}?query={quote(document)}{tail}")
        ui.get(f"{path}?query={quote(document)}{tail}", headers={"Accept": "text/html"})
        ui.head(f"{path}?query={quote(document)}{tail}")
    ui.get(f"{path}?query={quote(ASK)}&query={quote(document)}")
    answer = ui.get(f"/graphql?query={quote(document)}", headers={"Accept": "application/json"})
    assert (answer.status_code, "by POST, as JSON" in answer.text) == (405, True)
    assert not touched(instance)


def test_a_query_by_get_is_answered(ui: TestClient) -> None:
    assert ui.get("/graphql?query={version}").json() == {"data": {"version": ""}}
    assert ui.get("/graphql?query={version").status_code == 400
    assert ui.get("/graphql").status_code == 400
    assert "GraphiQL" in ui.get("/graphql", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:3000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/plain; application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_nothing_of_another_sites_page(ui: TestClient, instance: dg.DagsterInstance, headers: dict[str, str]) -> None:
    """Neither GraphQL, in the body or in the address, nor the endpoints that report what was never made."""
    sent = {"Content-Type": "application/json", **headers}
    body = json.dumps({"query": ACT})
    paths = [f"/graphql?query={quote(ACT)}", "/graphql", FORGED, f"{FORGED}?partition=1"]
    paths += [FORGED.replace("materialization", kind) for kind in ("check", "observation")]
    for path in paths:
        answer = ui.post(path, content=body, headers=sent)
        assert answer.status_code in (400, 403, 415), path
    assert not touched(instance)


@pytest.mark.parametrize(
    "path", ["/", "/server_info", "/logs/a/b/out", "/notebook?path=x.ipynb&repoLocName=x", "/download_debug/x", "/runs"]
)
def test_nothing_is_read_by_another_site(ui: TestClient, path: str) -> None:
    assert ui.get(path, headers={"Host": "evil.example"}).status_code == 400
    assert ui.get(path, headers={"Origin": "http://evil.example"}).status_code == 403
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    assert ui.get(path, headers=embedded).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_no_socket_for_another_site(ui: TestClient, headers: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        ui.websocket_connect("ws://127.0.0.1:3000/graphql", subprotocols=["graphql-ws"], headers=headers),
    ):
        pass


def test_a_socket_of_its_own_page_takes_no_mutation(ui: TestClient, instance: dg.DagsterInstance) -> None:
    with ui.websocket_connect(
        "ws://127.0.0.1:3000/graphql", subprotocols=["graphql-ws"], headers={"Origin": URL}
    ) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        socket.send_json({"type": "start", "id": "1", "payload": {"query": ACT}})
        assert socket.receive_json()["type"] == "error"
    assert not touched(instance)


def test_its_own_pages_and_programs_can_do_everything(ui: TestClient, instance: dg.DagsterInstance) -> None:
    """The last one here: what the tests before look for can happen."""
    own = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    assert ui.post("/graphql", json={"query": BOTH, "operationName": "M"}, headers=own).status_code == 200
    assert instance.event_log_storage.get_concurrency_keys() == {"touched"}
    assert ui.post(FORGED, json={}).status_code == 200
    assert instance.all_asset_keys() == [dg.AssetKey(["a_run", "actor_pairs"])]
