"""The server: a Starlette application over the runs of a data folder, read-only but for answers of spot checks."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment
from polars import DataFrame
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mr_assets.addresses import listed, page_of
from mr_assets.errors import UserError
from mr_assets.escaped import shown
from mr_assets.escaped import templates as templates_of
from mr_assets.explorer import pages
from mr_assets.explorer.dropped import DroppedList
from mr_assets.explorer.figures import HEIGHT, WIDTH, FigurePage
from mr_assets.explorer.kept import Kept, Looks, Seen, Shared
from mr_assets.explorer.spotcheck import ALLOWED_SCRIPT, KEYS, SCRIPT, RefusedError, Token, Wanted, posted, written
from mr_assets.explorer.text import found_in, marked
from mr_assets.explorer.texts import TEXTS, TextList, lists_of
from mr_assets.gate import FORM, LOOPBACK, METHODS, Gate
from mr_assets.ids import PairKind, kind_of_pair, model_id, parsed, response_of, short
from mr_assets.lineage import trace
from mr_assets.lineage.exclusion import judgment_exclusion, judgment_truth, pair_truth, response_exclusion
from mr_assets.lineage.facts import Lineage
from mr_assets.lineage.lookup import has, having, named
from mr_assets.lineage.pairs import Listed, pairs
from mr_assets.lineage.staleness import stale_now
from mr_assets.lineage.tracing import why_stale
from mr_assets.loop import Place, titled
from mr_assets.printable import as_json, excerpt, printable
from mr_assets.recipes.recipe import GENERATED
from mr_assets.report import chart
from mr_assets.report.page import STYLE, body, drawing, inside
from mr_assets.report.report import report
from mr_assets.report.scoring_shift import scoring_shift
from mr_assets.runs.data_folder import candidates
from mr_assets.runs.object_store import pull
from mr_assets.runs.run import Run
from mr_assets.runs.snapshot import Snapshot
from mr_assets.runs.stored import stored_and_unreadable_runs
from mr_assets.words import worded, worded_settings

HERE = Path(__file__).parent
# No script runs and nothing is loaded from elsewhere, whatever a text says; but for the one of a spot check, by its
# content, the pages have none of their own.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
AT_ONCE = 4
"""Pages made at the same time: a search through the texts of an iteration takes memory, and more of them take more."""
TURN = 0.0005
"""Seconds after which a thread lets another one go on. To see whether a page is still true takes hundreds of system
calls, each of which waits for its turn while another page is made: at Python's 5 ms, for a second in all."""
# By path; a page without a head, of plain text, makes the browser ask for the icon under its old name.
STATIC = {
    "/style.css": (HERE / "style.css", "text/css"),
    "/report.css": (STYLE, "text/css"),
    "/icon.svg": (HERE / "icon.svg", "image/svg+xml"),
    "/favicon.ico": (HERE / "icon.svg", "image/svg+xml"),
}


PULL_SECONDS = 5.0
"""For how long what an object store had is taken for what it has."""
LOOK_SECONDS = 0.1
"""Between two looks whether the first page may be made ahead."""
KEPT = 64_000_000
"""Bytes of pages that are kept, and of lists of pairs."""


class NoSuchPageError(UserError):
    """What an address names is not there."""


@dataclass(frozen=True)
class Answer:
    """A page that was made."""

    body: bytes
    status: int
    media: str | None

    @classmethod
    def of(cls, response: Response) -> "Answer":
        """What a response says."""
        return cls(bytes(response.body), response.status_code, response.media_type)


Stored = tuple[dict[str, Run], dict[str, str]]


@dataclass(frozen=True)
class Asked:
    """What is asked of a run, its records as they are now, and its files as they were seen before they were read."""

    request: Request
    run: Snapshot
    seen: Seen

    @property
    def query(self) -> QueryParams:
        """What the address says behind the question mark."""
        return self.request.query_params


