"""What `mr status` shows: the state of every artifact of a run, what is under way and how far, what failed and why.

It takes neither tables nor lineage, and Dagster only where its history has something to tell: each would double the
time that the command takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from mr_assets.cli.terminal import PIPED, Column, Table, Wrapped, mebibytes, width
from mr_assets.errors import UserError
from mr_assets.files import bytes_in, storage_trouble
from mr_assets.ids import model_id
from mr_assets.loop import LOOP, Place
from mr_assets.orchestration.glance import nothing_to_tell
from mr_assets.orchestration.instance import home
from mr_assets.runs.object_store import pull
from mr_assets.runs.progress import Progress, noted
from mr_assets.runs.run import Run
from mr_assets.runs.snapshot import Snapshot
from mr_assets.runs.status import lines, places, stale, state

if TYPE_CHECKING:
    from mr_assets.orchestration.history import Attempt

FOLLOWS = "done *"
SECONDS_BETWEEN_PULLS = 15.0  # of a status that is watched: a store lists a thousand objects at a time
SIGNS = {
    "done": "green",
    FOLLOWS: "yellow",
    "stale": "yellow",
    "pruned": "green",
    "missing": "dim",
    "-": "dim",
    "running": "cyan",
    "waiting": "cyan",
    "failed": "red",
    "damaged": "red",
    "interrupted": "magenta",
}


@dataclass(frozen=True)
class Status:
    """The state of every artifact of a run at a moment: its records, and what Dagster is doing or failed to do.

    unknown: why Dagster's history cannot be read, if it cannot.
    """

    run: Run
    tried: dict[Place, "Attempt"]
    old: dict[Place, str]
    unknown: str = ""

    def state(self, place: Place) -> str:
        """A word: what a Dagster run is doing, then what the record says, then how the last attempt ended."""
        recorded, attempt = state(self.run, *place), self.tried.get(place)
        if attempt and (attempt.state in ("running", "waiting") or recorded in ("missing", "stale")):
            return attempt.state
        return recorded

    def sign(self, place: Place) -> str:
        """The state as the table has it; what is done and comes of what is stale has a star."""
        state = self.state(place)
        if state == "done" and place in self.old:
            return FOLLOWS
        if state == "done" and self.run.record(*place).pruned:  # type: ignore[union-attr]  # it has one: it is done
            return "pruned"
        return "-" if state == "missing" else state

    def progress(self, place: Place) -> Progress | None:
        """How far the Dagster run under way is with an artifact, if it says so."""
        attempt, found = self.tried.get(place), noted(self.run, *place)
        of_it = attempt and found and attempt.state == "running" and attempt.dagster_run == found.dagster_run
        return found if of_it else None

    def parts(self, *, watched: bool = False) -> Iterator[RenderableType]:
        """What `mr status` shows of the run, for `mr_assets.cli.terminal.show`.

        watched: what is under way comes first, where the end of the screen cuts nothing of it off.
        """
        run = self.run
        yield from self.under_way() if watched else ()
        yield self.table()
        yield Wrapped(f"{mebibytes(bytes_in(run.folder))} on disk in {run.folder}", "dim")
        yield from self.under_way() if not watched else ()
        yield from self.ended()
        yield from [f"what is running, failed or was interrupted is not known: {self.unknown}"] * bool(self.unknown)
        if any(self.sign(place) == FOLLOWS for place in self.old):
            yield "* made from something that is stale"
        yield from lines(run)

    def table(self) -> Table:
        """A row per asset, a column per iteration; where they are too many, their states in words."""
        run = self.run
        columns = [Column("asset"), Column("once", text=True), *(Column(t, text=True) for t in run.iterations)]
        table = Table(f"{run.name}: {run.recipe.title}", columns, styles=SIGNS)
        for asset in run.loop.per("family"):
            table.add(f"{run.family}/{asset}", self.sign((asset, None)), *[""] * len(run.iterations))
        for asset in run.loop.per("iteration"):
            table.add(asset, "", *[self.sign((asset, t)) for t in run.iterations])
        for asset in run.loop.per("model"):
            once = ", ".join(f"{m}: {self.sign((asset, m))}" for m in ("seed", "0"))
            table.add(asset, once, *[self.sign((asset, t)) for t in run.iterations])
        if table.fits(width() or PIPED):
            return table
        narrow = Table(table.title, [Column("asset"), Column("iterations", text=True)])
        for asset, once, *signs in table.rows:
            narrow.add(asset, ", ".join(filter(None, [once, *_ranges(signs)])))
        return narrow

    def under_way(self) -> Iterator[str]:
        """What is being made now, how far it is, since when and in which Dagster run."""
        at_work = {place: attempt for place, attempt in self.tried.items() if attempt.state == "running"}
        if at_work:
            yield "running"
        for place, attempt in at_work.items():
            progress = self.progress(place)
            share = "" if progress is None or progress.share is None else f"{progress.share:.0%}, "
            how_far = f"{share}{progress.said.removeprefix(f'{place[0]}: ')}" if progress else "at work"
            since = f"since {_clock(attempt.when)}"
            where = f" on host {attempt.host}" if attempt.host else ""
            yield f"  {_listed(place)}: {how_far} ({since}, Dagster run {attempt.dagster_run}{where})"

    def ended(self) -> Iterator[str]:
        """What failed or was interrupted and has not been made since: why, when and in which Dagster run."""
        for how in ("failed", "interrupted"):
            of_it = {place: attempt for place, attempt in self.tried.items() if attempt.state == how}
            if of_it:
                yield f"{how}, and not made since"
            for place, attempt in of_it.items():
                kept = "; what was made before is kept" if self.run.record(*place) else ""
                when = f"{_clock(attempt.when)}, Dagster run {attempt.dagster_run}"
                yield f"  {_listed(place)}: {attempt.message} ({when}{kept})"

    def as_json(self) -> dict[str, Any]:
        """For programs.

        stale: why something is stale; pruned: since when a model has no weights; attempt: a Dagster run that is
        under way or went wrong.
        """
        run, artifacts = self.run, []
        for asset, partition in places(run):
            place = (asset, partition)
            attempt, progress, record = self.tried.get(place), self.progress(place), run.record(asset, partition)
            artifacts.append(
                {
                    "asset": asset,
                    "partition": partition,
                    "state": self.state(place),
                    "stale": self.old.get(place),
                    "made": record.created if record else None,
                    "pruned": record.pruned or None if record else None,
                    "rows": record.rows if record else None,
                    "attempt": asdict(attempt) if attempt else None,
                    "progress": {**asdict(progress), "share": progress.share} if progress else None,
                }
            )
        return {
            "run": run.name,
            "title": run.recipe.title,
            "family": run.family,
            "folder": str(run.folder),
            "bytes": bytes_in(run.folder),
            "artifacts": artifacts,
            "notes": list(lines(run)),
            "unknown": self.unknown,
        }


def _ranges(signs: Sequence[str]) -> Iterator[str]:
    """The states of iterations 1, 2, ... as "1-3 done", "4 running"; nothing of empty ones."""
    first = 1
    for sign, among in groupby(signs):
        last = first + len(list(among)) - 1
        if sign:
            yield f"{first}-{last} {sign}" if last > first else f"{first} {sign}"
        first = last + 1


def statuses(runs: Sequence[Run]) -> list[Status]:
    """The state of runs now, after every Dagster run whose process is gone is marked as failed.

    What other hosts put into an object store is looked for again after `SECONDS_BETWEEN_PULLS`.
    """
    for data in {run.data for run in runs}:
        pull(data, within=SECONDS_BETWEEN_PULLS)
    tried: dict[str, dict[Place, Attempt]] = {run.name: {} for run in runs}
    unknown = ""
    try:
        if not nothing_to_tell({space for run in runs for space in (run.name, run.family)}):
            tried = _tried(runs)
    except Exception as error:
        unknown = str(error) if isinstance(error, UserError) else storage_trouble(error, database=home())
        if not unknown:
            raise
    at_once = [Snapshot.of(run) for run in runs]
    return [Status(run, tried[run.name], stale(run), unknown) for run in at_once]


def _tried(runs: Sequence[Run]) -> dict[str, dict[Place, "Attempt"]]:
    from mr_assets.orchestration.history import attempts
    from mr_assets.orchestration.instance import instance
    from mr_assets.orchestration.run_launcher import fail_dead_runs

    with instance() as history:
        fail_dead_runs(history)
        return attempts(runs, history)


def _listed(place: Place) -> str:
    """An artifact at the head of a line: "responses, iteration 2"."""
    asset, partition = place
    where = model_id(partition) if partition and LOOP[asset].per == "model" else f"iteration {partition}"
    return f"{asset}, {where}" if partition else asset


def _clock(when: str) -> str:
    """An ISO time as a person reads it, in this machine's time; today's without the date."""
    local = datetime.fromisoformat(when).astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%d %b %Y %H:%M}"
