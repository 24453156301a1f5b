"""A raw recipe becomes a `Recipe`, or one error with every problem: ``path = value: reason (what the field means)``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.recipes.checks import contradictions, partial
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.section import Section, section_of

MOST_PROBLEMS = 50  # that one message lists

# Switches of earlier versions that had one position: the position, and the row of docs/method.md that decides it.
FORMER_SWITCHES = {
    "tier_ties": ("draw", 10),
    "equal_scores": ("no_pair", 12),
    "equal_score_judge_pairs": ("keep", 18),
    "reference": ("previous_model", 19),
    "end_token": ("finished_only", 21),
}


def validated(raw: Mapping[str, Any], origin: str, mend: str = "Mend the recipe, or --set other values.") -> Recipe:
    """The recipe, or one `UserError` with every problem: of single fields, and of fields against each other.

    What `FORMER_SWITCHES` names may be there, with the value that is decided.
    """
    raw, problems = _without_former(raw)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if len(errors) > MOST_PROBLEMS:  # to find what contradicts what would take long, and be of no use
            first = [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in errors[:MOST_PROBLEMS]]
            more = f"and {len(errors) - MOST_PROBLEMS} more"
            raise UserError("\n  - ".join([f"{origin}: {len(errors)} problems. {mend}", *first, more])) from None
        problems += [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in errors]
        problems += contradictions(partial(raw, [e["loc"] for e in errors]))
    else:
        problems += contradictions(recipe)
        if not problems:
            return recipe
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    raise UserError("\n  - ".join([f"{origin}: {count}. {mend}", *problems]))


def former_switches(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The switches of a raw recipe that are none any more, with their values."""
    switches = raw.get("switches")
    return (
        {name: switches[name] for name in FORMER_SWITCHES if name in switches} if isinstance(switches, Mapping) else {}
    )


def _without_former(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A raw recipe without the switches that are none any more, and a problem for each that has another position."""
    found = former_switches(raw)
    if not found:
        return dict(raw), []
    kept = {name: value for name, value in raw["switches"].items() if name not in found}
    problems = [
        f"switches.{name} = {shown(value)}: is no switch any more, the method takes {FORMER_SWITCHES[name][0]} alone "
        f"(docs/method.md, row {FORMER_SWITCHES[name][1]}); leave it out"
        for name, value in found.items()
        if value != FORMER_SWITCHES[name][0]
    ]
    return {**raw, "switches": kept}, problems


def _problem(loc: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    """One of pydantic's errors as ``path = value: reason (what the field means)``."""
    path, section, description = dotted(loc), *_field_at(loc)
    if kind == "extra_forbidden":
        return f"{path} = {shown(value)}: unknown key.{did_you_mean(str(loc[-1]), list(section.model_fields))}"
    meaning = f" ({description})" if description else ""
    if kind == "missing":
        return f"{path}: missing{meaning}"
    inner = section_of(section.model_fields[str(loc[-1])].annotation) if description else Iteration
    reason = re.sub(r"^((Input|String|Tuple) (?=should)|Value error, )", "", message)
    if kind in ("model_type", "tuple_type") and inner is not None:
        reason = (
            f"should be a {'list of rows' if kind == 'tuple_type' else 'mapping'} of {', '.join(inner.model_fields)}"
        )
    return f"{path} = {shown(value)}: {reason}{meaning}"


def dotted(loc: Sequence[int | str]) -> str:
    """A location as a path, rows counted from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in loc)


def _field_at(loc: Sequence[int | str]) -> tuple[type[Section], str]:
    """The section that a location lies in, and the description of the field there, empty if there is none."""
    section: type[Section] = Recipe
    description = ""
    for part in loc:
        field = section.model_fields.get(str(part))
        description = (field.description or "") if field else ""
        inner = section_of(field.annotation) if field else None
        if inner is not None and part != loc[-1]:
            section = inner
    return section, description
