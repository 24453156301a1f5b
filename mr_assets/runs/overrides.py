"""Overrides: what a person may set otherwise than the recipe, in the launchpad, for one materialization.

    the launchpad                      {rho: 0.3}, or {without: [max_chosen_chars]} for no limit
    the record's overrides             {"rho": 0.3}, or {"max_chosen_chars": null}

An override has the name of its field, with the section in front where two of an asset's fields share one (``seed`` and
``model_seed``). Whatever is not overridden is as the recipe says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.loop import LOOP, RENDERING, iteration_of
from mr_assets.recipes import fields
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.recipes.validation import validated
from mr_assets.section import section_of, speed_fields

# What cannot be overridden for one artifact: how many prompts an iteration draws decides which ones the next draws, a
# template and how the chat template renders must be the same wherever a text is sampled or trained on, the words and
# the scale are the template's, a reward model is the same one in all iterations, a row's learning rate stands for
# dpo's, and all models are evaluated alike.
NOT_OVERRIDABLE = {
    *("prompts_until", "engine", "judgments.template", "meta_judgments.template", "dpo.learning_rate", "reward_model"),
    *("judgments.score_words", "judgments.lowest_score", "judgments.highest_score"),
    *("meta_judgments.winner_words", "meta_judgments.first_name", "meta_judgments.second_name"),
    *RENDERING,
}
WITHOUT = "without"


@dataclass(frozen=True)
class Override:
    """A field of the recipe that may be overridden for one artifact.

    name: in the launchpad; path: in the recipe, with `row.` for the iteration's own row.
    """

    name: str
    path: str
    field: FieldInfo

    @property
    def kind(self) -> type:
        """Bool, int, float or str."""
        return fields.kind(self.field)

    @property
    def options(self) -> tuple[str, ...]:
        """The values of a closed choice; empty for an open one."""
        return fields.options(self.field)

    @property
    def allowed(self) -> str:
        """What it may be, in words: "a number >= 0 and <= 1"."""
        return fields.allowed(self.field)

    @property
    def nullable(self) -> bool:
        """Whether null is a value of the field, such as no limit; a row's learning rate is dpo's then, which is one."""
        return NoneType in get_args(self.field.annotation) and self.path != "row.learning_rate"

    def check(self, value: Any) -> Any:
        """`value` as the recipe would hold it. Raises `UserError` that names field, value and range."""
        try:
            return _adapter(self.path).validate_python(value)
        except ValidationError as error:
            raise UserError(
                f"{self.name} = {shown(value)}: expected {self.allowed} ({self.field.description}). "
                "Set such a value, or leave the field out: then it is as the recipe says."
            ) from error

    def check_list(self, values: list[Any], count: int) -> list[Any]:
        """`values`, of which there must be `count`: one for each iteration, or the only one. Else `UserError`."""
        if len(values) != count:
            what = "one for each iteration" if self.path.startswith("row.") else "it is the same in all iterations"
            raise UserError(
                f"{self.name} = {shown(values)}: expected {self.allowed}, or a list of {count} such, {what}; null is "
                "as the recipe says."
            )
        return values

    def in_recipe(self, recipe: Recipe, t: int) -> Any:
        """What the recipe says, in iteration `t`."""
        if self.path == "row.learning_rate":
            return recipe.learning_rate(t)
        section, _, leaf = self.path.rpartition(".")
        return getattr(recipe.row(t) if section == "row" else getattr(recipe, section) if section else recipe, leaf)


@cache
def _adapter(path: str) -> TypeAdapter[Any]:
    field = _field(path)
    constrained: Any = Annotated[field.annotation, field]
    return TypeAdapter(constrained, config=ConfigDict(strict=True, allow_inf_nan=False))


def _field(path: str) -> FieldInfo:
    """The field of a recipe, or of a row, at a path."""
    section: Any = Recipe
    first, *rest = path.split(".")
    if first == "row":
        return Iteration.model_fields[rest[0]]
    field: FieldInfo = section.model_fields[first]
    for part in rest:
        field = section_of(field.annotation).model_fields[part]  # type: ignore[union-attr]
    return field


@cache
def overridable(asset: str) -> dict[str, Override]:
    """What may be overridden for an artifact of an asset, by name.

    A field with a single value leaves nothing to override, and what only changes speed or memory shapes nothing.
    """
    if LOOP[asset].per == "model":
        return {}
    paths = [path for shaping in LOOP[asset].shaped_by for path in _leaves(shaping) if len(_options(path)) != 1]
    leaves = [path.rpartition(".")[2] for path in paths]
    names = [
        leaf if leaves.count(leaf) == 1 or path == leaf else path.replace(".", "_")
        for path, leaf in zip(paths, leaves, strict=True)
    ]
    return {name: Override(name, path, _field(path)) for name, path in zip(names, paths, strict=True)}


def _leaves(path: str) -> Iterator[str]:
    """The fields at a path: itself, or those of the section that it is."""
    if path in NOT_OVERRIDABLE:
        return
    section = None if path.startswith("row.") else section_of(_field(path).annotation)
    if section is None:
        yield path
        return
    for leaf in section.model_fields:
        if leaf not in speed_fields(section) and f"{path}.{leaf}" not in NOT_OVERRIDABLE:
            yield f"{path}.{leaf}"


def _options(path: str) -> tuple[str, ...]:
    return fields.options(_field(path))


def overrides_in(recipe: Recipe, asset: str, partition: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a launchpad's config departs from the recipe in, by name; None where it names a field under `without`.

    What is null or not there is as the recipe says. A row's field may be a list with a value for
    each iteration. Raises `UserError` for a value that the field may not have.
    """
    known, t = overridable(asset), iteration_of(asset, partition)
    if LOOP[asset].side == "judge" and not recipe.row(t).judge_training:
        return {}
    own = {name: _own(recipe, known.get(name), value, t) for name, value in config.items() if name != WITHOUT}
    given = {name: value for name, value in own.items() if value is not None}
    for name in config.get(WITHOUT) or ():
        given[name] = None
    found = {}
    for name, value in given.items():
        if name not in known or (value is None and not known[name].nullable):
            others = [n for n, c in known.items() if value is not None or c.nullable]
            raise UserError(
                f"config of {asset}: {name} is none of {', '.join(others) or 'its fields: there are none'}."
                f"{did_you_mean(name, others)}"
            )
        section = known[name].path.rpartition(".")[0]
        if section not in ("", "row") and getattr(recipe, section) is None:
            raise UserError(
                f"{name} = {shown(value)}: the recipe has {section}: null, so it has no effect. Leave it out."
            )
        checked = None if value is None else known[name].check(value)
        if checked != known[name].in_recipe(recipe, t):
            found[name] = checked
    return found


