"""Recipes from files: each is validated before anything is launched.

    recipe = load_recipe("small_world_meta_rewarding", ["beta=0.2", "iterations.all.prompts=20", "iterations.4.rho=0"])
    recipe = with_iterations(recipe, 6)
    recipe = from_yaml(recipe.dump_yaml())

``extends`` merges mappings key by key; anything else (``iterations`` too) is replaced as a whole. It names one recipe,
or several, of which a later one goes on top. A base that is no run of its own says ``abstract: true``.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mr_assets.errors import UserError, shown
from mr_assets.recipes.recipe import MAX_ITERATIONS, Iteration, Recipe
from mr_assets.recipes.sets import apply_set
from mr_assets.recipes.validation import former_switches, validated
from mr_assets.recipes.yaml_files import OF_FILE, find_recipe, parse_mapping, read_recipe, shipped
from mr_assets.sampling.engine_arguments import refused


def list_recipes() -> list[str]:
    """Names of the shipped recipes that can be run, in alphabetical order."""
    return [name for name, abstract in shipped().items() if not abstract]


def load_recipe(name_or_path: str | Path, sets: Sequence[str] = (), iterations: int | None = None) -> Recipe:
    """The validated recipe of that name (shipped) or file, with each ``key=value`` of `sets` applied in turn.

    With `iterations`, it then has so many: see `with_iterations`.

    A key is a full path (``dpo.beta``, ``iterations.2.rho``, ``iterations.all.prompts``) or the name of a field that
    occurs only once (``beta``); of a row's field, all rows' (``rho``). Raises `UserError` with every problem found.
    """
    raw, origin = _raw(name_or_path, sets)
    if iterations is not None and isinstance(raw.get("iterations"), list):
        raw["iterations"] = resized(raw["iterations"], iterations)
    recipe = validated(raw, origin)
    if problems := list(refused(recipe.engine.extra)):  # here and not in `validated`: what was launched stays readable
        raise UserError("\n  - ".join([f"{origin}: {len(problems)} in engine.extra. Mend the recipe.", *problems]))
    if former := former_switches(raw):
        recipe._notes = (
            f"{', '.join(f'switches.{name}' for name in former)}: no switch any more, but decided as it says here "
            "(docs/method.md); leave it out.",
        )
    return recipe


def load_rows(name_or_path: str | Path, sets: Sequence[str] = ()) -> tuple[Iteration, ...]:
    """All rows of a recipe, also where there are too few seed prompts to run all of them. Raises as `load_recipe`."""
    raw, origin = _raw(name_or_path, sets)
    try:
        return _ROWS.validate_python(raw.get("iterations"))
    except ValidationError:
        return validated(raw, origin).iterations  # raises, in the words that are used for a recipe


@lru_cache(maxsize=1024)  # what one text says never changes, and reading YAML takes longer than any file
def from_yaml(text: str, origin: str = "recipe") -> Recipe:
    """The recipe that `Recipe.dump_yaml` wrote. Raises `UserError` with `origin` and every problem."""
    return validated(parse_mapping(text, origin), origin)


_ROWS = TypeAdapter(tuple[Iteration, ...])


def parse_rows(text: str) -> tuple[Iteration, ...]:
    """Rows from JSON. Raises `ValueError` if they are none."""
    return _ROWS.validate_json(text)


def with_iterations(recipe: Recipe, count: int) -> Recipe:
    """The recipe with `count` iterations: the last row is repeated, or rows at the end are left out.

    Raises `UserError` if the seed prompts do not suffice.
    """
    return with_rows(recipe, resized(recipe.iterations, count))


def with_rows(recipe: Recipe, rows: Sequence[Iteration]) -> Recipe:
    """The recipe with these iterations. Raises `UserError` if the seed prompts do not suffice."""
    return validated({**recipe.model_dump(), "iterations": [row.model_dump() for row in rows]}, "recipe")


def resized(rows: Sequence[Any], count: int) -> list[Any]:
    """`count` rows: the last one is repeated, or rows at the end are left out."""
    if count < 1:
        raise UserError(f"iterations = {count}: expected 1 or more.")
    if count > MAX_ITERATIONS:
        raise UserError(f"iterations = {shown(count)}: expected at most {MAX_ITERATIONS:,}.")
    return [*rows, *list(rows[-1:]) * (count - len(rows))][:count]


def _raw(name_or_path: str | Path, sets: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a recipe's file says with each ``key=value`` of `sets`, not yet validated, and what to call it."""
    path = find_recipe(str(name_or_path))
    raw = read_recipe(path)
    is_abstract, _ = (raw.pop(name) for name in OF_FILE)
    if is_abstract:
        raise UserError(
            f"recipe {path.stem} is a base for others and no run of its own. Run one of {', '.join(list_recipes())}."
        )
    for text in sets:
        apply_set(raw, text)
    return raw, f"recipe {path.stem}"
