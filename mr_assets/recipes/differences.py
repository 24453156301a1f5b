"""In which fields two recipes differ: what a run was launched with, and what it says now; and from the paper."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from mr_assets.judging import LINES, PAPERS
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.validation import dotted
from mr_assets.section import Section


class Difference(NamedTuple):
    """One field in which two recipes differ; what one of them lacks is None there."""

    path: str
    old: Any
    new: Any


def differences(old: Section, new: Section) -> list[Difference]:
    """Every field in which `new` departs from `old`, a recipe or a section, in its order; rows are counted from 1."""
    return list(_differences(old.model_dump(), new.model_dump(), ()))


def from_paper(recipe: Recipe) -> list[Difference]:
    """Every field of the two judges' prompts, words and scale that departs from the paper's (A.1, Figure 2)."""
    papers = {"judgments.template": None, **PAPERS, **LINES, "meta_judgments.template": None}
    found = [Difference(path, old, attrgetter(path)(recipe)) for path, old in papers.items()]
    return [each for each in found if each.old != each.new]


def _differences(old: Any, new: Any, path: tuple[int | str, ...]) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, tuple) and isinstance(new, tuple):
        for i in range(max(len(old), len(new))):
            a, b = (rows[i] if i < len(rows) else None for rows in (old, new))
            yield from _differences(a, b, (*path, i))
    elif old != new:
        yield Difference(dotted(path), old, new)
