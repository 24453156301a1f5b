"""What the pages show: contexts for the templates, made of lineages and lists of pairs."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from typing import Any
from urllib.parse import quote, urlencode

from mr_assets.addresses import asset_in_ui, page_of
from mr_assets.errors import UserError
from mr_assets.explorer.ancestry import Picture, ancestry, shades
from mr_assets.explorer.text import Part, difference
from mr_assets.ids import PAIR_ASSETS, PairKind, kind_of_pair, model_key
from mr_assets.lineage.facts import Battle, Descent, Judgment, Lineage, Model, Pair, Provenance, Response, Round
from mr_assets.lineage.pairs import GAPS, KINDS, SORTS, Between, Listed, Query, pairs, texts_of
from mr_assets.lineage.staleness import Staleness, stale_now
from mr_assets.loop import Place, titled
from mr_assets.printable import excerpt
from mr_assets.report.chart import Chart
from mr_assets.report.headline import headline
from mr_assets.report.scoring_shift import PROBE, densities, probe
from mr_assets.runs.estimates import estimates
from mr_assets.runs.run import Run
from mr_assets.runs.snapshot import Snapshot
from mr_assets.words import worded
from mr_assets.worlds.truth import AGREEMENTS, checker

PAGE = 50
"""Pairs on a page of the list."""
FILTERS = ("iteration", "kind", *GAPS, "truth", "text")


@dataclass(frozen=True)
class Dagster:
    """Addresses in the Dagster UI at `url`, for one run."""

    url: str
    run: Run

    def asset(self, asset: str, partition: str | None) -> str:
        """The page of an artifact."""
        return self.url + asset_in_ui(self.run.namespace(asset), asset, partition)

    @property
    def assets(self) -> str:
        """The list of the run's assets."""
        return f"{self.url}/assets/{quote(self.run.name, safe='')}"

    def dagster_run(self, provenance: Provenance) -> str:
        """The page of the Dagster run that made something."""
        return f"{self.url}/runs/{quote(provenance.dagster_run, safe='')}"


# --------------------------------------------------------------------------------------------------------- the list


@dataclass(frozen=True)
class Listing:
    """One page of a run's pairs, and what was asked for.

    asked: the filters that are set, as the form has them; wrong: by filter, what is wrong with it, and then no pair is
    listed; count: pairs that match; provenances: of the pairs of the iterations and kinds asked for, matching or
    not; stale: where that is not made of what lies there now.
    """

    run: Run
    asked: Mapping[str, str]
    wrong: Mapping[str, str]
    sort: str
    ascending: bool
    page: int
    count: int
    rows: list[dict[str, Any]]
    provenances: list[Provenance]
    stale: tuple[str, ...]
    truth: bool

    @classmethod
    def of(
        cls, run: Run, given: Mapping[str, str], now: Mapping[Place, str], listed_pairs: Listed = pairs
    ) -> "Listing":
        """What a query string asks for. Raises `UserError` if it names an unknown filter.

        now: what of the run is stale, as `stale_now` says.
        """
        asked, sort, ascending, wrong = _asked(run, given)
        known = checker(run.recipe) is not None
        if wrong:
            return cls(run, asked, wrong, sort, ascending, 1, 0, [], [], (), known)
        page, query = page_number(given), _query(asked)
        order = query.ordered([run], sort, ascending=ascending, listed=listed_pairs)
        rows = texts_of([run], order.slice((page - 1) * PAGE, PAGE))
        iterations = [query.iteration] if query.iteration else run.iterations
        places, staleness = [(PAIR_ASSETS[kind], t) for t in iterations for kind in query.kinds], Staleness(run)
        there = {place: record for place in places if (record := staleness.record(place))}
        provenances = [Provenance.of(record) for record in there.values()]
        said = _stale(now, staleness, there)
        return cls(run, asked, {}, sort, ascending, page, order.height, rows.to_dicts(), provenances, said, known)

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return page_count(self.count)

    def address(self, **changed: Any) -> str:
        """The same list with something else asked for; back on its first page, unless a page is asked for."""
        return page_of(self.run.name) + self.query(**changed)

    def query(self, **changed: Any) -> str:
        """The query string of `address`, to be carried along."""
        return _carried({**self.asked, "sort": self.sort, "order": _order(self.sort, self.ascending)} | changed)

    def sorted_by(self, sort: str) -> str:
        """The address of a column's title: by that column, the largest first, and the other way round when it is."""
        return self.address(sort=sort, order=_order(sort, sort == self.sort and not self.ascending))

    def direction(self, sort: str) -> str:
        """How the list is sorted by a column, as aria-sort has it."""
        if sort != self.sort:
            return "none"
        return "ascending" if self.ascending or sort == "pair_id" else "descending"

    @property
    def columns(self) -> dict[str, str]:
        """The gaps that have a column, and how a person calls them."""
        return {name: label for name, label in GAPS.items() if self.truth or name != "true_gap"}

    @property
    def command(self) -> str:
        """The same in a terminal."""
        words = ["mr pairs", self.run.name]
        words += [f"--{name.replace('_', '-')} {_quoted(value)}" for name, value in self.asked.items()]
        words += [f"--sort {self.sort}"] if self.sort != "pair_id" else []
        return " ".join(words + ["--ascending"] * self.ascending)


