"""Branches: a run that shares what another one has before an iteration, and goes its own way from there on.

    branch(load("meta"), "shorter", 3, ["rho=0.3", "dpo.beta=0.2"])

    data/shorter/responses/1.parquet        the same file as data/meta/responses/1.parquet: a hard link
    data/shorter/actor_pairs/2.json         its record; what is set otherwise from iteration 3 on stands in `overrides`
    data/shorter/recipe.yaml                the rows of iterations 1 and 2 as they were, rho 0.3 from iteration 3 on

Nothing is computed, and the disk holds what is shared once. Either run can be removed without harm to the other.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from mr_assets.errors import UserError, shown
from mr_assets.files import sweep_temporary, temporary_beside
from mr_assets.loop import LOOP, Place, titled
from mr_assets.processes import Worker
from mr_assets.recipes.differences import differences
from mr_assets.recipes.family import family_settings
from mr_assets.recipes.load import parse_rows, with_rows
from mr_assets.recipes.names import check_run_name
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.recipes.sets import apply_set, with_sets
from mr_assets.runs.artifact import fetch_files
from mr_assets.runs.object_store import store_of, write_through
from mr_assets.runs.overrides import overridable
from mr_assets.runs.pruning import check_policy
from mr_assets.runs.record import Record, write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings
from mr_assets.runs.status import harmful_findings, places, state, why_stale
from mr_assets.runs.stored import save, stored_text

_ROW = re.compile(r"\s*iterations\.([0-9]+)\b")


def branch(run: Run, name: str, first: int, sets: Sequence[str] = ()) -> Run:
    """A new run that shares everything of `run` before iteration `first`; `sets` hold from there on.

    Raises `UserError`, and leaves nothing behind, if there is a run `name`, if what is to be shared is not all there
    and current, or if `sets` change what M0 or the evaluation is made by.
    """
    _check(run, name, first, sets)
    recipe = _recipe(run, first, sets)
    sweep_temporary(run.data)  # what an interrupted branch left
    place_of_its_own = temporary_beside(run.data / f"{uuid4().hex[:8]}-{name}", Worker.of(os.getpid()))
    begun = Run(place_of_its_own.name, recipe, run.data, run.family, further=_further(run, sets))
    try:
        for place in shared(run, first):
            record = run.record(*place)
            assert record is not None
            link(run, begun, place, record)
            _keep_settings(begun, place, record)
        if broken := [place for place in shared(begun, first) if state(begun, *place) != "done"]:
            raise UserError(_not_shared(run, begun, broken))
        changed = [f"{d.path}={json.dumps(d.new)}" for d in differences(_with_further(run), _with_further(begun))]
        branched = replace(begun, name=name, origin=(*run.origin, *changed) if run.origin else ())
        save(replace(branched, name=begun.name))
        try:
            begun.folder.rename(branched.folder)
        except OSError as error:
            if os.path.lexists(branched.folder):  # another command was faster
                raise UserError(_taken(branched.folder)) from error
            raise
        try:
            _publish(branched, first)
        except BaseException:
            shutil.rmtree(branched.folder, ignore_errors=True)
            if store := store_of(branched.data):
                with suppress(UserError):  # what it has of it is no run without its recipe
                    store.remove(branched.folder)
            raise
    except BaseException:
        shutil.rmtree(begun.folder, ignore_errors=True)
        raise
    return branched


def shared(run: Run, first: int) -> list[Place]:
    """The run's own artifacts before iteration `first`: of the iterations, and the evaluations of their models."""
    own = [(asset, at) for asset, at in places(run) if at is not None]
    return [(asset, at) for asset, at in own if at == "seed" or int(at) < first]


def _publish(branched: Run, first: int) -> None:
    """Put a branch into the object store, if there is one; its recipe last, so that no other host sees half of it."""
    if store_of(branched.data):
        for place in shared(branched, first):
            record = branched.record(*place)
            assert record is not None
            write_record(branched.record_path(*place), record)
        write_through(branched.folder / "recipe.yaml", stored_text(branched))


def _check(run: Run, name: str, first: int, sets: Sequence[str]) -> None:
    """Raise `UserError` if `branch` cannot be done."""
    last = len(run.iterations)
    if not 2 <= first <= last:
        raise UserError(
            f"--from {first}: expected an iteration from 2 to {last}; the ones before it are shared. "
            f"To share M0 alone: mr run RECIPE --name {name}."
        )
    check_run_name(name)
    if os.path.lexists(run.data / name):
        raise UserError(_taken(run.data / name))
    early = [text for text in sets if (row := _ROW.match(text)) and int(row[1]) < first]
    if early:
        raise UserError(
            f"--set {early[0]}: iteration {_ROW.match(early[0])[1]} is shared, as it is before iteration {first}. "  # type: ignore[index]
            "Set it for a later one, or begin the branch there."
        )
    if missing := [place for place in shared(run, first) if state(run, *place) != "done"]:
        raise UserError(
            f"run {run.name} cannot be branched from iteration {first}: {_why(run, missing[0])}"
            f"{f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''}. Complete it first, or begin earlier."
        )
    check_policy(run, ["policy"], str(first))


