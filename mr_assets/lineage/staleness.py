"""Whether what lies in a run's folder is what it was made of, link by link.

A record names the version of everything an artifact was made of. Once an upstream is re-materialized with other
content, its rows are not the parents of what was made before, though they may carry the same ids: they are left out of
a lineage, and what broke is said.
"""

from dataclasses import dataclass, field

from mr_assets.loop import LOOP, Place, titled
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run, noted_as
from mr_assets.runs.snapshot import Snapshot
from mr_assets.runs.status import stale


def stale_now(run: Run) -> dict[Place, str]:
    """`mr_assets.runs.status.stale`, every record read once."""
    return stale(run if isinstance(run, Snapshot) else Snapshot.of(run))


@dataclass(frozen=True)
class StaleLink:
    """An artifact (asset, partition) and what it was made of (parent, parent_partition), which is not there any more.

    dagster_run: the one that made the artifact; why: what it was made of and what lies there now, as a sentence.
    """

    asset: str
    partition: str | None
    parent: str
    parent_partition: str | None
    dagster_run: str
    why: str

    @property
    def said(self) -> str:
        """All of it as a sentence."""
        return f"{titled(self.asset, self.partition)} (Dagster run {self.dagster_run}) {self.why}"


@dataclass
class Staleness:
    """The records of a run, read once, and which artifacts were made of which that are there now."""

    run: Run
    _records: dict[Place, Record | None] = field(default_factory=dict)
    _ancestors: dict[Place, frozenset[Place]] = field(default_factory=dict)
    _ways: dict[tuple[Place, Place], tuple[StaleLink, ...]] = field(default_factory=dict)
    _whole: dict[Place, bool] = field(default_factory=dict)

    def record(self, place: Place) -> Record | None:
        """The record of an artifact; None if it is not complete."""
        if place not in self._records:
            self._records[place] = self.run.record(*place)
        return self._records[place]

    def ancestors(self, place: Place) -> frozenset[Place]:
        """Everything that an artifact comes of, through all earlier iterations."""
        if place not in self._ancestors:
            parents = self.run.ancestors(*place)
            self._ancestors[place] = frozenset(parents).union(*(self.ancestors(p) for p in parents))
        return self._ancestors[place]

    def whole(self, place: Place) -> bool:
        """Whether no link is broken anywhere behind an artifact."""
        if place not in self._whole:
            parents = self.run.ancestors(*place)
            torn = any(self.link(place, parent) for parent in parents)
            self._whole[place] = not torn and all(self.whole(parent) for parent in parents)
        return self._whole[place]

    def broken(self, place: Place, ancestor: Place) -> tuple[StaleLink, ...]:
        """The links that are broken on any way from an artifact back to one of its ancestors."""
        if self.whole(place):
            return ()
        if (place, ancestor) not in self._ways:
            found: dict[StaleLink, None] = {}
            for parent in self.run.ancestors(*place) if place != ancestor else ():
                if parent == ancestor or ancestor in self.ancestors(parent):
                    found |= dict.fromkeys(self.link(place, parent))
                    found |= dict.fromkeys(self.broken(parent, ancestor))
            self._ways[place, ancestor] = tuple(found)
        return self._ways[place, ancestor]

    def broken_behind(self, place: Place) -> tuple[StaleLink, ...]:
        """The links that are broken anywhere behind an artifact."""
        if self.whole(place):
            return ()
        return tuple({b: None for a in sorted(self.ancestors(place), key=str) for b in self.broken(place, a)})

    def follows(self, place: Place, ancestor: Place) -> bool:
        """Whether an artifact is complete and comes, on every way, of the ancestor that is there now."""
        return None not in (self.record(place), self.record(ancestor)) and not self.broken(place, ancestor)

    def made_of(self, place: Place, parent: Place) -> bool:
        """Whether an artifact is complete and was made, directly, of what its parent is now."""
        return self.record(place) is not None and not self.link(place, parent)

    def link(self, place: Place, parent: Place) -> tuple[StaleLink, ...]:
        """The link from an artifact to one that it is made of, if it is broken."""
        record, now = self.record(place), self.record(parent)
        if record is None:
            return ()
        then = record.inputs.get(noted_as(parent, place[1]), "")
        if now is not None and now.version == then:
            return ()
        is_now = f"what lies there now is {now.version}, of Dagster run {now.run_id}" if now else "it is not there now"
        why = f"was made of {titled(*parent)} in version {then or 'unknown'}; {is_now}."
        return (StaleLink(*place, *parent, record.run_id, why),)

    def shown(self, focus: Place, t: str) -> set[str]:
        """The assets of iteration `t` whose rows belong to the lineage of one, the focus.

        Back: what those that belong were made of, if it still lies there. Forward, and beside: what was made of the
        very versions that this lineage has, of lost ones too. A policy belongs if everything that belongs says so.
        """
        start = self.record(focus)
        if start is None:
            return set()
        versions: dict[str, str | None] = {focus[0]: start.version}
        shown = {focus[0]}
        tables = [asset for asset in self.run.loop.per("iteration") if asset != "policy"]
        back = [asset for asset in tables if (asset, t) in self.ancestors(focus)]
        for asset in reversed(back):
            self._keep(asset, t, shown, versions)
        for asset in tables:
            record, parents = self.record((asset, t)), [u for u in LOOP[asset].upstream if u in tables]
            if asset not in back and record and all(versions.get(u) == record.inputs.get(u, "") for u in parents):
                versions[asset] = record.version
                shown.add(asset)
        self._keep("policy", t, shown, versions)
        return shown

    def _keep(self, asset: str, t: str, shown: set[str], versions: dict[str, str | None]) -> None:
        """Note the version of an asset that those which are shown were made of; show it if that still lies there."""
        records = [self.record((x, t)) for x in shown if asset in LOOP[x].upstream]
        made_of = {record.inputs.get(asset) for record in records if record}
        versions[asset] = made_of.pop() if len(made_of) == 1 else None
        now = self.record((asset, t))
        if now is not None and now.version == versions[asset]:
            shown.add(asset)

    def all_broken(self, focus: Place, t: str) -> tuple[StaleLink, ...]:
        """Every broken link back from the focus, and from what was or would be made of it in its iteration."""
        found = dict.fromkeys(self.broken_behind(focus))
        for asset in self.run.loop.per("iteration"):
            if focus in self.ancestors((asset, t)):
                found |= dict.fromkeys(self.broken((asset, t), focus))
        return tuple(found)
