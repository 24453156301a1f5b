"""What a recipe's fields are, as `mr recipes NAME` lists them: key for --set, value, range and meaning.

dpo: DPO training
  dpo.beta = 0.1  (a number > 0)
    DPO's beta, no unit (A.3: 0.1)
iterations: one row per iteration, t = 1 first
  iterations.*.rho = 0.0, 0.0, 0.32, 0.4  (a number >= 0 and <= 1)
    length control: width of the quality tiers, no unit; 0 is score alone (2.1, A.3)
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.section import Section, section_of


@dataclass(frozen=True)
class Described:
    """A field, or a section of fields.

    key: as --set takes it; the star of a row stands for its number, or for all. value: as the recipe has it, of a row's
    field a list with one per iteration, of a section None; allowed: its range in words, "" for a section.
    """

    key: str
    value: Any
    allowed: str
    meaning: str

    @property
    def is_section(self) -> bool:
        """Whether it has fields of its own, which follow it."""
        return not self.allowed

    @property
    def shown(self) -> str:
        """The value as a recipe would write it; of rows that are all alike once."""
        of_rows = self.value if isinstance(self.value, list) and self.key.startswith("iterations.") else [self.value]
        values = [json.dumps(value, ensure_ascii=False) for value in of_rows]
        return values[0] if len(set(values)) == 1 else ", ".join(values)


def described(recipe: Recipe) -> list[Described]:
    """Every section and field of a recipe in its order."""
    return list(_described(Recipe, recipe.model_dump(mode="json"), ""))


def _described(section: type[Section], values: Any, prefix: str) -> Iterator[Described]:
    """values: of the section; None where the recipe has null in its place, a list where it is a row of many."""
    for name, field in section.model_fields.items():
        inner, key, meaning = section_of(field.annotation), prefix + name, field.description or ""
        found = [row[name] for row in values] if isinstance(values, list) else values[name] if values else None
        if inner is None:
            yield Described(key, found, _in_words(field), meaning)
        else:
            yield Described(key, None, "", meaning)
            yield from _described(inner, found, f"{key}.*." if inner is Iteration else f"{key}.")


def allowed(field: FieldInfo) -> str:
    """What a field that is neither a section nor a mapping may be, in words: "a number >= 0 and <= 1"."""
    if of := options(field):
        return " or ".join(of)
    plain, constraints = _type(field)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text that is not empty"}
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, key)}" for m in constraints for key, sign in signs.items() if hasattr(m, key)]
    return f"{words[plain]} {' and '.join(bounds)}".strip()


def kind(field: FieldInfo) -> type:
    """Bool, int, float or str."""
    return str if options(field) else _type(field)[0]


def options(field: FieldInfo) -> tuple[str, ...]:
    """The values of a closed choice; empty for an open one."""
    plain, _ = _type(field)
    return get_args(plain) if get_origin(plain) is Literal else ()


def _type(field: FieldInfo) -> tuple[Any, list[Any]]:
    """The plain type and its constraints, whether the field may be null or not."""
    annotation, constraints = field.annotation, list(field.metadata)
    while get_origin(annotation) is not Literal and get_args(annotation):
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            constraints += [m for info in more for m in getattr(info, "metadata", [info])]
        else:
            [annotation] = [a for a in get_args(annotation) if a is not NoneType]
    return annotation, constraints


def _in_words(field: FieldInfo) -> str:
    if get_origin(field.annotation) is dict:
        return "a mapping"
    return f"{allowed(field)}, or null" if NoneType in get_args(field.annotation) else allowed(field)
