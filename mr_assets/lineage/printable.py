r"""Text of models and data sets on a terminal: whatever could act there is shown as what it is.

"\x1b[2J" clears no screen, "\u202e" turns no line around, a bell does not ring: each is spelled out.
"""

import json
from typing import Any


def printable(text: str) -> str:
    r"""The text in one line, with every character that is not a visible one, or a blank, spelled out (``\x1b``)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def excerpt(text: str, characters: int) -> str:
    """The beginning of a text, white space as single blanks, safe to print."""
    # A cut in time: a text of a million lines is not worth a million blanks.
    short = " ".join(text[: 4 * characters].split())
    shown = printable(short[:characters])
    return shown if len(short) <= characters and len(text) <= 4 * characters else shown + "…"


def as_json(value: Any) -> str:
    """Indented JSON in ASCII alone, so that a terminal shows it and does not obey it."""
    return json.dumps(value, indent=1, default=str).replace("\x7f", "\\u007f")