def _asked(run: Run, given: Mapping[str, str]) -> tuple[dict[str, str], str, bool, dict[str, str]]:
    """The filters of a query string, what it sorts by, whether ascending, and what is wrong with which of these."""
    asked = {name: given[name].strip() for name in FILTERS if given.get(name, "").strip()}
    unknown = [name for name in given if name not in (*FILTERS, "sort", "order", "page")]
    if unknown:
        named = excerpt(", ".join(unknown), 80)
        raise UserError(f"unknown filter {named}. There are {', '.join(FILTERS)}, sort, order, page.")
    sort, order = given.get("sort") or "pair_id", given.get("order", "")
    closed = {"kind": KINDS, "iteration": run.iterations, "truth": tuple(AGREEMENTS)}
    checks: dict[str, Callable[[], object]] = {
        **{name: partial(one_of, name, asked.get(name), known) for name, known in closed.items()},
        **{name: partial(Between.parsed, asked[name]) for name in GAPS if name in asked},
        "sort": partial(one_of, "sort", sort, SORTS),
        "order": partial(one_of, "order", order or None, ("asc", "desc")),
        "page": partial(page_number, given),
    }
    wrong = {}
    for name, check in checks.items():
        try:
            check()
        except UserError as error:
            wrong[name] = str(error)
    return asked, sort if sort in SORTS else "pair_id", order == "asc" and sort != "pair_id", wrong


def _query(asked: Mapping[str, str]) -> Query:
    gaps = {name: asked.get(name) for name in GAPS}
    return Query.parsed(asked.get("iteration"), asked.get("kind"), asked.get("text"), asked.get("truth"), **gaps)


def _order(sort: str, ascending: bool) -> str:
    return "" if sort == "pair_id" else "asc" if ascending else "desc"


def _carried(asked: Mapping[str, Any]) -> str:
    plain = {k: v for k, v in asked.items() if v not in ("", None) and (k, v) != ("sort", "pair_id")}
    return "?" + urlencode(plain) if plain else ""


def _stale(now: Mapping[Place, str], staleness: Staleness, there: Iterable[Place]) -> tuple[str, ...]:
    """Where artifacts are not made of what lies there now, or not as the run would make them now; each once."""
    said: dict[str, None] = {}
    for place in there:
        broken = staleness.broken_behind(place)
        said |= dict.fromkeys(each.said for each in broken)
        if not broken and place in now:
            said[f"{titled(*place)}: {now[place]}"] = None
    return tuple(said)


@dataclass(frozen=True)
class Around:
    """Where a pair is in a list: the pairs before and after it, and the addresses of these and of the list."""

    place: int
    count: int
    previous: str | None
    next: str | None
    back: str


def around(run: Run, lineage: Lineage, given: Mapping[str, str], listed_pairs: Listed = pairs) -> Around | None:
    """Where a pair is in the list that a query string asks for; None if it is not in it, or there is no such list."""
    if lineage.kind != "pair":
        return None
    try:
        asked, sort, ascending, wrong = _asked(run, given)
    except UserError:
        return None
    if wrong:
        return None
    ids = _query(asked).ordered([run], sort, ascending=ascending, listed=listed_pairs)["pair_id"].to_list()
    if lineage.id not in ids:
        return None
    n, query = ids.index(lineage.id), {**asked, "sort": sort, "order": _order(sort, ascending)}
    before, after = ids[n - 1] if n else None, ids[n + 1] if n + 1 < len(ids) else None
    page = n // PAGE + 1
    return Around(
        n + 1,
        len(ids),
        before and page_of(run.name, before) + _carried(query),
        after and page_of(run.name, after) + _carried(query),
        page_of(run.name) + _carried({**query, "page": page if page > 1 else ""}),
    )


@dataclass(frozen=True)
class Evaluated:
    """What an asset measured of a model; stale: why that is not of this model, if it is not."""

    asset: str
    figures: dict[str, str]
    provenance: Provenance
    stale: str | None


