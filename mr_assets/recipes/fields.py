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
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.runs.settings import Choice
from mr_assets.section import section_of


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


def _described(section: type[BaseModel], values: Any, prefix: str) -> Iterator[Described]:
    """values: of the section; None where the recipe has null in its place, a list where it is a row of many."""
    for name, field in section.model_fields.items():
        inner, key, meaning = section_of(field.annotation), prefix + name, field.description or ""
        found = [row[name] for row in values] if isinstance(values, list) else values[name] if values else None
        if inner is None:
            yield Described(key, found, _allowed(key, field), meaning)
        else:
            yield Described(key, None, "", meaning)
            yield from _described(inner, found, f"{key}.*." if inner is Iteration else f"{key}.")


def _allowed(key: str, field: FieldInfo) -> str:
    """The range of a field in words."""
    if get_origin(field.annotation) is dict:
        return "a mapping"
    words = Choice(key, key, field).allowed
    return f"{words}, or null" if NoneType in get_args(field.annotation) else words