def _taken(folder: Path) -> str:
    return f"{folder} exists already. Name the branch otherwise, or remove that run first."


def _recipe(run: Run, first: int, sets: Sequence[str]) -> Recipe:
    """The branch's recipe: the rows before `first` are the run's. Raises `UserError` if M0 would be another."""
    given = with_sets(run.recipe, sets)
    if family_settings(given) != family_settings(run.recipe):
        changed = [d.path for d in differences(run.recipe, given)]
        raise UserError(
            f"{', '.join(changed)}: this shapes M0, or what it is made of, which a branch shares. "
            "Launch a run of its own: mr run RECIPE --set ... --name NAME."
        )
    rows = _at_rate(given.iterations[first - 1 :], run, given.dpo.learning_rate)
    dpo = given.dpo.model_copy(update={"learning_rate": run.recipe.dpo.learning_rate})  # which what is shared has
    return with_rows(given.model_copy(update={"dpo": dpo}), [*run.recipe.iterations[: first - 1], *rows])


def _at_rate(rows: Sequence[Iteration], run: Run, rate: float) -> list[Iteration]:
    """Rows that have another dpo.learning_rate than the run's themselves, unless they have one of their own."""
    own = None if rate == run.recipe.dpo.learning_rate else rate
    return [row.model_copy(update={"learning_rate": row.learning_rate or own}) for row in rows]


def _further(run: Run, sets: Sequence[str]) -> tuple[Iteration, ...]:
    """The rows beyond the run's iterations, with what `sets` say of all rows."""
    whole = _with_further(run).model_dump()
    whole["iterations"] = list(whole["iterations"])
    for text in sets:
        apply_set(whole, text)
    rows = parse_rows(json.dumps(whole["iterations"]))[len(run.iterations) :]
    return tuple(_at_rate(rows, run, whole["dpo"]["learning_rate"]))


def _with_further(run: Run) -> Recipe:
    """The recipe with the rows beyond the run's iterations, for which there may be too few seed prompts."""
    return run.recipe.model_copy(update={"iterations": (*run.recipe.iterations, *run.rows_to_come)})


def _why(run: Run, place: Place) -> str:
    """What keeps an artifact from being shared."""
    now = state(run, *place)
    why = f" ({', '.join(why_stale(run, *place))})" if now == "stale" else ""
    return f"{titled(*place)} is {now}{why}"


def _not_shared(run: Run, begun: Run, broken: Sequence[Place]) -> str:
    """Why what was whole in the run is not so in its branch: by the guardrails that this has, or it changed since."""
    changed = [d for d in differences(run.recipe, begun.recipe) if d.path.startswith("guardrails.")]
    bounds = [f"{d.path} = {shown(d.new)}" for d in changed if not d.path.endswith(".warn")]
    found = [(place, finding) for place in broken for finding in harmful_findings(begun, *place)]
    if not bounds or not found:
        why = "; ".join(_why(begun, place) for place in broken[:3])
        return f"run {run.name} changed while it was branched: {why}. Start again."
    place, finding = found[0]
    return (
        f"{', '.join(bounds)}: guardrails are the same in a whole run, and {titled(*place)}, which the branch shares, "
        f"would fail: check {finding.name}: {finding.said}\n"
        "Set bounds that what is shared keeps to, or begin the branch earlier."
    )


def link(run: Run, begun: Run, place: Place, record: Record) -> None:
    """Put the files that an artifact's record stands for, as hard links, where run `begun` has them; not the record."""
    here, there = (each.record_path(*place).parent for each in (run, begun))
    fetch_files(run.record_path(*place))
    table = [run.path(*place).name] if LOOP[place[0]].holds == "table" else []
    for name in (*record.files, *table):
        _link(here / name, Path(os.path.normpath(there / name)))
    if LOOP[place[0]].holds == "model":
        for path in _inside(here):
            _link(path, there / path.relative_to(here))


def _inside(folder: Path) -> Iterator[Path]:
    """The files of a model's folder but for its record; what is under way, which begins with a dot, is left out."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and str(inner) != "complete.json" and not any(p.startswith(".") for p in inner.parts):
            yield path


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if not to.exists():
        try:
            os.link(path, to)
        except OSError:  # a file system without hard links
            shutil.copy2(path, to)


def _keep_settings(begun: Run, place: Place, record: Record) -> None:
    """Write the record; what the branch sets otherwise is noted as overridden for this artifact.

    Raises `UserError` if that is nothing that one artifact can have of its own.
    """
    asset = place[0]
    write_record(begun.record_path(*place), record)
    names = {each.path.replace("row.", "iteration."): name for name, each in overridable(asset).items()}
    kept: dict[str, Any] = {}
    for path, (then, now) in changed_settings(begun, *place).items():
        if path not in names:
            raise UserError(
                f"{path} = {shown(now)}: {titled(*place)}, which the branch shares, was made with {shown(then)}, and "
                "this is the same in a whole run. Launch a run of its own: mr run RECIPE --set ... --name NAME."
            )
        kept[names[path]] = then
    if kept:
        write_record(begun.record_path(*place), replace(record, overrides={**record.overrides, **kept}))
