"""What the assets of a run dropped, and why: counts by reason, and the ids of one reason.

/runs/RUN/dropped                                                      how many, of what is made once and each iteration
/runs/RUN/dropped?iteration=2&asset=actor_pairs&reason=equal_scores    which; of what is made once without an iteration
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import polars as pl

from mr_assets.addresses import page_of
from mr_assets.explorer.pages import PAGE, one_of, page_count, page_number
from mr_assets.ids import drawn_prompt, pair_id, prompt_of
from mr_assets.lineage.facts import Dropped, Provenance
from mr_assets.lineage.rows import dropped
from mr_assets.loop import Place
from mr_assets.method.dropped import REASONS, in_words
from mr_assets.runs.run import Run

ASKED = ("iteration", "asset", "reason")


@dataclass(frozen=True)
class Group:
    """How many ids an asset dropped for a reason."""

    provenance: Provenance
    reason: str
    count: int

    @property
    def why(self) -> str:
        """The reason in words, without the numbers of a single row."""
        return REASONS.get(self.reason, self.reason)


@dataclass(frozen=True)
class DroppedList:
    """What was asked for, the groups that it has, and of a single group a page of its ids."""

    run: Run
    asked: Mapping[str, str]
    groups: list[Group]
    page: int
    rows: list[Dropped]

    @classmethod
    def of(cls, run: Run, given: Mapping[str, str]) -> "DroppedList":
        """What a query string asks for. Raises `UserError` if it asks for something unknown."""
        asked = {name: given[name] for name in ASKED if given.get(name)}
        one_of("iteration", asked.get("iteration"), run.iterations)
        once, each_time = run.loop.per("family"), run.loop.per("iteration")
        one_of("asset", asked.get("asset"), (*once, *each_time))
        page = page_number(given)
        places: list[Place] = [] if "iteration" in asked else [(asset, None) for asset in once]
        iterations = [asked["iteration"]] if "iteration" in asked else run.iterations
        places += [(asset, t) for t in iterations for asset in each_time]
        groups, rows = [], []
        for place in places:
            record = run.record(*place) if asked.get("asset") in (None, place[0]) else None
            found = dropped(run, *place) if record else None
            if record is None or found is None or found.is_empty():
                continue
            provenance = Provenance.of(record)
            counts = found.group_by("reason").len().sort("len", "reason", descending=[True, False])
            groups += [Group(provenance, *row) for row in counts.iter_rows() if asked.get("reason") in (None, row[0])]
            if "reason" in asked and asked == _of_one(place, asked["reason"]):
                those = found.filter(pl.col("reason") == asked["reason"]).slice((page - 1) * PAGE, PAGE)
                rows = [_fact(provenance, *row) for row in those.iter_rows()]
        return cls(run, asked, groups, page, rows)

    @property
    def count(self) -> int:
        """How many ids are in the groups."""
        return sum(group.count for group in self.groups)

    @property
    def pages(self) -> int:
        """How many pages the ids of a single group have."""
        return page_count(self.count)

    def address(self, **changed: object) -> str:
        """The same with something else asked for."""
        asked = {name: value for name, value in {**self.asked, **changed}.items() if value}
        return f"{page_of(self.run.name)}/dropped" + (f"?{urlencode(asked)}" if asked else "")

    def whole_id(self, each: Dropped) -> str | None:
        """The id whose page says more: of a prompt without an actor pair that of the pair; None if made once."""
        if each.provenance.partition is None:
            return None
        if each.id != prompt_of(each.id):
            return each.id
        t = each.provenance.partition
        return pair_id(t, each.id, "actor") if each.provenance.asset == "actor_pairs" else drawn_prompt(t, each.id)


def _of_one(place: Place, reason: str) -> dict[str, str]:
    """What has to be asked for to have the ids of one group listed."""
    asset, t = place
    return ({"iteration": t} if t else {}) | {"asset": asset, "reason": reason}


def _fact(provenance: Provenance, identity: str, reason: str, numbers: str) -> Dropped:
    given = json.loads(numbers)
    return Dropped(identity, reason, in_words(reason, given), given, provenance)
