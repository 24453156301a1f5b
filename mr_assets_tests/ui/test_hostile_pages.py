"""A person has `mr ui` open, and visits a page of somebody else's in the same browser. Needs Chromium on the PATH.

The page tries whatever a page can: pictures, scripts, frames, forms, fetches, beacons and sockets. It comes from
another site, from another port of this machine, and from a name that has come to mean 127.0.0.1 (DNS rebinding).
"""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, sync_playwright

from mr_assets.runs.run import Run
from mr_assets_tests.explorer.test_browser import CHROMIUM, QUIET
from mr_assets_tests.real_run import descendants, printed
from mr_assets_tests.ui.server import Server, serving
from mr_assets_tests.ui.test_backfill import saved

pytestmark = pytest.mark.slow
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on the PATH")

ACT = 'mutation M { setConcurrencyLimit(concurrencyKey: "touched", limit: 3) }'
TOUCHED = """{
  instance { concurrencyLimits { concurrencyKey } }
  assetsOrError { ... on AssetConnection { nodes { key { path } } } }
}"""
WATCH = 'subscription { pipelineRunLogs(runId: "x") { __typename } }'
ATTEMPTS = """
async ({ui, act}) => {
  const body = JSON.stringify({query: act}), found = {read: []};
  const graphql = `${ui}/graphql`, byGet = `${graphql}?query=${encodeURIComponent(act)}`;
  const forged = `${ui}/report_asset_materialization/a_run/actor_pairs`;
  const [plain, form, json] = ['text/plain', 'application/x-www-form-urlencoded', 'application/json'];
  const happens = (element, event, seconds) => new Promise(done => {
    element.addEventListener(event, () => done(true));
    element.addEventListener('error', () => done(false));
    setTimeout(() => done(false), 1000 * seconds);
  });
  const loads = (tag, src) => {
    const element = Object.assign(document.createElement(tag), {src}), loaded = happens(element, 'load', 5);
    document.body.append(element);
    return loaded;
  };
  const reads = async (address, how) => {
    try { return (await fetch(address, how)).status } catch { return null }
  };
  await loads('img', byGet);
  found.picture = await loads('img', `${ui}/favicon.png`);
  found.script = await loads('script', `${ui}/server_info`);
  for (const [action, enctype] of [[byGet, plain], [byGet, form], [graphql, plain], [forged, plain]]) {
    const sink = Object.assign(document.createElement('iframe'), {name: 'sink'});
    const sent = Object.assign(document.createElement('form'), {action, enctype, method: 'post', target: 'sink'});
    const field = Object.assign(document.createElement('input'), {name: body.slice(0, -1) + ',"x":"', value: '"}'});
    sent.append(field);
    document.body.append(sink, sent);
    const answered = happens(sink, 'load', 2);
    sent.submit();
    await answered;
    sink.remove();
  }
  for (const address of [graphql, forged, byGet])
    for (const type of [plain, json, `${plain}; ${json}`]) {
      const how = {method: 'POST', body, headers: {'Content-Type': type}};
      await reads(address, {...how, mode: 'no-cors'});
      found.read.push(await reads(address, how));
    }
  found.read.push(await reads(`${graphql}?query={version}`), await reads(byGet, {method: 'PUT'}));
  for (const type of [plain, form, json])
    try { navigator.sendBeacon(graphql, new Blob([body], {type})) } catch {}
  found.socket = await happens(new WebSocket(graphql.replace('http', 'ws'), 'graphql-ws'), 'open', 10);
  return found;
}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return saved(tmp_path_factory.mktemp("hostile") / "data", "tiny", 1)


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    with serving(run.data) as server:
        yield server


class Page(BaseHTTPRequestHandler):
    """A page of somebody else's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>a page</body>")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def somebody_elses() -> Iterator[int]:
    """The port of a server with such pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for which every name of the test means this machine."""
    with sync_playwright() as playwright:
        names = "--host-resolver-rules=MAP *.example 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, names])
        yield browser
        browser.close()


def touched(server: Server) -> bool:
    """Whether anything was changed."""
    found = server.ask(TOUCHED)
    limits = [each["concurrencyKey"] for each in found["instance"]["concurrencyLimits"]]
    return "touched" in limits or {"path": ["a_run", "actor_pairs"]} in [
        each["key"] for each in found["assetsOrError"]["nodes"]
    ]


@in_browser
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost"])
def test_a_page_from_elsewhere_gets_nowhere(server: Server, host: str) -> None:
    """Not even one of another program on this machine, under the same name."""
    ui = f"http://127.0.0.1:{server.port}"
    with somebody_elses() as port, chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://{host}:{port}/")
        found = page.evaluate(ATTEMPTS, {"ui": ui, "act": ACT})
    assert found == {"picture": False, "script": False, "read": [None] * 11, "socket": False}
    assert not touched(server)


