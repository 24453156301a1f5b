"""Settings: the recipe's fields that shape an artifact, and those that are in force for it.

    LOOP["actor_pairs"].shaped_by      seed, row.rho, row.max_chosen_chars, switches.cut_off
    its record, iteration 2            {"seed": 0, "iteration.rho": 0.32, "iteration.max_chosen_chars": null, ...}

What only changes speed or memory shapes nothing. A file or a folder that a setting names counts by its content.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from mr_assets.errors import UserError
from mr_assets.files import remembered_fingerprint
from mr_assets.loop import LOOP, RENDERING, iteration_of
from mr_assets.recipes.recipe import GENERATED, OPEN_ASSISTANT, RANKINGS, REWARD_MODEL, SPEED_FIELDS, Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.overrides import as_config, overrides_in, with_overrides
from mr_assets.runs.run import Run
from mr_assets.sampling.connection import is_endpoint
from mr_assets.text_files import is_file_or_folder, is_regular

CONTENT = "content of "
TEXT = "text of the {} template"
MODELS = ("model.seed", "prompts.generator", "reward_model.folder", "win_rates.judge")
"""The fields that name a model's folder."""
JUDGE_SIDE_OFF = {"iteration.judge_training": False}


def shaping_settings(recipe: Recipe, asset: str, partition: str | None) -> dict[str, Any]:
    """The recipe's fields that shape an artifact, by their paths.

    What only changes speed or memory is not among them. Of the judge's side, if the iteration does not train the judge,
    only that flag counts.
    """
    t = iteration_of(asset, partition)
    if LOOP[asset].side == "judge" and not recipe.row(t).judge_training:
        return dict(JUDGE_SIDE_OFF)
    data = recipe.model_dump(mode="json", exclude=SPEED_FIELDS)
    data["row"] = {**data["iterations"][t - 1], "learning_rate": recipe.learning_rate(t)}
    data["prompts_until"] = [row["prompts"] for row in data["iterations"][:t]]
    row = LOOP[asset]
    paths = (*row.shaped_by, *(row.shaped_too(recipe) if row.shaped_too else ()))
    shaping = (path for path in paths if not _of_another_model(recipe, asset, path))
    return {path.replace("row.", "iteration."): _at(data, path) for path in shaping}


def _of_another_model(recipe: Recipe, asset: str, path: str) -> bool:
    """Whether a setting is of the seed model, or of the engine, where another generator makes the prompts."""
    if asset != "generated_prompts" or recipe.prompts.generator is None:
        return False
    return path.startswith("model.") or (path == "engine" and is_endpoint(recipe.prompts.generator))


def prompts_differ(sampled: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings by which the prompts of `sampled`, made with `then`, are others than those made with `now`.

    What an earlier version did not record is no difference.
    """
    then = {**{path: now.get(path) for path in RENDERING}, **then}
    shaping = RENDERING if sampled == "responses" else (*RENDERING, TEXT.format("judge"))
    return [path for path in shaping if then.get(path) != now.get(path)]


def settings_of(run: Run, asset: str, partition: str | None) -> dict[str, Any]:
    """The recipe's fields that shape an artifact, as JSON; the user's own files also count by their content."""
    found = shaping_settings(run.recipe, asset, partition)
    given = {"judge": run.recipe.judgments.template, "meta_judge": run.recipe.meta_judgments.template}
    for template in LOOP[asset].templates:
        path = run.template(given.get(template))
        if path is not None and is_regular(path) and found != JUDGE_SIDE_OFF:
            found[TEXT.format(template.replace("_", "-"))] = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    for name, source in _sources(run, asset, partition):
        if is_file_or_folder(path := resolve(source, run.data)):
            notes = run.data / ".fingerprints.json"
            found[CONTENT + name] = remembered_fingerprint(path, notes, every_file=name not in MODELS)
    return found


def _sources(run: Run, asset: str, partition: str | None) -> list[tuple[str, str]]:
    """The fields that name a file or a model folder which an artifact is made of, and what they name."""
    if asset not in run.loop or (asset == "eft_dataset" and not run.recipe.sft):  # which is empty
        return []
    of_loop = LOOP[asset].per == "model" and partition != "seed"  # made of a model of the loop
    given = [path for path in LOOP[asset].sources if not (of_loop and path == "model.seed")]
    paths = (path for path in given if not _of_another_model(run.recipe, asset, path))
    named = [(path, _named(run.recipe, path)) for path in paths]
    made = ("world", GENERATED, RANKINGS)
    files = [(path, source) for path, source in named if source and source not in made and not is_endpoint(source)]
    return [(path, source.removeprefix(OPEN_ASSISTANT).removeprefix(REWARD_MODEL)) for path, source in files]


def _named(recipe: Recipe, path: str) -> str | None:
    """What the field at a path names; None where its section is null."""
    section, _, field = path.partition(".")
    named: str | None = getattr(getattr(recipe, section), field, None)
    return named


def overrides_of(run: Run, asset: str, partition: str | None = None) -> dict[str, Any]:
    """What a person overrode for an artifact, by launchpad names, where it still departs from the recipe.

    It stays in force when the artifact is materialized again, unless the run goes `as_recipe` or the recipe has come to
    refuse it.
    """
    record = run.record(asset, partition)
    if record is None or not record.overrides or run.as_recipe:
        return {}
    try:
        found = overrides_in(run.recipe, asset, partition, as_config(record.overrides))
        overridden(run, asset, partition, found)
    except UserError:
        return {}
    return found


def overridden(run: Run, asset: str, partition: str | None, overrides: Mapping[str, Any]) -> Run:
    """The run with the recipe that is in force for one artifact; names and places are the run's own.

    Raises `UserError` if the overrides contradict other fields.
    """
    if not overrides:
        return run
    return replace(run, recipe=with_overrides(run.recipe, asset, partition, overrides), launched_family=run.family)


def settings_in_force(run: Run, asset: str, partition: str | None = None) -> dict[str, Any]:
    """The settings that an artifact would be made with: the recipe's, and what a person overrode."""
    return settings_of(overridden(run, asset, partition, overrides_of(run, asset, partition)), asset, partition)


def changed_settings(run: Run, asset: str, partition: str | None = None) -> dict[str, tuple[Any, Any]]:
    """The settings that an artifact was made with and would not be made with now: (then, now) by their paths.

    A content, or how the chat template renders, that an earlier version did not record yet is no difference; nor is
    a setting that had one value then, or that its row says earlier versions did not note.
    """
    record, now = run.record(asset, partition), _fields(settings_in_force(run, asset, partition))
    then = _fields(record.settings) if record else now
    then = {path: value for path, value in LOOP[asset].before.items() if path in now} | then
    new = (*RENDERING, *LOOP[asset].not_noted)
    paths = [p for p in {**then, **now} if p in then or not (p.startswith(CONTENT) or p in new)]
    return {p: (then.get(p), now.get(p)) for p in paths if then.get(p) != now.get(p)}


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value[part] if value is not None else None
    return value


def _fields(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with the fields of whole sections each by its own path."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _fields(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {prefix + name: value}
    return found
