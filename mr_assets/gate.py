"""Who is let in to a server: a check of each request's Host, origin, method and content type.

A web page from anywhere can send requests to 127.0.0.1, through the browser of whoever visits it. What it cannot do is
to choose the headers by which such a request is told:

    Host            the name that the browser was led to; that of another site, though its address is this machine's
                    (DNS rebinding), is none of the names under which the server is known
    Origin          the page that asks, of every WebSocket, and of every request but a plain GET; it must be the server
                    itself, name and port: what another program serves on 127.0.0.1 is another origin
    Sec-Fetch-Site  how that page stands to the server, of plain GETs too: a page of another site may link here, and
                    neither fetch, embed nor frame anything
    Content-Type    a page can post forms and plain text without asking first, but no JSON

Programs beside a browser (curl, Dagster's own clients) send neither Origin nor Sec-Fetch-Site, and are let in: who can
start one on this machine needs no web page.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mr_assets.errors import UserError, shown

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::")
"""The addresses that stand for all of a machine's."""
ALLOWED = "MR_ALLOWED_HOSTS"
"""Environment variable: further names under which the servers are known, with commas between them."""
METHODS = ("GET", "HEAD", "POST")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
POSTED = {JSON: "JSON", FORM: "a form"}
HEADERS = {"X-Frame-Options": "SAMEORIGIN", "Cross-Origin-Resource-Policy": "same-origin"}
"""Of every answer: no other site frames it, nor has it as a picture, a script or a style."""

_NAME = r"\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?"
_HOST = re.compile(rf"({_NAME})(?::([0-9]{{1,5}}))?", re.ASCII)
_ORIGIN = re.compile(rf"(https?)://({_NAME})(?::([0-9]{{1,5}}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}


def names(host: str, allowed: Iterable[str] = ()) -> tuple[str, ...]:
    """The names under which a server that listens on `host` is known: loopback's, its own, and those `allowed`.

    One that listens on all addresses keeps that word among its names: it then is also known under the address that a
    request came in at. Raises `UserError` for a name that is none, such as a URL or `*`.
    """
    given = [*allowed, *filter(None, re.split(r"[\s,]+", os.environ.get(ALLOWED, "")))]
    for name in given:
        if _name(name) is None or _name(name) in ANY:
            raise UserError(
                f"the allowed host {shown(name)}: expected a host's name or address, such as mr.example.org, without "
                f"http:// and port. See --allow-host and {ALLOWED}."
            )
    return (*LOOPBACK, *(_name(name) or name for name in (host, *given)))


def _name(text: str) -> str | None:
    """A host's name in one spelling: lower case, no dot at the end, an IPv6 address short and without brackets."""
    text = text.lower()
    if ":" in text and not text.startswith("["):
        text = f"[{text}]"
    if not re.fullmatch(_NAME, text, re.ASCII):
        return None
    if not text.startswith("["):
        return text.removesuffix(".")
    try:
        found = ip_address(text[1:-1])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


@dataclass(frozen=True)
class _Asked:
    """A request, as far as its headers tell who asks."""

    kind: str
    method: str
    path: str
    server: str | None
    headers: Headers

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """As ASGI has it."""
        server = scope.get("server")
        method = scope.get("method", "GET")
        return cls(scope["type"], method, scope["path"], server[0] if server else None, Headers(scope=scope))

    def single(self, header: str) -> str | None:
        """A header's value; None if it is not there. Two of them are as one that nothing is equal to."""
        found = self.headers.getlist(header)
        return ", ".join(found) if found else None


class Gate:
    """Lets a request in to an application, or answers it with why not, and what to do.

    hosts: the names under which the server is known, as `names` gives them; methods: those that it serves; posted: the
    content type that it takes. One that takes forms asks for more than these headers, such as a token.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str] = LOOPBACK, methods: Sequence[str] = METHODS, posted: str = JSON
    ) -> None:
        self.app, self.hosts, self.methods = app, frozenset(filter(None, map(_name, hosts))), methods
        self.posted = posted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(_Asked.of(scope))
        if refused is None:
            await self.app(scope, receive, sent)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:100]})
        else:
            status, why = refused
            extra = {"Allow": ", ".join(self.methods)} if status == 405 else None
            await PlainTextResponse(why + "\n", status, extra)(scope, receive, sent)

    def _refused(self, asked: _Asked) -> tuple[int, str] | None:
        """Status and reason; None for a request that may come in."""
        host = _HOST.fullmatch((asked.single("host") or "").lower())
        if host is None or not asked.path.startswith("/"):
            return 400, "The request does not say in one header Host, and in its path, what it is for."
        if not self._known(host[1], asked.server):
            return 400, (
                f"This server is not known under the name {host[1]}. If it is to be, behind a reverse proxy for "
                f"example, start it with --allow-host {host[1]}, or with {ALLOWED}={host[1]}."
            )
        if (origin := asked.single("origin")) is not None and not _same(origin.lower(), host):
            return 403, (
                "A page from elsewhere may not do this. (The request's Origin is not its Host; a reverse proxy must "
                "pass Host on as it is.)"
            )
        if asked.kind == "http":
            if asked.method not in self.methods:
                return 405, f"{' and '.join(self.methods)} are served, not {asked.method}."
            if not _own_page(asked) and not _followed_link(asked):
                return 403, "A page from elsewhere may link to this, and not fetch, embed or frame it."
            if asked.method == "POST" and _media(asked) != self.posted:
                return 415, f"What is sent must be {POSTED[self.posted]}, with the header Content-Type: {self.posted}."
        return None

    def _known(self, host: str, server: str | None) -> bool:
        name = _name(host)
        if name in ANY:
            return False
        return name in self.hosts or (not self.hosts.isdisjoint(ANY) and name == _address(server))


def _same(origin: str, host: re.Match[str]) -> bool:
    """Whether an Origin is that of a Host: the same name and port, under the scheme that the Origin names."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    usual = _PORTS[found[1]]
    return (_name(found[2]), int(found[3] or usual)) == (_name(host[1]), int(host[2] or usual))


def _own_page(asked: _Asked) -> bool:
    """Whether the request is of one of the server's own pages, of the person's, or of no browser."""
    return asked.single("sec-fetch-site") in (None, "same-origin", "none")


def _followed_link(asked: _Asked) -> bool:
    """Whether a link led to a whole page."""
    mode, dest = asked.single("sec-fetch-mode"), asked.single("sec-fetch-dest")
    return (asked.method, mode, dest) == ("GET", "navigate", "document")


def _media(asked: _Asked) -> str:
    """What a request says that it sends."""
    return (asked.single("content-type") or "").partition(";")[0].strip().lower()


def _address(server: str | None) -> str | None:
    """The address at which a request came in; None where that is no address."""
    try:
        found = ip_address(server or "")
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)
