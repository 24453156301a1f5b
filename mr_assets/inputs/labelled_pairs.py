"""Labelled pairs that a recipe names (`labelled_pairs.source`): of which response it is known that it is better.

    {"prompt": "Who wrote Hamlet?", "chosen": "Shakespeare.", "rejected": "Marlowe.", "category": "plays"}
    {"question": "...", "response_A": "...", "response_B": "...", "label": "A>B", "source": "mmlu-pro-law"}

The first layout is that of preference data: each field a text, or a list of one message; the category, which may be
left out, is also read from ``subset`` or ``source``. The second is JudgeBench's (Tan et al. 2024), with its four
categories. A file is read as `user_files` reads others: within limits, and every fault names its line.
"""

from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.inputs.user_files import UserFile, cut, held, one_message
from mr_assets.recipes.recipe import Recipe
from mr_assets.worlds.held_out import labelled

WHAT = "file of labelled pairs"
OURS = ("prompt", "chosen", "rejected")
JUDGEBENCH = ("question", "response_A", "response_B", "label")
CATEGORY = ("category", "subset", "source")
_LABELS = {"A>B": ("response_A", "response_B"), "B>A": ("response_B", "response_A")}
_ROLES = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
_JUDGEBENCH_CATEGORIES = {
    "mmlu-pro": "knowledge",
    "livebench-reasoning": "reasoning",
    "livebench-math": "math",
    "livecodebench": "coding",
}
"""By how a source begins, as the paper groups them (Table 1)."""

Pair = tuple[str, str | None, str, str, str]
SCHEMA = {name: pl.String for name in ("pair_id", "category", *OURS)}


def read_labelled_pairs(source: str, data: Path) -> pl.DataFrame:
    """The pairs of a file, in its order: pair_id (its line), category, prompt, chosen, rejected.

    Raises `UserError` at the first line that is none, and for a file without rows.
    """
    file = UserFile.at(source, data, WHAT)
    forms = (*((*JUDGEBENCH, name) for name in CATEGORY), JUDGEBENCH, *((*OURS, name) for name in CATEGORY), OURS)
    rows = [_pair(file, number, row) for number, row in file.rows(forms)]
    if not rows:
        raise UserError(f"{WHAT} {source} has no rows. Name a file with some, or set labelled_pairs: null.")
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def labelled_pairs(recipe: Recipe, data: Path) -> pl.DataFrame:
    """The pairs of a recipe that has the section: the world's, or the first of its file. Raises as it is read."""
    section = recipe.labelled_pairs
    assert section is not None
    if section.source != "world":
        found = read_labelled_pairs(section.source, data)
        return found.head(section.pairs) if section.pairs else found
    assert section.pairs is not None, "a recipe without it is refused"
    rows = [(str(n), None, *pair) for n, pair in enumerate(labelled(section.pairs), start=1)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _pair(file: UserFile, number: int, row: dict[str, Any]) -> Pair:
    judgebench = set(JUDGEBENCH) <= set(row)
    if judgebench:
        if row["label"] not in _LABELS:
            known = " or ".join(f'"{label}"' for label in _LABELS)
            raise file.fault(number, f"label is {held(row['label'])}, expected {known}. Mend it, or leave the row out.")
        fields = dict(zip(OURS, ("question", *_LABELS[row["label"]]), strict=True))
    elif set(OURS) <= set(row):
        fields = {name: name for name in OURS}
    else:
        raise file.fault(
            number,
            f"expected columns {', '.join(OURS)}, or JudgeBench's {', '.join(JUDGEBENCH)}; found "
            f"{cut(', '.join(row)) or 'none'}.",
        )
    texts = {name: _text(file, number, field, row[field], _ROLES[name]) for name, field in fields.items()}
    groups = _JUDGEBENCH_CATEGORIES if judgebench else {}
    return str(number), _category(file, number, row, groups), texts["prompt"], texts["chosen"], texts["rejected"]


def _text(file: UserFile, number: int, name: str, value: Any, role: str) -> str:
    text = one_message(value, role)
    if text is None or not text.strip():
        raise file.fault(
            number, f"{name} holds {held(value)}, expected a text, or a list of one {role} message. Mend this row."
        )
    return file.text(number, name, text)


def _category(file: UserFile, number: int, row: dict[str, Any], groups: dict[str, str]) -> str | None:
    name = next((name for name in CATEGORY if row.get(name) is not None), None)
    if name is None:
        return None
    said = file.text(number, name, row[name])
    return next((group for begins, group in groups.items() if said.startswith(begins)), said)