def evaluations(run: Run, lineage: Lineage, now: Mapping[Place, str]) -> list[Evaluated]:
    """What was measured of a model, asset by asset; nothing of another id."""
    key = model_key(lineage.id)
    places = [(asset, key) for asset in run.loop.per("model")] if lineage.kind == "model" else []
    return [
        Evaluated(
            place[0],
            {worded(name): each.shown() for name, each in estimates(record.numbers).items()},
            Provenance.of(record),
            now.get(place),
        )
        for place in places
        if (record := run.record(*place))
    ]


def shifted(run: Run, lineage: Lineage, now: Mapping[Place, str]) -> Chart | None:
    """How a model's scores of the probe are spread beside those of the model before it and of the seed model."""
    if lineage.kind != "model":
        return None
    key = model_key(lineage.id)
    keys = dict.fromkeys(("seed", run.model_before(key, "the previous"), key))
    return densities(PROBE, probe(run, now, [each for each in keys if each]), run)


def page_number(given: Mapping[str, str]) -> int:
    """The page that a query string asks for. Raises `UserError` if that is no number from 1 on."""
    page = given.get("page", "1")
    if not re.fullmatch("[0-9]{1,9}", page) or int(page) < 1:
        raise UserError(f"page is '{excerpt(page, 80)}', expected a number from 1 on.")
    return int(page)


def page_count(rows: int) -> int:
    """How many pages so many rows take; one, if there are none."""
    return max(ceil(rows / PAGE), 1)


def one_of(name: str, value: str | None, known: Collection[str]) -> None:
    """Raises `UserError` if an unknown value was asked for."""
    if value is not None and value not in known:
        raise UserError(f"{name} is '{excerpt(value, 80)}', expected one of {', '.join(known)}.")


def _quoted(value: str) -> str:
    return value if value.replace(".", "").replace("-", "").isalnum() else "'" + value.replace("'", "'\\''") + "'"


# --------------------------------------------------------------------------------------------------------- an id's page


@dataclass(frozen=True)
class Side:
    """One side of a pair: its text, null if it was re-materialized since, and its score or Elo."""

    name: str
    id: str
    text: str | None
    worth: float
    chars: int


@dataclass(frozen=True)
class PairView:
    """A pair with its texts and what differs; difference: None if a text is missing or too long."""

    pair: Pair
    sides: tuple[Side, Side]
    difference: list[Part] | None


@dataclass(frozen=True)
class RoundView:
    """A round as a page shows it: the pairs of the kinds that the page is about, and the picture."""

    round: Round
    kinds: tuple[PairKind, ...]
    pairs: tuple[PairView, ...]
    picture: Picture

    def judgment(self, identity: str) -> Judgment | None:
        """A judgment of the round."""
        return next((j for r in self.round.responses for j in r.judgments if j.id == identity), None)

    def response(self, identity: str) -> Response | None:
        """A response of the round."""
        return next((r for r in self.round.responses if r.id == identity), None)

    def battle(self, identity: str) -> Battle | None:
        """A battle of the round."""
        return next((b for b in self.battles if b.id == identity), None)

    @property
    def battles(self) -> tuple[Battle, ...]:
        """All battles of the round."""
        return self.round.contest.battles if self.round.contest else ()

    def met(self, first: str, second: str) -> Battle | None:
        """The battle in which two judgments were shown in this order."""
        return self._battles.get((first, second))

    def bouts(self, of: str = "") -> list[tuple[str, str, Battle | None, Battle | None]]:
        """Two judgments that battled, and the battles in which the first and in which the second was shown first.

        of: a judgment, to have its bouts alone, and it as the first of the two.
        """
        found: dict[frozenset[str], tuple[str, str]] = {}
        for a, b in self._battles:
            found.setdefault(frozenset((a, b)), (b, a) if b == of else (a, b))
        those = [(a, b) for a, b in found.values() if of in ("", a)]
        return [(a, b, self.met(a, b), self.met(b, a)) for a, b in those]

    @cached_property
    def _battles(self) -> dict[tuple[str, str], Battle]:
        """By the judgments, in the order in which they were shown."""
        return {(b.first_id, b.second_id): b for b in self.battles}

    @property
    def chars(self) -> dict[str, int | None]:
        """The length of every response."""
        return {each.id: each.chars for each in self.round.responses}

    def role(self, identity: str) -> str:
        """Chosen or rejected, in a pair that the page is about; else nothing."""
        for view in self.pairs:
            for side in view.sides:
                if side.id == identity:
                    return side.name
        return ""

    @cached_property
    def shades(self) -> list[list[int]]:
        """The cells of the matrix, 0 to 9."""
        return shades(self.round.contest.matrix) if self.round.contest and self.round.contest.matrix else []


