"""Who is let in: every way that a page of another site could take, header by header."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from mr_assets.errors import UserError
from mr_assets.gate import LOOPBACK, Gate, names

JSON = ("Content-Type", "application/json")
OWN = ("Origin", "http://127.0.0.1:3000")
Header = tuple[str, str]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything that comes in."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


def ask(
    *headers: Header,
    method: str = "GET",
    path: str = "/",
    host: str | None = "127.0.0.1:3000",
    hosts: Sequence[str] = LOOPBACK,
    came_in_at: str = "127.0.0.1",
    kind: str = "http",
) -> list[Message]:
    """What the gate before the application sends."""
    given = [*([("Host", host)] if host is not None else []), *headers]
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "server": (came_in_at, 3000),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Gate(app, hosts)(scope, receive, send))
    return sent


def status(*headers: Header, **request: Any) -> int:
    """The status of the answer."""
    found: int = ask(*headers, **request)[0]["status"]
    return found


def opened(*headers: Header, **request: Any) -> bool:
    """Whether a WebSocket is opened."""
    return ask(*headers, **request, kind="websocket")[0]["type"] == "websocket.accept"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:3000", "127.0.0.1", "localhost:3000", "LOCALHOST:3000", "LocalHost.", "localhost.:80"),
        *("[::1]:3000", "[::1]", "[0:0:0:0:0:0:0:1]:3000", "[::ffff:127.0.0.1]:3000", "127.0.0.1:8080"),
    ],
)
def test_the_names_of_this_machine(host: str) -> None:
    """Whatever the port: one that is forwarded has another here."""
    assert status(host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", "evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("evil.example.", "localhost..", "evil@127.0.0.1", "127.0.0.1:3000@evil.example", "127.0.0.1/", "[::1"),
        *("::1", "[::1%25lo]", "0.0.0.0:3000", "[::]:3000", "10.0.0.7", "127.0.0.1, evil.example", "127.0.0.1:"),
        *("127.0.0.1:99x", "http://127.0.0.1", " 127.0.0.1", "127.0.0.1 evil.example", "locálhost", "."),
    ],
)
def test_any_other_name_is_refused(host: str | None) -> None:
    """DNS rebinding: the browser was led here under the name of another site."""
    assert status(host=host) == 400
    assert not opened(host=host)


def test_two_hosts_are_refused() -> None:
    assert status(("Host", "127.0.0.1:3000")) == 400
    assert status(("Host", "evil.example")) == 400


def test_a_path_with_a_host_in_it_is_refused() -> None:
    """The absolute form of a request, in which the address counts and not Host."""
    assert status(path="http://evil.example/graphql") == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_on_all_addresses_keeps_the_check(host: str) -> None:
    """The address that a request came in at is a name of the server, and no other than loopback's is."""
    known = names(host)
    assert status(host="192.168.1.5:3000", hosts=known, came_in_at="192.168.1.5") == 200
    assert status(host="192.168.1.5:3000", hosts=known, came_in_at="::ffff:192.168.1.5") == 200
    assert status(host="[fd00::5]:3000", hosts=known, came_in_at="fd00:0::5") == 200
    assert status(host="127.0.0.1:3000", hosts=known) == 200
    assert status(host="192.168.1.6:3000", hosts=known, came_in_at="192.168.1.5") == 400
    assert status(host="evil.example:3000", hosts=known, came_in_at="192.168.1.5") == 400
    assert status(host="0.0.0.0:3000", hosts=known) == 400


def test_listening_on_one_address_makes_it_a_name() -> None:
    assert status(host="192.168.1.5:3000", hosts=names("192.168.1.5"), came_in_at="192.168.1.5") == 200
    assert status(host="gpu-07:3000", hosts=names("gpu-07"), came_in_at="192.168.1.5") == 200
    assert status(host="evil.example:3000", hosts=names("192.168.1.5"), came_in_at="192.168.1.5") == 400
    assert status(host="192.168.1.5:3000", hosts=names("127.0.0.1"), came_in_at="192.168.1.5") == 400


