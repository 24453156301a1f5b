"""What is stored of runs: their recipes as they were launched; which runs there are.

# launched with the family small_world
# launched from ["small_world_meta_rewarding", "beta=0.2"]
# the recipe goes on with []
seed: 0
...
"""

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.files import write_json
from mr_assets.recipes.load import from_yaml, list_recipes, load_recipe, load_rows, parse_rows
from mr_assets.recipes.names import check_run_name, is_run_name
from mr_assets.recipes.yaml_files import find_recipe, shipped, variants
from mr_assets.runs.data_folder import data_root
from mr_assets.runs.object_store import pull, store_of, write_through
from mr_assets.runs.run import Run

FAMILY_LINE = "# launched with the family "
ORIGIN_LINE = "# launched from "
FURTHER_LINE = "# the recipe goes on with "
HELD = "MR_RECIPES"  # in the environment of a Dagster run's processes: the file of the recipes that it began with


def stored_text(run: Run) -> str:
    """What is stored with the run: the recipe as it was launched, and in comments what else belongs to it."""
    origin = f"{ORIGIN_LINE}{json.dumps(run.origin)}\n" if run.origin else ""
    rows = "" if run.further is None else json.dumps([row.model_dump() for row in run.further])
    further = f"{FURTHER_LINE}{rows}\n" if rows else ""
    return f"{FAMILY_LINE}{run.family}\n{origin}{further}{run.recipe.dump_yaml()}"


def save(run: Run) -> bool:
    """Store the recipe with the run, unless that is what is stored; whether it was not."""
    path, text = run.folder / "recipe.yaml", stored_text(run)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_through(path, text)
    return True


def load_run(
    recipe: str,
    *,
    name: str | None = None,
    sets: tuple[str, ...] = (),
    iterations: int | None = None,
    data: Path | None = None,
) -> Run:
    """The run of a recipe (a shipped name or a YAML file) under `name`, by default the recipe's own name."""
    loaded = load_recipe(recipe, sets, iterations)
    origin = recipe if recipe in shipped() else str(find_recipe(recipe).resolve())
    further = load_rows(recipe, sets)[len(loaded.iterations) :]
    name = check_run_name(name or Path(recipe).stem)
    return Run(name, loaded, data or data_root(), origin=(origin, *sets), further=further)


def named_runs(data: Path, *names: str) -> dict[str, Run]:
    """These runs, by name; of others nothing is read. Raises `UserError` that lists the runs if one is not there."""
    runs, _ = stored_and_unreadable_runs(data, names)
    for name in names:
        if name not in runs:
            raise UserError(f"there is no run {name!r}. Runs: {', '.join(stored_runs(data)) or 'none yet'}.")
    return runs


def stored_runs(data: Path) -> dict[str, Run]:
    """The runs that were launched, by name. One whose stored recipe cannot be read any more is left out."""
    runs, unreadable = stored_and_unreadable_runs(data)
    for name, why in unreadable.items():
        _warn_once(data, f"run {name if is_run_name(name) else repr(name)} is left out: {why}")
    return runs


@cache
def _warn_once(data: Path, said: str) -> None:
    logging.getLogger(__name__).warning(said)


def stored_and_unreadable_runs(
    data: Path, names: Collection[str] | None = None
) -> tuple[dict[str, Run], dict[str, str]]:
    """The runs that were launched, by name; and of those that cannot be read any more, why. With `names`, of these.

    A folder that no run can be called, such as a copy x.bak, is passed over like those.
    """
    pull(data)
    runs, unreadable = {}, {}
    held = _held()
    for path in sorted(data.glob("[!.]*/recipe.yaml")):
        name = path.parent.name
        if names is not None and name not in names:
            continue
        try:
            if not is_run_name(name):
                raise UserError("no run can have this name: expected lower-case words joined by single underscores")
            if not path.is_file():
                raise UserError(f"{path} is no file")
            text = held.get(name) or path.read_text(encoding="utf-8")
            family, origin, further = (_noted(text, line) for line in (FAMILY_LINE, ORIGIN_LINE, FURTHER_LINE))
            runs[name] = Run(
                name,
                from_yaml(text, str(path)),
                data,
                family,
                tuple(json.loads(origin)) if origin else (),
                further=None if further is None else parse_rows(further),
            )
        except (UserError, ValueError, OSError, RecursionError) as error:
            unreadable[name] = str(error)
    return runs, unreadable


def _noted(text: str, line: str) -> str | None:
    """What a stored recipe notes in one of its first lines."""
    return next((each.removeprefix(line) for each in text.split("\n", 3)[:3] if each.startswith(line)), None)


def hold_recipes(place: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write stored recipes, by run, to a file for a Dagster run that begins; the environment that names the file.

    Its processes read them from there, so that it ends with the recipe that it began with, whoever changes that.
    """
    write_json(place, dict(texts))
    return {HELD: str(place)}


def recipes_of(namespaces: Iterable[str] | None, data: Path) -> dict[str, str]:
    """The stored recipes of these runs (None: of all), by name; what has none is left out."""
    names = [path.parent.name for path in data.glob("[!.]*/recipe.yaml")] if namespaces is None else namespaces
    places = {name: data / name / "recipe.yaml" for name in names if is_run_name(name)}
    return {name: path.read_text(encoding="utf-8") for name, path in places.items() if path.is_file()}


def _held() -> dict[str, str]:
    """The recipes that the Dagster run of this process began with, by run; none outside of one."""
    place = os.environ.get(HELD)
    found: dict[str, str] = json.loads(Path(place).read_text(encoding="utf-8")) if place else {}
    return found


def all_runs(data: Path | None = None) -> list[Run]:
    """What the UI shows: every run that was launched, and every shipped recipe that was not yet, but for variants."""
    data = data or data_root()
    runs, hidden = stored_runs(data), variants()
    for name in list_recipes():
        if name not in runs and name not in hidden:
            runs[name] = Run(name, load_recipe(name), data, origin=(name,), further=())
    return list(runs.values())


def remove_run(run: Run) -> None:
    """Delete a run's folder; what it shares with its family stays. Of a link the link alone is deleted."""
    if store := store_of(run.data):
        store.remove(run.folder)
    if run.folder.is_symlink():
        run.folder.unlink()
    elif run.folder.exists():
        doomed = run.folder.with_name(f".removed-{run.name}")
        shutil.rmtree(doomed, ignore_errors=True)  # what an interrupted removal left
        run.folder.rename(doomed)
        shutil.rmtree(doomed)
