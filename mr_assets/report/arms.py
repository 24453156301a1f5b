"""Runs of one recipe that differ in their seeds alone are one arm: what a recipe does, apart from luck.

Meta-Rewarding in the small world    small_world_meta_rewarding, seed_101, seed_102    seeds 0, 101, 102
Self-Rewarding in the small world    small_world_self_rewarding                        seed 0
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mr_assets.errors import shown
from mr_assets.export.card import method_differences
from mr_assets.lineage.staleness import stale_now
from mr_assets.loop import Place
from mr_assets.report.changes import Change, between_models
from mr_assets.report.measured import Key, Measured, measured
from mr_assets.runs.figures import Row, rows
from mr_assets.runs.run import Run
from mr_assets.runs.snapshot import Snapshot

NAMED = 3
"""Fields that tell arms of one title apart: so many are named."""
FIRST = "seed"
"""The model that others are held against."""


@dataclass(frozen=True)
class Known:
    """A run as it is now: what of it is stale and why, the figures of its models, and those of its iterations."""

    run: Run
    old: Mapping[Place, str]
    measured: Mapping[Key, Measured]
    rows: list[Row]

    @classmethod
    def of(cls, run: Run) -> "Known":
        """Reads the records, and of the models' tables those that have values by prompt."""
        at_once = Snapshot.of(run)
        old = stale_now(at_once)
        return cls(at_once, old, measured(at_once, old), rows(at_once, old))

    @property
    def trained(self) -> list[str]:
        """The iterations whose model is there."""
        return [t for t in self.run.iterations if self.run.record("checkpoints", t)]


@dataclass(frozen=True)
class Arm:
    """Runs of one recipe by their seeds. label: its title, and what tells it from others of that title."""

    label: str
    runs: dict[int, Known] = field(default_factory=dict)

    @property
    def first(self) -> Known:
        """The run that was named first."""
        return next(iter(self.runs.values()))

    @cached_property
    def figures(self) -> dict[Key, dict[int, Measured]]:
        """Every figure of its models, by seed."""
        keys = dict.fromkeys(key for each in self.runs.values() for key in each.measured)
        return {key: {s: run.measured[key] for s, run in self.runs.items() if key in run.measured} for key in keys}

    @cached_property
    def models(self) -> list[str]:
        """The models of which some figure is known, in their order."""
        return list(dict.fromkeys(m for runs in self.figures.values() for each in runs.values() for m in each.values))

    def changes(self, new: str, old: str = FIRST) -> list[Change]:
        """How each figure changed from one model to another, as far as it is known of both.

        A figure that itself compares with the seed model has no change since that one: of it there is nothing to tell.
        """
        keys = [key for key in self.figures if old != FIRST or not key.name.endswith(f"_{FIRST}")]
        found = (between_models([*self.figures[key].values()], new, old) for key in keys)
        return [change for change in found if change]


def arms(known: Sequence[Known]) -> list[Arm]:
    """The arms in the order in which they are named. A second run of the same recipe and seed is an arm of its own."""
    found: list[Arm] = []
    for each in known:
        seed = each.run.recipe.seed
        mine = next((arm for arm in found if seed not in arm.runs and _same(arm, each)), None)
        if mine is None:
            mine = Arm(_label(each.run, [arm.first.run for arm in found]))
            found.append(mine)
        mine.runs[seed] = each
    return found


def _same(arm: Arm, each: Known) -> bool:
    return not method_differences(arm.first.run.recipe, each.run.recipe)


def _label(run: Run, others: Sequence[Run]) -> str:
    title = run.recipe.title
    alike = next((other for other in others if other.recipe.title == title), None)
    if alike is None:
        return title
    differing = method_differences(alike.recipe, run.recipe)[:NAMED]
    said = ", ".join(f"{path} = {shown(new)}" for path, _, new in differing)
    return f"{title} ({said or run.name})"