def round_view(lineage: Lineage, round_: Round) -> RoundView:
    """A round for the page of a lineage's id."""
    kinds: tuple[PairKind, ...] = ("actor", "judge")
    if lineage.kind == "pair":
        kinds = (kind_of_pair(lineage.id),)
    elif lineage.kind == "battle":
        kinds = ("judge",)
    elif not round_.judge_training:
        kinds = ("actor",)
    texts = round_.texts
    pairs = tuple(_pair_view(pair, texts) for pair in round_.pairs if pair.kind in kinds)
    return RoundView(round_, kinds, pairs, ancestry(round_, kinds))


def _pair_view(pair: Pair, texts: Mapping[str, str]) -> PairView:
    chosen = Side("chosen", pair.chosen_id, texts.get(pair.chosen_id), pair.chosen_worth, pair.chosen_chars)
    rejected = Side("rejected", pair.rejected_id, texts.get(pair.rejected_id), pair.rejected_worth, pair.rejected_chars)
    both = chosen.text is not None and rejected.text is not None
    return PairView(pair, (chosen, rejected), difference(rejected.text or "", chosen.text or "") if both else None)


def makers(lineage: Lineage) -> list[Provenance]:
    """Everything that made a fact of the lineage, each once, in the order of the loop."""
    found = dict.fromkeys(_makers(lineage))
    return list(found)


def _makers(lineage: Lineage) -> Iterator[Provenance]:
    for round_ in lineage.rounds:
        yield from _makers_of_models(round_.policy)
        parts: list[Any] = [
            round_.prompt,
            *round_.responses[:1],
            *(r.judgments[0] for r in round_.responses if r.judgments),
        ]
        parts += [round_.rule, round_.contest]
        if round_.contest:
            parts += [*round_.contest.battles[:1], round_.contest.matrix, round_.contest.elo]
        yield from (part.provenance for part in [*parts, *round_.dropped] if part)
        for pair in round_.pairs:
            yield from filter(None, (pair.provenance, pair.dataset, pair.trained))
    if reply := lineage.reply:
        of_reply: list[Any] = [reply, *reply.judgments[:1], *reply.examples[:1], *reply.dropped[:1]]
        yield from (part.provenance for part in of_reply)
        yield from _makers_of_models(lineage.models[0] if lineage.models else None)
    yield from _makers_of_models(lineage.model)


def _makers_of_models(last: Model | None) -> Iterator[Provenance]:
    line = last.line if last else []
    return (each for model in line for each in (model.trained_on, model.provenance) if each)


def raw_text(lineage: Lineage) -> str:
    """The text of the id itself, as it was sampled. Raises `UserError` for a pair or a model, which have none."""
    if lineage.reply and lineage.id in lineage.reply.texts:
        return lineage.reply.texts[lineage.id]
    for round_ in lineage.rounds:
        texts = round_.texts | {b.id: b.text for b in (round_.contest.battles if round_.contest else ()) if b.text}
        if round_.prompt:
            texts[round_.prompt.id] = round_.prompt.text
        if lineage.id in texts:
            return texts[lineage.id]
    raise UserError(f"{lineage.kind} {lineage.id} has no text of its own here.")


def grouped(descent: tuple[Descent, ...]) -> dict[tuple[str, str], list[Descent]]:
    """What came of an id, by role and kind of pair."""
    found: dict[tuple[str, str], list[Descent]] = {}
    for each in descent:
        found.setdefault((each.role, each.kind), []).append(each)
    return found


def summary(ui: str, run: Run) -> dict[str, Any]:
    """A run, and what its iterations have: pairs of each kind, what trained a model, and what of that is stale."""
    at_once = Snapshot.of(run)
    iterations, now = [], stale_now(at_once)
    for t in run.iterations:
        records = {asset: at_once.record(asset, t) for asset in ("actor_pairs", "elo_pairs", "checkpoints")}
        whole = {asset: None if at_once.damage(asset, t) else record for asset, record in records.items()}
        rows = {asset: record.rows if record else None for asset, record in whole.items()}
        trained = Provenance.of(record) if (record := whole["checkpoints"]) else None
        stale = {asset: now[asset, t] for asset in records if (asset, t) in now}
        iterations.append({"t": t, **rows, "trained": trained, "stale": stale})
    complete = sum(bool(each["trained"]) and not each["stale"] for each in iterations)
    curves = headline(at_once, now)
    return {"run": run, "iterations": iterations, "dagster": Dagster(ui, run), "complete": complete, "curves": curves}


def side_by_side(rows: Sequence[Mapping[str, Any]]) -> dict[str, Chart]:
    """Of the runs of `summary` a chart for each figure that one of them has: a line per run, all on one axis."""
    figures = dict.fromkeys(name for row in rows for name in row["curves"])
    found = {}
    for name in figures:
        lines = {row["run"].name: row["curves"][name] for row in rows if name in row["curves"]}
        order = max((list(line) for line in lines.values()), key=len)
        found[name] = Chart.of(name, lines, order)
    return found
