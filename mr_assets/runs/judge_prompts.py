"""The judge prompt and the meta-judge prompt of a recipe: the paper's, or the user's files, checked when they are read.

    judge_prompts(recipe, data).judge.text       "Review the user's question and the corresponding response using ..."

A file belongs to a recipe that has the parsers look for what it asks for (`mr_assets.method.judge_prompts`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mr_assets.errors import UserError
from mr_assets.method.judge_prompts import judge_faults, meta_judge_faults
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.templates import Template, judge_template, meta_judge_template


class JudgePrompts(NamedTuple):
    """Both templates of a recipe."""

    judge: Template
    meta_judge: Template


def judge_prompts(recipe: Recipe, data: Path) -> JudgePrompts:
    """Both templates of a recipe; files are absolute, or relative to the data folder.

    Raises `UserError` for a file that cannot be read, has other placeholders, or does not ask for the words and the
    scale that the recipe has the parser look for: with all that is wrong of both.
    """
    found = JudgePrompts(
        judge_template(_file(recipe.judgments.template, data)),
        meta_judge_template(_file(recipe.meta_judgments.template, data)),
    )
    if problems := list(_faults(recipe, found)):
        raise UserError("\n  - ".join(["prompts and recipe do not belong together.", *problems]))
    return found


def _faults(recipe: Recipe, found: JudgePrompts) -> Iterator[str]:
    judges = (
        ("judge prompt", "judgments", recipe.judgments.template, judge_faults(found.judge, recipe.judgments.scoring)),
        (
            *("meta-judge prompt", "meta_judgments", recipe.meta_judgments.template),
            meta_judge_faults(found.meta_judge, recipe.meta_judgments.verdicts),
        ),
    )
    for what, section, file, faults in judges:
        whose = f"{file} ({section}.template)" if file else f"the paper's {what} ({section}.template = null)"
        yield from (f"{whose}: {fault}." for fault in faults)


def _file(setting: str | None, data: Path) -> Path | None:
    return resolve(setting, data) if setting else None
