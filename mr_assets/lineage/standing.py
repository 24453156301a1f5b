"""Whether what lies in a run's folder is what it was made of, link by link.

A record names the version of everything an artifact was made of. Once an upstream is made again with other content,
its rows are not the parents of what was made before, though they may carry the same ids: they are left out of a
lineage, and what broke is said.
"""

from dataclasses import dataclass, field

from mr_assets.runs import LOOP_ASSETS, UPSTREAM, Record, Run
from mr_assets.status import Place, titled


@dataclass(frozen=True)
class Broken:
    """An artifact (asset, partition) and what it was made of (parent, parent_partition), which is not there any more.

    dagster_run: the one that made the artifact; said: all of it as a sentence.
    """

    asset: str
    partition: str | None
    parent: str
    parent_partition: str | None
    dagster_run: str
    said: str


@dataclass
class Standing:
    """The records of a run, read once, and which artifacts were made of which that are there now."""

    run: Run
    _records: dict[Place, Record | None] = field(default_factory=dict)
    _ancestors: dict[Place, frozenset[Place]] = field(default_factory=dict)
    _ways: dict[tuple[Place, Place], tuple[Broken, ...]] = field(default_factory=dict)

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

    def broken(self, place: Place, ancestor: Place) -> tuple[Broken, ...]:
        """The links that are broken on any way from an artifact back to one of its ancestors."""
        if (place, ancestor) not in self._ways:
            found: dict[Broken, None] = {}
            for parent in self.run.ancestors(*place) if place != ancestor else ():
                if parent == ancestor or ancestor in self.ancestors(parent):
                    found |= dict.fromkeys(self._link(place, parent))
                    found |= dict.fromkeys(self.broken(parent, ancestor))
            self._ways[place, ancestor] = tuple(found)
        return self._ways[place, ancestor]

    def follows(self, place: Place, ancestor: Place) -> bool:
        """Whether an artifact is complete and comes, on every way, of the ancestor that is there now."""
        return None not in (self.record(place), self.record(ancestor)) and not self.broken(place, ancestor)

    def made_of(self, place: Place, parent: Place) -> bool:
        """Whether an artifact is complete and was made, directly, of what its parent is now."""
        return self.record(place) is not None and not self._link(place, parent)

    def _link(self, place: Place, parent: Place) -> tuple[Broken, ...]:
        record, now = self.record(place), self.record(parent)
        if record is None:
            return ()
        then = record.inputs.get(parent[0], "")
        if now is not None and now.version == then:
            return ()
        what, of = titled(*place), titled(*parent)
        is_now = f"what lies there now is {now.version}, of Dagster run {now.run_id}" if now else "it is not there now"
        said = f"{what} (Dagster run {record.run_id}) was made of {of} in version {then or 'unknown'}; {is_now}."
        return (Broken(*place, *parent, record.run_id, said),)

    def shown(self, focus: Place, t: str) -> set[str]:
        """The assets of iteration `t` whose rows belong to the lineage of one, the focus.

        Ancestors that it was made of, what was made of it, and of the others those that were made of the same.
        """
        shown = {asset for asset in LOOP_ASSETS if asset != "policy" and self._belongs(focus, (asset, t), t)}
        policy = ("policy", t)
        written = [(asset, t) for asset in shown if "policy" in UPSTREAM[asset]]
        if self.record(policy) is not None and not any(self._link(place, policy) for place in written):
            shown.add("policy")
        return shown

    def _belongs(self, focus: Place, other: Place, t: str) -> bool:
        before = self.ancestors(focus)
        if other == focus or other in before:
            return self.follows(focus, other)
        loop = [(a, t) for a in LOOP_ASSETS if a != "policy" and (a, t) in self.ancestors(other)]
        held = [place for place in loop if place not in before or self.follows(focus, place)]
        return self.record(other) is not None and not any(self.broken(other, place) for place in held)

    def all_broken(self, focus: Place, t: str) -> tuple[Broken, ...]:
        """Every broken link back from the focus, and from what was or would be made of it in its iteration."""
        found = {b: None for a in sorted(self.ancestors(focus), key=str) for b in self.broken(focus, a)}
        for asset in LOOP_ASSETS:
            if focus in self.ancestors((asset, t)):
                found |= dict.fromkeys(self.broken((asset, t), focus))
        return tuple(found)
