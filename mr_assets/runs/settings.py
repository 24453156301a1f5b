"""Settings: the recipe's fields that shape an artifact, and those that are in force for it.

    LOOP["actor_pairs"].shaped_by      seed, row.rho, row.max_chosen_chars, switches.cut_off
    its record, iteration 2            {"seed": 0, "iteration.rho": 0.32, "iteration.max_chosen_chars": null, ...}

A file or a folder that a setting names counts by its content.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from mr_assets.errors import UserError
from mr_assets.files import remembered_fingerprint
from mr_assets.loop import LOOP, RENDERING
from mr_assets.recipes.recipe import GENERATED, OPEN_ASSISTANT, RANKINGS, REWARD_MODEL, Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.overrides import as_config, overrides_in, with_overrides
from mr_assets.runs.run import Run
from mr_assets.sampling.connection import is_endpoint
from mr_assets.text_files import is_file_or_folder, is_regular

CONTENT = "content of "
TEXT = "text of the {} template"
TEMPLATES = {"judge": "judgments.template", "meta_judge": "meta_judgments.template"}
"""The fields that name a file in place of a shipped template."""
MODELS = ("model.seed", "prompts.generator", "reward_model.folder", "win_rates.judge")
"""The fields that name a model's folder."""


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
    for template in LOOP[asset].templates:
        path = TEMPLATES.get(template)
        file = run.template(_named(run.recipe, path)) if path and _is_among(path, found) else None
        if file is not None and is_regular(file):
            found[TEXT.format(template.replace("_", "-"))] = blake2b(file.read_bytes(), digest_size=8).hexdigest()
    for name, source in _sources(run, asset, partition):
        if _is_among(name, found) and is_file_or_folder(place := resolve(source, run.data)):
            notes = run.data / ".fingerprints.json"
            found[CONTENT + name] = remembered_fingerprint(place, notes, every_file=name not in MODELS)
    return found


def _sources(run: Run, asset: str, partition: str | None) -> list[tuple[str, str]]:
    """The fields that name a file or a model folder which an artifact is made of, and what they name."""
    if asset not in run.loop or (asset == "eft_dataset" and not run.recipe.sft):  # which is empty
        return []
    of_loop = LOOP[asset].per == "model" and partition != "seed"  # made of a model of the loop
    given = [path for path in LOOP[asset].sources if not (of_loop and path == "model.seed")]
    named = [(path, _named(run.recipe, path)) for path in given]
    made = ("world", GENERATED, RANKINGS)
    files = [(path, source) for path, source in named if source and source not in made and not is_endpoint(source)]
    return [(path, source.removeprefix(OPEN_ASSISTANT).removeprefix(REWARD_MODEL)) for path, source in files]


def _is_among(path: str, settings: Mapping[str, Any]) -> bool:
    """Whether a field is one of the settings, or of a section that is."""
    return path in settings or path.partition(".")[0] in settings


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
    a setting that had one value then, or that its row says not all versions note.
    """
    record, now = run.record(asset, partition), _fields(settings_in_force(run, asset, partition))
    then = _fields(record.settings) if record else now
    then = {path: value for path, value in LOOP[asset].before.items() if path in now} | then
    either = [path for path in LOOP[asset].not_noted if (path in then) != (path in now)]
    paths = [p for p in {**then, **now} if p in then or not (p.startswith(CONTENT) or p in RENDERING)]
    return {p: (then.get(p), now.get(p)) for p in paths if then.get(p) != now.get(p) and p not in either}


def _fields(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with the fields of whole sections each by its own path; an empty mapping has none."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _fields(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
