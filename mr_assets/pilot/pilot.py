"""A pilot: the loop's own assets, from the seed prompts to the pairs, for a few prompts of one iteration.

    pilot = planned(run, prompts=16)
    make(pilot)
    pilot.run.table("judgments", "1")       data/pilots/my_model/judgments/1.parquet

It is a run of one iteration whose data folder is ``pilots`` in the run's own, and whose Dagster history is gone when it
ends. So whatever an asset does, its parser, its figures and its checks, the pilot does; the same engine serves all its
roles; a pilot that was stopped goes on; and nothing of it is part of the run. The model is the one that iteration 1
would start from as it is now: M0 if it is made already, else the seed model.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mr_assets.bounds import Bounds, Guardrails
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.files import atomically
from mr_assets.ids import model_id
from mr_assets.inputs.preflight import check_run
from mr_assets.inputs.seed_model import seed_model
from mr_assets.loop import LOOP
from mr_assets.orchestration.console import without_history_errors
from mr_assets.orchestration.lock import run_lock
from mr_assets.orchestration.steps import Step, failures, pending, was_interrupted
from mr_assets.recipes.load import with_rows
from mr_assets.recipes.recipe import GENERATED, Prompts, Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.object_store import LOCK, PILOTS
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import stored_text
from mr_assets.sampling.live import close_engine
from mr_assets.text_files import is_file_or_folder
from mr_assets.wiring.partitions import asset_key

FOLDER = PILOTS
"""Of a data folder: the pilots by the names of their runs. No run can have this name."""
PROMPTS = 16
TEMPLATES = ("judgments.template", "meta_judgments.template")


@dataclass(frozen=True)
class Pilot:
    """What is tried, and where.

    of: the run that it is a pilot of; run: the pilot itself, one iteration under ``pilots``; iteration: of `of`, whose
    row it has; model: "M0" or "seed"; folder: that model's.
    """

    of: Run
    run: Run
    iteration: int
    model: str
    folder: Path

    @property
    def prompts(self) -> int:
        """How many go through it."""
        return self.run.recipe.row(1).prompts

    @property
    def is_made(self) -> bool:
        """Whether all of it is there, made of what is there now and with the settings as they are now."""
        return _is_stored(self.run) and not any(due for *_, due in _due(self.run))


def planned(run: Run, prompts: int = PROMPTS) -> Pilot:
    """The pilot of a run: of its first iteration that trains the judge, or of its first. Nothing is written.

    prompts: how many go through it, or as many as the iteration has. A seed model of a hub is downloaded if the recipe
    allows it. Raises `UserError` for a model that cannot be used.
    """
    recipe = run.recipe
    t = next((t for t, row in enumerate(recipe.iterations, start=1) if row.judge_training), 1)
    model, folder = _model_as_it_is(run)
    tried = with_rows(recipe, [recipe.row(t).model_copy(update={"prompts": min(prompts, recipe.row(t).prompts)})])
    guardrails = {name: _never_stops(value) for name, value in recipe.guardrails}
    changed: dict[str, Any] = {
        "prompts": _few_prompts(run, tried),
        "model": recipe.model.model_copy(update={"seed": str(folder), "revision": None}),
        "sft": None,
        "evaluation": None,
        "held_out": None,
        "win_rates": None,
        "human_agreement": None,
        "labelled_pairs": None,
        "probe": None,
        "guardrails": Guardrails(**guardrails),
    }
    tried = _with_whole_paths(tried.model_copy(update=changed), run.data)
    return Pilot(run, Run(run.name, tried, run.data / FOLDER, launched_family=run.name, further=()), t, model, folder)


def check(pilot: Pilot) -> list[str]:
    """Raise `UserError` for whatever would stop it: the model, its chat template, the prompts, the engine's memory.

    Returns what is worth knowing besides, a sentence each. Nothing is written.
    """
    return check_run(pilot.run, dry=True, trains=False)


def make(pilot: Pilot) -> None:
    """Make what is missing of it, and stop the engine. What was left of another pilot of the run goes.

    It is made in this process, whatever MR_EXECUTOR says. Raises `UserError` if that fails, or if another process makes
    it; and `KeyboardInterrupt` if it was stopped: the same call goes on.
    """
    run = pilot.run
    with run_lock(run.folder, f"the pilot of {run.name}", wait=False), _engine_closed():
        if not _is_stored(run):
            _empty(run.folder)
            atomically(_stored(run), lambda p: p.write_text(stored_text(run), encoding="utf-8"))
        definitions = build_definitions([run])
        for assets, partition, due in _due(run):
            while due:  # a check that fails keeps Dagster from what is downstream, and a pilot goes on
                _materialize(definitions, run, Step("the pilot", tuple(due), partition))
                before, due = due, pending(run, assets, partition)
                if due == before:
                    break


def forget(pilot: Pilot) -> None:
    """Remove what is there of it, unless another process makes it: raises `UserError` then."""
    folder = pilot.run.folder
    if folder.is_dir():
        with run_lock(folder, f"the pilot of {pilot.run.name}", wait=False):
            _empty(folder)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _materialize(definitions: dg.Definitions, run: Run, step: Step) -> None:
    """Materialize assets in this process, with a history that is gone afterwards.

    Raises `UserError` if one failed: not if its checks did, as what they measured is what a pilot is for.
    """
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance, without_history_errors():
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[asset_key(run, asset) for asset in step.assets],
            partition_key=step.partition,
            run_config={"loggers": {"console": {"config": {}}}},
            raise_on_error=False,
        )
    if was_interrupted(result.all_events):
        raise KeyboardInterrupt
    complete = {asset for asset in step.assets if run.record(asset, step.partition)}
    if failed := [said for said in failures(result.all_events) if said.partition(":")[0] not in complete]:
        goes_on = "The same command goes on from there."
        raise UserError("\n".join([f"the pilot of {run.name} failed.", *failed, goes_on]))


def _due(run: Run) -> Iterator[tuple[tuple[str, ...], str | None, list[str]]]:
    """The assets of a pilot, first those of the family, with their partition and those that are to be made."""
    untrained = [name for name in run.loop.per("iteration") if LOOP[name].holds != "model"]
    for assets, partition in ((run.loop.per("family"), None), (untrained, "1")):
        tried = tuple(assets)
        yield tried, partition, pending(run, tried, partition)


def _model_as_it_is(run: Run) -> tuple[str, Path]:
    if run.recipe.sft and state(run, "sft_checkpoint") == "done":
        return model_id(0), run.place("sft_checkpoint").resolve()
    return "seed", seed_model(run.recipe, run.data).resolve()


def _few_prompts(run: Run, tried: Recipe) -> Prompts:
    """The pilot's prompts: as the recipe has them; of those that a model makes, as many as go through the pilot."""
    if tried.prompts.source != GENERATED:
        return tried.prompts
    few: dict[str, Any] = {"count": tried.row(1).prompts}
    if tried.prompts.generator is None:  # the seed model, whatever model is tried
        few["generator"] = str(seed_model(run.recipe, run.data).resolve())
    return tried.prompts.model_copy(update=few)


