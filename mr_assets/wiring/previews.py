"""What a materialization shows in the UI: its first rows, its figures, and what departs from the recipe.

Nothing in a text acts as markup.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.runs.overrides import Departure
from mr_assets.wiring.checks import rounded
from mr_assets.words import worded

SHOWN_IN_PLACE = 1000
"""Characters of Markdown from which on the UI shows a link to it in its place."""


def preview(frame: pl.DataFrame) -> str:
    """The first rows as a Markdown table, as many and as much of their texts as the UI shows without a click.

    Each line is a column of the table, so that wide ones fit the page. Nothing in a text acts as markup.
    """
    for rows, characters in ((3, 160), (3, 80), (2, 80), (2, 40), (1, 40)):
        table = _as_lines(frame.head(rows), characters)
        if len(table) < SHOWN_IN_PLACE:
            break
    return table


def _as_lines(frame: pl.DataFrame, characters: int) -> str:
    shown = [n for n in frame.columns if n != "token_ids" and not n.endswith("_token_ids")]
    head = ["column", *(f"row {i + 1}" for i in range(frame.height))]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name in shown:
        cells = [" ".join(_readable(cell).split())[:characters] for cell in frame[name].to_list()]
        lines.append("| " + " | ".join([name, *(escaped(cell) for cell in cells)]) + " |")
    return "\n".join(lines)


def _readable(value: Any) -> str:
    """A cell as a person reads it: messages by their texts, numbers to four digits."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case {"content": str(text)}:
            return text
        case list():
            parts = [_readable(part) for part in value]
            return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
        case _:
            return str(value)


def escaped(text: str) -> str:
    """A text in which no character acts as Markdown, HTML or a formula."""
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+-!|~$&" else c for c in text)


def figures(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that Dagster can plot, to six digits, named in words; missing ones are not shown, nested ones as JSON."""
    plain = {k: v for k, v in numbers.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}
    shown = {k: dg.MetadataValue.json(v) if isinstance(v, dict | list) else rounded(v) for k, v in plain.items()}
    return {worded(k): v for k, v in shown.items()}


def departures_table(departures: Iterable[Departure]) -> str:
    """Overrides beside what the recipe says, as a Markdown table."""
    lines = ["| setting | used | recipe |", "| --- | --- | --- |"]
    return "\n".join(lines + ["| " + " | ".join(escaped(str(cell)) for cell in d) + " |" for d in departures])