@dataclass(frozen=True)
class Explorer:
    """The pages over a data folder. ui: where the Dagster UI is; token: who may answer a spot check.

    What was made is kept while the files are the same: pages, and by run what several pages show.
    """

    data: Path
    ui: str
    templates: Environment
    token: Token = field(default_factory=Token)
    looks: Shared = field(default_factory=lambda: Shared(CapacityLimiter(AT_ONCE)))
    shared: Shared = field(default_factory=Shared)
    look: Looks = field(default_factory=Looks)
    answers: Kept[Answer] = field(default_factory=lambda: Kept(KEPT, lambda answer: len(answer.body)))
    stored: Kept[Stored] = field(default_factory=lambda: Kept(1, lambda _: 1))
    rows: Kept[dict[str, Any]] = field(default_factory=lambda: Kept(2000, lambda _: 1))
    stale: Kept[dict[Place, str]] = field(default_factory=lambda: Kept(2000, lambda _: 1))
    at_once: Kept[Snapshot] = field(default_factory=lambda: Kept(20, lambda _: 1))
    listed: Kept[DataFrame] = field(default_factory=lambda: Kept(KEPT, lambda frame: int(frame.estimated_size())))

    def answering(self, make: Callable[[Asked], Response]) -> Callable[[Request], Awaitable[Response]]:
        """A page of a run as the server gives it: made once for all who ask at a time, and while its files are so.

        Nobody waits for a page that is kept until others are made.
        """

        async def answer(request: Request) -> Response:
            key = (request.url.path, request.url.query)
            run = self.named(request.path_params["run"], (await self.looks.do("runs", self._stored))[1])
            seen = await self.looks.do((run.name, id(run)), lambda: self._seen(run))
            kept = self.answers.still(key, seen)
            if kept is None:
                kept = await self.shared.do(key, lambda: self._answer(key, make, request))
            return Response(kept.body, kept.status, media_type=kept.media)

        return answer

    def _answer(self, key: tuple[str, str], make: Callable[[Asked], Response], request: Request) -> Answer:
        run = self.named(request.path_params["run"], self._stored()[1])
        seen = self._seen(run)

        def answer() -> Answer:
            at_once = self.at_once.of(run.name, seen, lambda: Snapshot.of(run))
            return Answer.of(make(Asked(request, at_once, seen)))

        return self.answers.of(key, seen, answer)

    async def index(self, request: Request) -> Response:
        """The runs."""
        answer = await self.first_page()
        return Response(answer.body, answer.status, media_type=answer.media)

    async def first_page(self) -> Answer:
        """The page of the runs; of many runs it takes seconds the first time, since every recipe is read."""
        return await self.shared.do("/", self._index)

    def _index(self) -> Answer:
        recipes, (runs, unreadable) = self._stored()
        looked: dict[Path, Seen] = {}
        seen = {name: self._seen(run, looked) for name, run in runs.items()}

        def make() -> Answer:
            rows = [
                self.rows.of(run.name, seen[run.name], lambda run=run: pages.summary(self.ui, run))  # type: ignore[misc]
                for run in runs.values()
            ]
            charts = pages.side_by_side(rows)
            return Answer.of(self.page("index.html", runs=rows, unreadable=unreadable, charts=charts, chart=chart))

        return self.answers.of("/", Seen.together(recipes, *seen.values()), make)

    def _seen(self, run: Run, looked: dict[Path, Seen] | None = None) -> Seen:
        """The files and folders that a page of a run may come of: its own, its family's, and what its recipe names.

        looked: what was looked at a moment ago, for another run.
        """
        recipe, looked = run.recipe, {} if looked is None else looked
        named = [recipe.model.seed, recipe.prompts.source, recipe.eft.rankings or recipe.eft.source]
        named += [recipe.judgments.template, recipe.meta_judgments.template]
        files = (each for each in named if each and each not in ("world", GENERATED))
        others = [place for each in files for place in candidates(each, run.data)]
        places = dict.fromkeys([run.folder, run.data / run.family, *others])
        return Seen.together(*(looked.setdefault(place, looked.get(place) or self.look.at(place)) for place in places))

    def stale_of(self, asked: Asked) -> dict[Place, str]:
        """What of a run is stale, as `stale_now` says, kept while its files are the same."""
        return self.stale.of(asked.run.name, asked.seen, lambda: stale_now(asked.run))

    def pairs_of(self, asked: Asked) -> Listed:
        """What gives the pairs of the run, as `mr_assets.lineage.pairs.pairs`, kept while its files are the same."""

        def listed(run: Run, iterations: Sequence[str] | None, kinds: Sequence[PairKind]) -> DataFrame:
            key = (run.name, tuple(iterations or ()), tuple(kinds))
            return self.listed.of(key, asked.seen, lambda: pairs(run, iterations, kinds))

        return listed

    def pairs(self, asked: Asked) -> Response:
        """A run's pairs."""
        run = asked.run
        listing = pages.Listing.of(run, asked.query, self.stale_of(asked), self.pairs_of(asked))
        status = 400 if listing.wrong else 200
        return self.page("pairs.html", status, run=run, listing=listing, dagster=self.dagster(run))

    def dropped(self, asked: Asked) -> Response:
        """What a run's assets dropped."""
        found = DroppedList.of(asked.run, asked.query)
        return self.page("dropped.html", run=asked.run, found=found, dagster=self.dagster(asked.run))

    def figures(self, asked: Asked) -> Response:
        """A run's figures over its iterations."""
        old = self.stale_of(asked)
        found, scores = FigurePage.of(asked.run, old), scoring_shift([(asked.run, old)])
        return self.page("figures.html", run=asked.run, found=found, scores=scores, width=WIDTH, height=HEIGHT)

    def report(self, asked: Asked) -> Response:
        """The report on a run."""
        return self.page("report.html", run=asked.run, body=body(report([asked.run]), page_of=page_of))

    async def reports(self, request: Request) -> Response:
        """The report on several runs, those that the address names; where it names none, the page to choose some."""
        names = tuple(dict.fromkeys(request.query_params.getlist("run")))
        if not names:
            return await self.index(request)
        answer = await self.shared.do(("/report", names), lambda: self._reports(names))
        return Response(answer.body, answer.status, media_type=answer.media)

    def _reports(self, names: tuple[str, ...]) -> Answer:
        stored = self._stored()[1]
        runs = [self.named(name, stored) for name in names]
        seen = Seen.together(*(self._seen(run) for run in runs))

        def make() -> Answer:
            return Answer.of(self.page("report.html", run=None, body=body(report(runs), page_of=page_of)))

        return self.answers.of(("/report", *names), seen, make)

    @staticmethod
    def moved(request: Request) -> Response:
        """The page of what was dropped, under its address of earlier versions."""
        return RedirectResponse("dropped" + (f"?{request.url.query}" if request.url.query else ""), 301)

    def texts(self, asked: Asked) -> Response:
        """A run's texts of a kind."""
        kind = asked.request.url.path.rpartition("/")[2]
        found = TextList.of(asked.run, kind, asked.query, self.stale_of(asked))
        return self.page("texts.html", 400 if found.wrong else 200, run=asked.run, found=found)

    def identity(self, asked: Asked) -> Response:
        """The page of an id."""
        run, lineage, now = asked.run, self.lineage(asked), self.stale_of(asked)
        return self.page(
            "lineage.html",
            run=run,
            lineage=lineage,
            rounds=[pages.round_view(lineage, round_) for round_ in lineage.rounds],
            dagster=self.dagster(run),
            around=pages.around(run, lineage, asked.query, self.pairs_of(asked)),
            needle=asked.query.get("text", "").strip(),
            stale_here=why_stale(run, lineage, now),
            evaluations=pages.evaluations(run, lineage, now),
            shifted=pages.shifted(run, lineage, now),
        )

    def raw(self, asked: Asked) -> Response:
        """The text of an id."""
        return PlainTextResponse(pages.raw_text(self.lineage(asked)))

    def json(self, asked: Asked) -> Response:
        """The lineage of an id, as `mr trace --json` has it."""
        lineage = self.lineage(asked)
        stale = why_stale(asked.run, lineage, self.stale_of(asked))
        return Response(as_json(lineage.as_json() | {"stale": stale}), media_type="application/json")

    def find(self, request: Request) -> Response:
        """An id of any run: its page, or a choice between runs."""
        try:
            text, known = request.query_params.get("id", "").strip(), self.runs()
            here = known.get(request.query_params.get("run", ""))
            if here and "/" not in text and has(here, parsed(text)):
                return RedirectResponse(page_of(here.name, parsed(text).text), 303)
            runs, identity = having(text, known)
        except UserError as error:
            raise NoSuchPageError(str(error)) from error
        if len(runs) == 1:
            return RedirectResponse(page_of(runs[0].name, identity.text), 303)
        return self.page("choice.html", identity=identity, runs=runs)

    def spotchecks(self, request: Request) -> Response:
        """The runs, to look at pairs of."""
        token = self.token.text if self.token.given(request.query_params) else ""
        return self.page("spotchecks.html", runs=self.runs().values(), token=token)

    def spotcheck(self, request: Request) -> Response:
        """The next pair for whoever has the token; for others, and where it is asked for, the agreement."""
        may, run = self.token.given(request.query_params), self.named(request.path_params["run"], self._stored()[1])
        wanted = Wanted.of(run, request.query_params)
        show = bool(request.query_params.get("show"))
        pair = wanted.next() if may and not show else None
        page = self.page(
            "spotcheck.html",
            run=run,
            wanted=wanted,
            token=self.token.text if may else "",
            pair=pair,
            show=show,
            kept=bool(request.query_params.get("kept")),
            found=[] if pair else wanted.agreement(),
            keys=KEYS,
            script=SCRIPT,
        )
        if pair:
            page.headers["Content-Security-Policy"] = f"{HEADERS['Content-Security-Policy']}; {ALLOWED_SCRIPT}"
            page.headers["Referrer-Policy"] = "same-origin"  # else the form's Origin would be null
        return page

    async def answer(self, request: Request) -> Response:
        """Write an answer down, and on to the next pair."""
        form = await posted(request)
        if not self.token.given(form):
            raise RefusedError("The form has no token. Open the address that `mr explore --spotcheck` printed.")
        return await to_thread.run_sync(self._answered, request, form)

    def _answered(self, request: Request, form: dict[str, str]) -> Response:
        run = self.named(request.path_params["run"], self._stored()[1])
        wanted = Wanted.of(run, form)
        with self.token.lock:
            new = written(run, form)
        return RedirectResponse(wanted.address(self.token.text, **({} if new else {"kept": "1"})), 303)

    def runs(self) -> dict[str, Run]:
        """The runs that are there now."""
        return self._stored()[1][0]

    def _stored(self) -> tuple[Seen, Stored]:
        """The stored recipes as they were seen, and the runs that they are."""
        pull(self.data, within=PULL_SECONDS)
        seen = self.look.at(self.data, _recipes)
        return seen, self.stored.of("runs", seen, lambda: stored_and_unreadable_runs(self.data))

    @staticmethod
    def named(name: str, stored: Stored) -> Run:
        """The run that an address names: looked up among those that are there, so that no path comes of it."""
        runs, unreadable = stored
        if name in unreadable:
            raise UserError(f"run {printable(name)} cannot be read: {unreadable[name]}")
        try:
            return named(name, runs)
        except UserError as error:
            raise NoSuchPageError(str(error)) from error

    @staticmethod
    def lineage(asked: Asked) -> Lineage:
        """The lineage that an address names."""
        try:
            return trace(asked.run, asked.request.path_params["id"][:200])
        except UserError as error:
            raise NoSuchPageError(str(error)) from error

    def dagster(self, run: Run) -> pages.Dagster:
        """Addresses in the Dagster UI."""
        return pages.Dagster(self.ui, run)

    def page(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A template, filled in."""
        return HTMLResponse(self.templates.get_template(template).render(context), status)

    def failed(self, request: Request, error: Exception) -> Response:
        """What was wrong, as a page."""
        if isinstance(error, HTTPException):
            return self.page("error.html", error.status_code, message=f"{error.detail}.")
        if isinstance(error, UserError):
            status = {NoSuchPageError: 404, RefusedError: 403}.get(type(error), 400)
            return self.page("error.html", status, message=str(error))
        said = f"{type(error).__name__}: {error}"
        page = self.page(
            "error.html",
            500,
            message=f"This page cannot be made of what lies there ({said}). The server's log says more.",
        )
        page.headers.update(HEADERS)  # it is made outside of `WithHeaders`
        return page


def _recipes(data: Path) -> list[bytes]:
    """The stored recipes, there or not, of every folder in the data folder; and that."""
    folder = os.fsencode(data)
    names = sorted(os.listdir(folder)) if data.is_dir() else []  # noqa: PTH208 (in bytes)
    return [folder, *(b"%b/%b/recipe.yaml" % (folder, name) for name in names if not name.startswith(b"."))]


class WithHeaders:
    """Adds `HEADERS` to every response, where it has none of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sent)


