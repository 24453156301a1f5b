r"""Untrusted text in a page: never markup, and whatever would act unseen is spelled out.

"<script>" is shown as these eight letters, "\u202e" turns no line around, "\x1b[2J" is seen.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

COMPARED = 2_000
"""Words of either text up to which a difference is worked out: the time grows with their product."""
_INVISIBLE = re.compile(r"[^\n\t\x20-\x7e]")
_WORDS = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")  # with the blanks before: blanks of their own would match everywhere


def shown(text: str) -> Markup:
    r"""The text for a page, escaped; each character that is neither visible nor a blank as ``\x1b``, marked as such."""
    return Markup(_INVISIBLE.sub(_spelled, str(escape(text))))


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return f'<span class="unseen">{escape(ascii(character)[1:-1])}</span>'


@dataclass(frozen=True)
class Part:
    """A part of two texts: in both, or in one of them alone."""

    of: Literal["both", "rejected", "chosen"]
    text: str


def difference(rejected: str, chosen: str) -> list[Part] | None:
    """What has to be taken from the rejected text and put in to give the chosen one, by words; None if too long."""
    before, after = _WORDS.findall(rejected), _WORDS.findall(chosen)
    if max(len(before), len(after)) > COMPARED:
        return None
    parts: list[Part] = []
    taken, put = "", ""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    for n, (step, a, b, c, d) in enumerate(steps):
        old, new = "".join(before[a:b]), "".join(after[c:d])
        between = 0 < n < len(steps) - 1 and not re.search(r"\w", old)
        if step != "equal" or between:  # blanks alone do not tear apart what was said anew
            taken, put = taken + old, put + new
            continue
        parts += [*_changed(taken, put), Part("both", old)]
        taken, put = "", ""
    return [*parts, *_changed(taken, put)]


def _changed(taken: str, put: str) -> list[Part]:
    return [Part("rejected", taken)] * bool(taken) + [Part("chosen", put)] * bool(put)
