"""`mr compare`: the pairs of a run beside those that other settings, or another run, give. Nothing is written.

The actor pairs come again from the stored responses and judgments, the judge pairs from the stored meta-judgments; no
model is asked, so what other settings would resample is taken as it is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import PAIR_ASSETS
from mr_assets.lineage.pair_changes import Comparison, Side, actor_side, compare, judge_side
from mr_assets.method.actor_pairs import actor_pairs, tiers
from mr_assets.method.battle_matrices import battle_matrices
from mr_assets.method.elo_pairs import elo_pairs, ratings
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets
from mr_assets.recipes.shaping import JUDGE_SIDE_OFF, shaping_settings
from mr_assets.runs.run import Run
from mr_assets.tables import (
    TABLES,
    Selected,
    scan_dropped,
)

# What is worked out again with other settings; what comes before it is taken as it is stored.
RECOMPUTED = ("actor_pairs", "battle_matrices", "elo_pairs")


@dataclass(frozen=True)
class Compared:
    """The comparison of one kind of pairs ("actor" or "judge") in one iteration, with the settings that differ.

    settings: (before, after) by path.
    """

    iteration: str
    kind: str
    settings: dict[str, tuple[Any, Any]]
    result: Comparison

    def as_json(self) -> dict[str, Any]:
        """For programs: everything, with names."""
        changes = [
            {**c._asdict(), "before": c.before and c.before._asdict(), "after": c.after and c.after._asdict()}
            for c in self.result.changes
        ]
        settings = {path: {"before": old, "after": new} for path, (old, new) in self.settings.items()}
        counts = self.result.counts
        return {
            "iteration": self.iteration,
            "kind": self.kind,
            "settings": settings,
            "counts": counts,
            "changes": changes,
        }


def other_recipe(run: Run, sets: Sequence[str]) -> Recipe:
    """The run's recipe with each ``key=value``, which means what it means to `mr run`."""
    return with_sets(run.recipe, sets)


def with_other_settings(run: Run, changed: Recipe, t: str) -> list[Compared]:
    """The stored pairs of iteration `t` beside those of the stored tables with another recipe's settings."""
    kinds = _kinds(run, t) if changed.row(int(t)).judge_training else ["actor"]
    return _compared(t, {kind: (_stored(run, kind, t), _again(run, changed, kind, t)) for kind in kinds})


def with_other_run(run: Run, other: Run, t: str) -> list[Compared]:
    """The stored pairs of iteration `t` of two runs."""
    kinds = [kind for kind in _kinds(run, t) if kind in _kinds(other, t)]
    return _compared(t, {kind: (_stored(run, kind, t), _stored(other, kind, t)) for kind in kinds})


def resampled(run: Run, changed: Recipe, t: str) -> list[str]:
    """The assets that other settings would change, too, and that `with_other_settings` takes as they are stored."""
    loop = run.loop.per("iteration")
    assets = [asset for asset in loop[: loop.index("elo_pairs")] if asset not in RECOMPUTED]
    return [a for a in assets if shaping_settings(run.recipe, a, t) != shaping_settings(changed, a, t)]


def comparable(run: Run) -> list[str]:
    """The iterations whose actor pairs are there."""
    return [t for t in run.iterations if run.record("actor_pairs", t) is not None]


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one side, with the settings in force."""

    settings: dict[str, Any]
    side: Side


def _compared(t: str, sides: dict[str, tuple[_Pairs, _Pairs]]) -> list[Compared]:
    found = []
    for kind, (before, after) in sides.items():
        paths = {**before.settings, **after.settings}
        differ = {p: (before.settings.get(p), after.settings.get(p)) for p in paths}
        differ = {p: both for p, both in differ.items() if both[0] != both[1]}
        found.append(Compared(t, kind, differ, compare(before.side, after.side)))
    return found


def _kinds(run: Run, t: str) -> list[str]:
    """The kinds of pairs that iteration `t` has: judge pairs where they were made to train the judge."""
    if run.record("actor_pairs", t) is None:
        raise UserError(
            f"run {run.name} has no actor pairs of iteration {t} yet. "
            f"Iterations that have them: {', '.join(comparable(run)) or 'none'}."
        )
    judge = run.record("elo_pairs", t)
    return ["actor", "judge"] if judge and judge.settings != JUDGE_SIDE_OFF else ["actor"]


def _stored(run: Run, kind: str, t: str) -> _Pairs:
    """The pairs as they are stored, with the settings that their records say."""
    assets = ("actor_pairs",) if kind == "actor" else ("battle_matrices", "elo_pairs")
    records = [run.record(asset, t) for asset in assets]
    settings = {path: value for record in records if record for path, value in record.settings.items()}
    path = run.path(PAIR_ASSETS[kind], t)
    pairs = Selected(_table(run, PAIR_ASSETS[kind], t).collect(), scan_dropped(path).collect())
    if kind == "actor":
        found = tiers(*_scored(run, t), settings["iteration.rho"])
        return _Pairs(settings, actor_side(pairs, found, settings["seed"]))
    matrices = _table(run, "battle_matrices", t).collect()
    return _Pairs(settings, _judge(run, t, pairs, matrices, settings))


def _again(run: Run, recipe: Recipe, kind: str, t: str) -> _Pairs:
    """The pairs that the stored tables give with a recipe's settings."""
    row, switches = recipe.row(int(t)), recipe.switches
    if kind == "actor":
        settings = shaping_settings(recipe, "actor_pairs", t)
        tables = _scored(run, t)
        limit = row.max_chosen_chars
        pairs = actor_pairs(*tables, rho=row.rho, max_chosen_chars=limit, seed=recipe.seed, cut_off=switches.cut_off)
        return _Pairs(settings, actor_side(pairs, tiers(*tables, row.rho), recipe.seed))
    settings = shaping_settings(recipe, "battle_matrices", t) | shaping_settings(recipe, "elo_pairs", t)
    battles, selected = (_table(run, a, t) for a in ("meta_judgments", "selected_responses"))
    matrices = battle_matrices(battles, selected, scope=switches.omega_scope).rows
    pairs = elo_pairs(
        matrices,
        _judged(run, t, matrices),
        max_chosen_chars=row.max_chosen_judgment_chars,
        ridge=switches.elo_ridge,
        tolerance=switches.elo_tie_tolerance,
        seed=recipe.seed,
        cut_off=switches.cut_off,
    )
    return _Pairs(settings, _judge(run, t, pairs, matrices, settings))


def _judge(run: Run, t: str, pairs: Selected, matrices: pl.DataFrame, settings: dict[str, Any]) -> Side:
    rated, judged = ratings(matrices, settings["switches.elo_ridge"]), _judged(run, t, matrices)
    return judge_side(pairs, rated, judged, settings["seed"], settings["switches.elo_tie_tolerance"])


def _table(run: Run, asset: str, t: str) -> pl.LazyFrame:
    return TABLES[asset].scan(run.path(asset, t))


def _scored(run: Run, t: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Responses and judgments without what pairs are not made of."""
    responses = _table(run, "responses", t).drop("token_ids").collect()
    judgments = _table(run, "judgments", t).drop("token_ids", "judgment").collect()
    return responses, judgments


def _judged(run: Run, t: str, matrices: pl.DataFrame) -> pl.DataFrame:
    """The judgments of the responses that have a matrix."""
    judgments = _table(run, "judgments", t).drop("token_ids")
    return judgments.join(matrices.lazy().select("response_id"), on="response_id", how="semi").collect()
