"""``--set``: single values of a recipe that are changed for one run.

    dpo.beta=0.2  iterations.2.rho=0  iterations.all.prompts=20      a full path
    beta=0.2                                                         a name that only one field has
    rho=0.3                                                          a row's field: in all rows

A value is YAML. A mapping is merged into the section that is there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mr_assets.errors import UserError, did_you_mean
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.recipes.validation import FORMER_SWITCHES, validated
from mr_assets.recipes.yaml_files import merge, parse_value
from mr_assets.section import Section, section_of

LONGEST_KEY = 200


def _paths(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _paths(inner, f"{prefix}{name}.*." if inner is Iteration else f"{prefix}{name}.")


PATHS = tuple(_paths(Recipe))  # of every section and field; a row of the iterations is written as a star


def with_sets(recipe: Recipe, sets: Sequence[str]) -> Recipe:
    """The recipe with each ``key=value`` of `sets` applied in turn; see `load_recipe`."""
    data = recipe.model_dump()
    data["iterations"] = list(data["iterations"])
    for text in sets:
        apply_set(data, text)
    return validated(data, "recipe")


def apply_set(raw: dict[str, Any], text: str) -> None:
    """Put one ``key=value`` into a raw recipe, in place. Raises `UserError` if it is none, or means no field."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if len(key) > LONGEST_KEY:
        raise UserError(f"--set {key[:LONGEST_KEY]}...: no field of a recipe has so long a name.")
    if not equals or not key:
        raise UserError(f"--set {text}: expected key=value, for example dpo.beta=0.2.")
    rows = raw.get("iterations")
    rows = rows if isinstance(rows, list) else []
    first, *rest = _resolve(key, len(rows))
    new = parse_value(value, f"--set {text}")
    _refuse_section(first if not rest else key, new, text, len(rows))
    if first != "iterations" or not rest:
        raw.update(_put(raw, [first, *rest], new))
        return
    named = range(1, len(rows) + 1) if rest[0] == "all" else [int(rest[0])]
    raw["iterations"] = [
        _put({"row": row}, ["row", *rest[1:]], new)["row"] if t in named and isinstance(row, dict) else row
        for t, row in enumerate(rows, start=1)
    ]


def _put(mapping: dict[str, Any], parts: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `mapping` with `value` at the path `parts`; a mapping is merged into the one that is there."""
    first, *rest = parts
    old = mapping.get(first)
    if rest:
        value = _put(old if isinstance(old, dict) else {}, rest, value)
    return merge(mapping, {first: value})


def _resolve(key: str, rows: int) -> list[str]:
    """The parts of the one path that a key of --set means. Raises `UserError` if there is none, or more than one."""
    parts = key.split(".")
    if parts[-1] in FORMER_SWITCHES and parts[:-1] in ([], ["switches"]):
        return ["switches", parts[-1]]
    row = parts[1] if parts[0] == "iterations" and len(parts) > 1 else None
    if row is not None and row not in ("all", *map(str, range(1, rows + 1))):
        raise UserError(f"--set {key}: there is no iteration {row}; expected 1 to {rows}, or all.")
    if (row is not None and len(parts) == 2) or ".".join(["iterations", "*", *parts[2:]] if row else parts) in PATHS:
        return parts
    if key.startswith(("engine.extra.", "model.chat_template_kwargs.")) and len(parts) <= 20:
        return parts
    found = [path for path in PATHS if path.rpartition(".")[2] == key]
    if found == [f"iterations.*.{key}"]:
        return ["iterations", "all", key]
    full = _spelt_out(found, rows)
    if len(full) == 1:
        return full[0].split(".")
    if full:
        raise UserError(f"--set {key}: several fields have this name. Say which: {', '.join(full)}.")
    known = [path.replace("*", row or "all") for path in PATHS]
    hint = did_you_mean(key, [*known, *(path.rpartition(".")[2] for path in known)])
    raise UserError(f"--set {key}: no field of a recipe has this name.{hint} Full paths look like dpo.beta.")


def _refuse_section(path: str, value: Any, text: str, rows: int) -> None:
    """Raise `UserError` if a section, or a row, is given a single value: name the fields that may have been meant."""
    parts = path.split(".")
    general = ".".join(["iterations", "*"] if parts[0] == "iterations" and len(parts) == 2 else parts)
    inner = [path + p.removeprefix(general) for p in PATHS if p.startswith(f"{general}.")]
    if not inner or general == "iterations" or value is None or isinstance(value, dict):
        return
    same = [p for p in PATHS if p.rpartition(".")[2] == path and p != general]
    meant = [*_spelt_out(same, rows), *inner]
    raise UserError(f"--set {text}: {path} is a section. Say which of its fields, or which other: {', '.join(meant)}.")


def _spelt_out(paths: Sequence[str], rows: int) -> list[str]:
    """Paths with the star of the iterations replaced by each row's number and by all."""
    choices = [*map(str, range(1, rows + 1)), "all"]
    return [p.replace("*", t) for p in paths for t in (choices if "*" in p else choices[:1])]