def _never_stops(bounds: Any) -> Any:
    """Bounds that warn alone: the roles downstream are to be tried whatever is found."""
    return Bounds(warn=bounds.warn, stop=None) if isinstance(bounds, Bounds) else bounds


def _with_whole_paths(recipe: Recipe, data: Path) -> Recipe:
    """The recipe with the user's files by their absolute paths, as a pilot has a data folder of its own."""
    fields = {*TEMPLATES, *(field for row in LOOP.values() for field in row.sources)} - {"model.seed"}
    for field in sorted(fields):
        section, name = field.split(".")
        given = getattr(getattr(recipe, section), name, None)  # of a section that is null, none
        kind, colon, rest = str(given or "").partition(":")
        for before, path in (("", str(given or "")), (kind + colon, rest)):  # "open_assistant:FILE" names one, too
            if path and is_file_or_folder(there := resolve(path, data)):
                whole = getattr(recipe, section).model_copy(update={name: f"{before}{there.resolve()}"})
                recipe = recipe.model_copy(update={section: whole})
                break
    return recipe


def _stored(run: Run) -> Path:
    return run.folder / "recipe.yaml"


def _is_stored(run: Run) -> bool:
    """Whether what lies there was made by this very recipe, the engine's speed included: its rates count."""
    path = _stored(run)
    return path.is_file() and path.read_text(encoding="utf-8") == stored_text(run)


@contextmanager
def _engine_closed() -> Iterator[None]:
    try:
        yield
    finally:
        close_engine()
