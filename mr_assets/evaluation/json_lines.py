"""Files of one JSON object per line, as the public benchmarks' tools have them.

rows = read_lines(path, "MT-Bench's questions", {"question_id": int, "turns": list}, "github.com/lm-sys/FastChat")
write_lines(path, rows)
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError, shown
from mr_assets.files import atomically
from mr_assets.text_files import read_text_file

LARGEST = 1 << 30
"""Bytes of such a file; a judge's longest, of 750 questions and 30 models, has some 500 MB."""
WORDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def read_lines(path: Path, what: str, keys: Mapping[str, type], source: str) -> list[dict[str, Any]]:
    """The objects of a file, each with at least these keys, of these types; blank lines are passed over.

    what: what the file is, and source: where it is published, for the errors. Raises `UserError` for a file that
    cannot be read or has no line, and for a line that is none of these, with its number.
    """
    rows = []
    lines = read_text_file(path, what, largest=LARGEST).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            cut = ", and the file ends there: it may be half-written. Make or get it again" * (number == len(lines))
            raise UserError(
                f"{path}, line {number}: no JSON ({error}){cut}. Expected {what}, as in {source}."
            ) from error
        if fault := _fault(row, keys):
            raise UserError(f"{path}, line {number}: {fault}. Expected {what}, as in {source}.")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: has no line. Expected {what}, as in {source}.")
    return rows


def _fault(row: Any, keys: Mapping[str, type]) -> str | None:
    """Why a line is none, as a sentence; None if it is one."""
    if not isinstance(row, dict):
        return f"{shown(row)} is no object"
    for key, kind in keys.items():
        if key not in row:
            return f"has no {key}"
        if not isinstance(row[key], kind) or isinstance(row[key], bool):
            return f"{key} is {shown(row[key])}, no {WORDS[kind].split(' ', 1)[1]}"
    return None


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write objects as lines: a reader sees all of them, or what was there before."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
