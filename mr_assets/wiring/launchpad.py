"""The launchpad: what a person may override for one materialization, as Dagster shows and checks it.

    ops:
      small_world_meta_rewarding__actor_pairs:
        config: {rho: 0.3}                        for every iteration that is materialized
        config: {rho: [0.32, 0.3]}                one for each iteration of the run, from the first

Ranges are part of the config's types, so that a value out of range is refused when the run is launched, before
anything is sampled. (A `dagster.Config` class would be checked when its own step starts.)
"""

import json
from functools import cache
from typing import Any

import dagster as dg

from mr_assets.dagster_internals import ConfigScalar, ConfigScalarKind
from mr_assets.errors import shown
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.overrides import WITHOUT, Override, overridable

KINDS = {
    bool: ConfigScalarKind.BOOL,
    int: ConfigScalarKind.INT,
    float: ConfigScalarKind.FLOAT,
    str: ConfigScalarKind.STRING,
}


class _Checked(ConfigScalar):
    """A value of one of the recipe's fields; the type's name says what it may be."""

    def __init__(self, field: Override) -> None:
        self.field = field
        super().__init__(f"{field.path}: {field.allowed}", field.allowed, KINDS[field.kind])

    def post_process(self, value: Any) -> Any:
        """The value. Raises `UserError` if it is out of range: Dagster then refuses the launch with that message."""
        return self.field.check(value)


def launchpad(recipe: Recipe, asset: str) -> dict[str, dg.Field]:
    """The fields that Dagster shows for an asset, all optional; each says what it means and what the recipe says.

    What the recipe says is the default, so that it stands in the launchpad to be edited; where iterations differ, a
    value for each. A null is as the recipe says; a default that is null is in a list, as Dagster shows no other.
    """
    return dict(_fields(asset, _all_said(recipe, asset)))


def config_schema(recipe: Recipe, asset: str) -> dg.Field:
    """The same as one field. Runs whose recipes say the same of an asset share it: to make one takes a while."""
    return _schema(asset, _all_said(recipe, asset))


def _all_said(recipe: Recipe, asset: str) -> str:
    """What the recipe says of each field that an asset has in the launchpad, as JSON."""
    known = {name: field for name, field in overridable(asset).items() if _present(recipe, field)}
    return json.dumps({name: _said(recipe, field) for name, field in known.items()})


@cache
def _schema(asset: str, all_said: str) -> dg.Field:
    return dg.Field(dg.Shape(_fields(asset, all_said)))  # type: ignore[no-untyped-call]


@cache
def _fields(asset: str, all_said: str) -> dict[str, dg.Field]:
    known, fields = overridable(asset), {}
    for name, said in json.loads(all_said).items():
        field = known[name]
        listed = any(value is None or value != said[0] for value in said) and not field.options
        fields[name] = dg.Field(
            dg.Noneable(dg.ScalarUnion(_type(field), _Each(field, len(said))) if listed else _type(field)),
            default_value=said if listed else said[0],
            description=f"{field.field.description}. {_in_words(said, field)}",
        )
    nullable = [name for name in fields if known[name].nullable]
    if nullable:
        names = dg.Enum(" or ".join(nullable), [dg.EnumValue(name) for name in nullable])
        words = f"of {', '.join(nullable)}: those that are null this time, in place of what the recipe says"
        fields[WITHOUT] = dg.Field(dg.Array(names), default_value=[], description=words)
    return fields


class _Each(dg.Array):
    """A list with a value for each iteration, or with the only one."""

    def __init__(self, field: Override, count: int) -> None:
        self.field, self.count = field, count
        super().__init__(dg.Noneable(_type(field)))

    def post_process(self, value: Any) -> Any:
        """The list. Raises `UserError` if it is of another length, before the launch."""
        return self.field.check_list(value, self.count)


def _type(field: Override) -> dg.Enum | _Checked:
    if field.options:
        return dg.Enum(field.allowed, [dg.EnumValue(option) for option in field.options])
    return _Checked(field)


def _present(recipe: Recipe, field: Override) -> bool:
    """Whether the recipe has the section of a field: one without SFT has nothing to override there."""
    section = field.path.rpartition(".")[0]
    return section in ("", "row") or getattr(recipe, section) is not None


def _said(recipe: Recipe, field: Override) -> list[Any]:
    """What the recipe says; of a row's field, per iteration."""
    rows = len(recipe.iterations) if field.path.startswith("row.") else 1
    return [field.in_recipe(recipe, t) for t in range(1, rows + 1)]


def _in_words(said: list[Any], field: Override) -> str:
    if field.path.startswith("row.") and any(value != said[0] for value in said):
        return f"The recipe says {', '.join(map(shown, said))} in iterations 1 to {len(said)}."
    return f"The recipe says {shown(said[0])}" + (" in every iteration." if field.path.startswith("row.") else ".")
