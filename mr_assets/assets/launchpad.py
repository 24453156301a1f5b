"""The launchpad: what a person may choose anew for one materialization, as Dagster shows and checks it.

    ops:
      small_world_meta_rewarding__actor_pairs:
        config: {rho: 0.3}

Ranges are part of the config's types, so that a value out of range is refused when the run is launched, before
anything is sampled. (A `dagster.Config` class would be checked when its own step starts.)
"""

from typing import Any

import dagster as dg
from dagster._config.config_type import ConfigScalar, ConfigScalarKind
from dagster._config.errors import PostProcessingError

from mr_assets.errors import UserError
from mr_assets.recipe import Recipe
from mr_assets.settings import WITHOUT, Choice, choices

KINDS = {
    bool: ConfigScalarKind.BOOL,
    int: ConfigScalarKind.INT,
    float: ConfigScalarKind.FLOAT,
    str: ConfigScalarKind.STRING,
}


class _Checked(ConfigScalar):
    """A value of one of the recipe's fields; the type's name says what it may be."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        super().__init__(f"{choice.path}: {choice.allowed}", choice.allowed, KINDS[choice.kind])

    def post_process(self, value: Any) -> Any:
        """The value. Raises if it is out of range, which refuses the launch with the message."""
        try:
            return self.choice.check(value)
        except UserError as error:
            raise PostProcessingError(str(error)) from None


def launchpad(recipe: Recipe, asset: str) -> dict[str, dg.Field]:
    """The fields that Dagster shows for an asset, all optional; each says what it means and what the recipe says."""
    known = choices(asset)
    fields = {
        name: dg.Field(
            dg.Noneable(_type(c)), default_value=None, description=f"{c.field.description}. {_said(recipe, c)}"
        )
        for name, c in known.items()
        if _present(recipe, c)
    }
    nullable = [name for name in fields if known[name].nullable]
    if nullable:
        names = dg.Enum(" or ".join(nullable), [dg.EnumValue(name) for name in nullable])
        said = f"of {', '.join(nullable)}: those that are null this time, in place of what the recipe says"
        fields[WITHOUT] = dg.Field(dg.Array(names), default_value=[], description=said)
    return fields


def _type(choice: Choice) -> dg.Enum | _Checked:
    if choice.options:
        return dg.Enum(choice.allowed, [dg.EnumValue(option) for option in choice.options])
    return _Checked(choice)


def _present(recipe: Recipe, choice: Choice) -> bool:
    """Whether the recipe has the section of a choice: one without SFT has nothing to choose there."""
    section = choice.path.rpartition(".")[0]
    return section in ("", "row") or getattr(recipe, section) is not None


def _said(recipe: Recipe, choice: Choice) -> str:
    """What the recipe says; of a row's field, per iteration."""
    per_row = choice.path.startswith("row.")
    said = [_yaml(choice.in_recipe(recipe, t)) for t in range(1, len(recipe.iterations) + 1 if per_row else 2)]
    if len(set(said)) == 1:
        return f"The recipe says {said[0]}" + (" in every iteration." if per_row else ".")
    return f"The recipe says {', '.join(said)} in iterations 1 to {len(said)}."


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