@in_browser
def test_no_page_from_elsewhere_frames_it(server: Server) -> None:
    """What a person clicks on in a frame, the UI would take for meant."""
    ui = f"http://127.0.0.1:{server.port}/"
    with somebody_elses() as port, chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        with page.expect_response(ui) as answer:
            page.evaluate("src => document.body.append(Object.assign(document.createElement('iframe'), {src}))", ui)
        assert answer.value.status == 403


@in_browser
def test_a_name_that_has_come_to_mean_this_machine_gets_nowhere(server: Server) -> None:
    """The browser takes the UI for the other site's own, and would show its page all it asks for."""
    ui = f"http://rebound.example:{server.port}"
    with chromium() as browser:
        page = browser.new_page()
        answer = page.goto(f"{ui}/favicon.png")
        assert answer is not None and answer.status == 400
        found = page.evaluate(ATTEMPTS, {"ui": ui, "act": ACT})
    assert found["socket"] is False and found["script"] is False and found["picture"] is False
    assert set(found["read"]) <= {400}
    assert not touched(server)


def test_the_same_by_hand(server: Server) -> None:
    """What no browser would send, and a program could: two Hosts, a foreign one in the address, odd methods."""

    def status(head: str, body: str = "") -> int:
        with socket.create_connection(("127.0.0.1", server.port)) as to:
            lines = head.format(own=f"Host: 127.0.0.1:{server.port}").strip().splitlines()
            lines += [f"Content-Length: {len(body)}", "Connection: close", "", body]
            to.sendall("\r\n".join(line.strip() for line in lines).encode())
            answer = http.client.HTTPResponse(to)
            answer.begin()
            return answer.status

    json_body = json.dumps({"query": ACT})
    for head in (
        "POST /graphql HTTP/1.1\n{own}\nHost: evil.example\nContent-Type: application/json",
        "POST /graphql HTTP/1.1\nHost: evil.example\n{own}\nContent-Type: application/json",
        "POST http://evil.example/graphql HTTP/1.1\n{own}\nContent-Type: application/json",
        "POST /graphql HTTP/1.0\nContent-Type: application/json",
        "POST /graphql HTTP/1.1\n{own}\nOrigin: null\nContent-Type: application/json",
        "PUT /graphql HTTP/1.1\n{own}\nContent-Type: application/json",
        f"GET /graphql?query={quote(ACT)} HTTP/1.1\n" + "{own}",
        f"GET /%67raphql?query={quote(ACT)}&operationName=M HTTP/1.1\n" + "{own}",
        "GET /graphql HTTP/1.1\n{own}\nOrigin: http://127.0.0.1:1\nUpgrade: websocket\nConnection: Upgrade\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\nSec-WebSocket-Protocol: graphql-ws",
    ):
        assert status(head, json_body if head.startswith("P") else "") in (400, 403, 405), head
    assert not touched(server)


def test_nothing_else_can_be_reached(server: Server) -> None:
    """The UI's port and the pages': the code server and the daemon listen on no port at all."""
    found = set()
    for process in [*descendants(server.process)]:
        found |= {c.laddr.port for c in process.net_connections("inet") if c.status == "LISTEN"}
    assert found == {server.pages_port}


@in_browser
def test_the_ui_itself_works(server: Server) -> None:
    """Its own page: it lists the run, its socket is open and streams, and the same attempts succeed from there."""
    sockets: list[str] = []
    failed: list[tuple[int, str]] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("websocket", lambda opened: sockets.append(opened.url))
        page.on("response", lambda answer: failed.append((answer.status, answer.url)) if answer.status > 399 else None)
        page.goto(f"http://127.0.0.1:{server.port}/assets")
        page.get_by_text("tiny", exact=True).first.wait_for(timeout=120_000)
        assert failed == []
        found = page.evaluate(ATTEMPTS, {"ui": f"http://127.0.0.1:{server.port}", "act": ACT})
        assert (found["picture"], found["script"], found["socket"]) == (True, True, True)
        assert {200, 405, 415} <= set(found["read"])
        watched = page.evaluate(
            """watch => new Promise(done => {
              const socket = new WebSocket(`ws://${location.host}/graphql`, 'graphql-ws');
              socket.onopen = () => socket.send(JSON.stringify({type: 'start', id: '1', payload: {query: watch}}));
              socket.onmessage = message => done(JSON.parse(message.data));
              socket.onerror = () => done(null);
            })""",
            WATCH,
        )
    assert touched(server)
    assert watched["type"] == "data"
    assert "Traceback" not in printed(server.process)