def _own(recipe: Recipe, field: Override | None, value: Any, t: int) -> Any:
    """Of a list with a value for each iteration, that of iteration `t`; anything else as it is."""
    if field is None or not isinstance(value, list):
        return value
    by_row = field.path.startswith("row.")
    return field.check_list(value, len(recipe.iterations) if by_row else 1)[t - 1 if by_row else 0]


class Departure(NamedTuple):
    """A setting that was overridden for one artifact, what it is, and what the recipe says."""

    setting: str
    used: Any
    recipe: Any


def departures(recipe: Recipe, asset: str, partition: str | None, overrides: Mapping[str, Any]) -> list[Departure]:
    """What was overridden for an artifact, as far as it differs from the recipe."""
    t = iteration_of(asset, partition)
    compared = [(name, value, overridable(asset)[name].in_recipe(recipe, t)) for name, value in overrides.items()]
    return [Departure(*each) for each in compared if each[1] != each[2]]


def as_config(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The launchpad's config that says what `overrides_in` returned."""
    config = {name: value for name, value in overrides.items() if value is not None}
    without = [name for name, value in overrides.items() if value is None]
    return {**config, WITHOUT: without} if without else config


def with_overrides(recipe: Recipe, asset: str, partition: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe as it is in force for one artifact. Raises `UserError` if the fields contradict each other then."""
    if not overrides:
        return recipe
    data = recipe.model_dump()
    data["iterations"] = list(data["iterations"])
    for name, value in overrides.items():
        section, _, leaf = overridable(asset)[name].path.rpartition(".")
        place = (
            data["iterations"][iteration_of(asset, partition) - 1]
            if section == "row"
            else data[section]
            if section
            else data
        )
        place[leaf] = value
    return validated(data, f"{asset} with {', '.join(overrides)} overridden", "Set other values.")