@cache
def environment() -> Environment:
    """The templates of the pages, with the functions that they call; compiled once in a process."""
    templates = templates_of("mr_assets.explorer")
    templates.filters |= {
        "shown": shown,
        "marked": marked,
        "found_in": found_in,
        "worded": worded,
        "worded_settings": worded_settings,
        "short": short,
        "response_of": response_of,
        "kind_of_pair": kind_of_pair,
        "model_id": model_id,
        "excerpt": excerpt,
        "num": number,
        "gap": gap,
        "plain": printable,
        "drawing": drawing,
        "inside": inside,
    }
    templates.globals |= {
        "titled": titled,
        "response_exclusion": response_exclusion,
        "judgment_exclusion": judgment_exclusion,
    }
    templates.globals |= {"pair_truth": pair_truth, "judgment_truth": judgment_truth}
    templates.globals |= {f.__name__: f for f in (page_of, listed, lists_of, pages.makers, pages.grouped)}
    return templates


def explorer(
    data: Path, ui: str, hosts: tuple[str, ...] = LOOPBACK, token: str = "", ahead: Event | None = None
) -> Starlette:
    """The application. hosts: names under which it answers, so that no page of another site can read it.

    token: what lets a person answer spot checks; without one the application only reads.
    ahead: once it is set, the first page is made before anyone asks for it; None: at once.
    """
    templates = environment()
    here = Explorer(data, ui.rstrip("/"), templates, Token(token))
    routes = [
        Route("/", here.index),
        Route("/id", here.find),
        Route("/runs/{run}", here.answering(here.pairs)),
        Route("/runs/{run}/dropped", here.answering(here.dropped)),
        Route("/runs/{run}/figures", here.answering(here.figures)),
        Route("/runs/{run}/report", here.answering(here.report)),
        Route("/report", here.reports),
        Route("/runs/{run}/left-out", here.moved),
        *(Route(f"/runs/{{run}}/{kind}", here.answering(here.texts)) for kind in TEXTS),
        Route("/runs/{run}/{id}", here.answering(here.identity)),
        Route("/runs/{run}/{id}/raw", here.answering(here.raw)),
        Route("/runs/{run}/{id}/json", here.answering(here.json)),
        Route("/spotcheck", here.spotchecks),
        Route("/spotcheck/{run}", here.spotcheck),
        Route("/spotcheck/{run}", here.answer, methods=["POST"]),
        *(Route(path, _static(*file)) for path, file in STATIC.items()),
    ]
    failed = dict.fromkeys((UserError, HTTPException, Exception), here.failed)
    methods = METHODS if token else ("GET", "HEAD")
    middleware = [Middleware(WithHeaders), Middleware(Gate, hosts=hosts, methods=methods, posted=FORM)]

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        """While the server runs, pages wait for each other beyond `AT_ONCE`; templates and first page come ahead."""
        sys.setswitchinterval(TURN)
        for name in templates.list_templates():
            templates.get_template(name)
        to_thread.current_default_thread_limiter().total_tokens = AT_ONCE
        first = asyncio.ensure_future(_first_page(here, ahead))
        first.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever asks for it is told
        yield
        first.cancel()

    return Starlette(routes=routes, middleware=middleware, exception_handlers=failed, lifespan=running)


async def _first_page(here: Explorer, ahead: Event | None) -> None:
    while ahead is not None and not ahead.is_set():
        await asyncio.sleep(LOOK_SECONDS)
    await here.first_page()


def _static(path: Path, media: str) -> Callable[[Request], Response]:
    content = path.read_bytes()

    def static(request: Request) -> Response:
        return Response(content, media_type=media)

    return static


def number(value: float | None, digits: int = 4) -> str:
    """A number for a reader, what is zero but for rounding as zero; a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    return "0" if abs(value) < 1e-6 else f"{value:.{digits}g}"


def gap(value: float | None, digits: int = 0) -> str:
    """A difference in a column of them, its digits below those of the others; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")