def test_a_proxys_name_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option and by the environment; its pages are the server's own, and those of others are not."""
    known = names("127.0.0.1", ["MR.Example.org."])
    assert status(host="mr.example.org", hosts=known) == 200
    assert status(JSON, ("Origin", "https://mr.example.org"), method="POST", host="mr.example.org", hosts=known) == 200
    assert status(JSON, ("Origin", "https://evil.example"), method="POST", host="mr.example.org", hosts=known) == 403
    assert status(host="mr.example.org") == 400
    monkeypatch.setenv("MR_ALLOWED_HOSTS", "a.example, b.example c.example,")
    known = names("127.0.0.1", ["d.example"])
    assert [status(host=f"{x}.example", hosts=known) for x in "abcde"] == [200, 200, 200, 200, 400]


@pytest.mark.parametrize(
    "name", ["*", "http://mr.example.org", "mr.example.org:443", "a b", "0.0.0.0", "*.example.org"]
)
def test_what_is_no_name_cannot_be_allowed(name: str) -> None:
    with pytest.raises(UserError, match=r"expected a host's name or address.*--allow-host"):
        names("127.0.0.1", [name])


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "http://evil.example", "https://127.0.0.1.evil.example", "http://127.0.0.1:8000", "http://127.0.0.1"),
        *("http://localhost:3000", "file://", "chrome-extension://abc", "http://127.0.0.1:3000.evil.example"),
        *("http://127.0.0.1:3000/", "http://evil.example, http://127.0.0.1:3000", "", "127.0.0.1:3000"),
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    """Another port, another name of the same address, and none at all, too."""
    for method in ("GET", "POST"):
        assert status(JSON, ("Origin", origin), method=method) == 403
    assert not opened(("Origin", origin))


def test_two_origins_are_refused() -> None:
    assert status(JSON, OWN, ("Origin", "http://evil.example"), method="POST") == 403
    assert not opened(OWN, ("Origin", "http://evil.example"))
    assert not opened(OWN, OWN)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("LOCALHOST:3000", "http://localhost:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost"),
    ],
)
def test_the_servers_own_pages(host: str, origin: str) -> None:
    assert status(JSON, ("Origin", origin), ("Sec-Fetch-Site", "same-origin"), method="POST", host=host) == 200
    assert opened(("Origin", origin), host=host)


def test_a_program_beside_the_browser() -> None:
    """Curl and Dagster's clients send no Origin."""
    assert status() == status(JSON, method="POST") == 200
    assert status(("Content-Type", "Application/JSON; charset=utf-8"), method="POST") == 200
    assert opened()


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql"),
        *(
            "text/plain; application/json",
            "text/plain;application/json",
            "application/jsonp",
            "",
            "application/json, x",
        ),
    ],
)
def test_what_a_form_can_send_is_refused(kind: str) -> None:
    """Without a word to the server before, a page can send these types alone, and Dagster takes some for JSON."""
    for path in ("/graphql", "/report_asset_materialization/a/b", "/report_asset_check/a", "//graphql", "/graphql/"):
        assert status(("Content-Type", kind), method="POST", path=path) == 415
        assert status(method="POST", path=path) == 415
        assert status(JSON, ("Content-Type", "text/plain"), method="POST", path=path) == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "post", "QUERY"])
def test_other_methods_are_refused(method: str) -> None:
    """OPTIONS too, with which a browser asks whether a page may send more: it may not."""
    start = ask(JSON, method=method)[0]
    assert start["status"] == 405
    assert not [name for name, _ in start["headers"] if name.startswith(b"access-control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "another word"])
def test_a_page_from_elsewhere_may_link_and_no_more(site: str) -> None:
    """Neither picture, script, frame nor fetch; `same-site` is another port of this machine."""
    from_there = ("Sec-Fetch-Site", site)
    link = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
    assert status(from_there, *link) == 200
    assert status(from_there, *link, JSON, method="POST") == 403
    assert status(from_there) == 403
    for dest in ("image", "script", "iframe", "frame", "object", "empty", "style"):
        for mode in ("no-cors", "navigate", "cors"):
            assert status(from_there, ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)) == 403


def test_no_answer_can_be_framed_or_embedded() -> None:
    for start in (ask()[0], ask(host="evil.example")[0], ask(method="PUT")[0]):
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_refusal_says_what_to_do() -> None:
    said = b"".join(message.get("body", b"") for message in ask(host="mr.example.org:443"))
    assert b"--allow-host mr.example.org, or with MR_ALLOWED_HOSTS=mr.example.org" in said
