r"""Text of models and data sets on a terminal: whatever could act there is shown as what it is.

"\x1b[2J" clears no screen, "\u202e" turns no line around, a bell does not ring: each is spelled out.
"""

import json
import sys
from math import isfinite
from typing import Any


def printable(text: str) -> str:
    r"""The text in one line, with every character that is not a visible one, or a blank, spelled out (``\x1b``)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """The text with its lines kept, each `printable`: only a line feed ends one."""
    return "\n".join(map(printable, text.split("\n")))


def tell(text: str) -> None:
    """Print lines to standard error, at once, for whoever started this process."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def excerpt(text: str, characters: int) -> str:
    """The beginning of a text, white space as single blanks, safe to print."""
    # A cut in time: a text of a million lines is not worth a million blanks.
    short = " ".join(text[: 4 * characters].split())
    shown = printable(short[:characters])
    return shown if len(short) <= characters and len(text) <= 4 * characters else shown + "…"


def as_json(value: Any) -> str:
    """Indented JSON in ASCII alone, so that a terminal shows it and does not obey it.

    What is no finite number is null there, as JSON has no word for it.
    """
    return json.dumps(_finite(value), indent=1, default=str, allow_nan=False).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if isfinite(value) else None
        case dict():
            return {str(key): _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
