"""Untrusted text in a page (`mr_assets.escaped`): what was searched for is marked, and two texts are compared."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from mr_assets.escaped import shown

COMPARED = 2_000
"""Words of either text up to which a difference is worked out: the time grows with their product."""
_WORDS = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")  # with the blanks before: blanks of their own would match everywhere


def hits(text: str, wanted: str) -> list[tuple[int, int]]:
    """Where a text has what was searched for, in any case: beginnings and ends, from left to right, none in another."""
    low, needle = text.lower(), wanted.lower()
    if not needle:
        return []
    places = list(range(len(text) + 1))
    if len(low) != len(text):  # a few letters are longer in lower case
        places = [n for n, c in enumerate(text) for _ in c.lower()] + [len(text)]
        low = "".join(c.lower() for c in text)
    found, at = [], low.find(needle)
    while at >= 0:
        end = places[at + len(needle) - 1] + 1
        found.append((places[at], end))
        at = low.find(needle, at + len(needle))
    return found


def marked(text: str, wanted: str) -> Markup:
    """The text for a page as `shown`, with what was searched for in a <mark>."""
    parts, at = [], 0
    for begin, end in hits(text, wanted):
        parts += [shown(text[at:begin]), Markup("<mark>{}</mark>").format(shown(text[begin:end]))]
        at = end
    return Markup("").join([*parts, shown(text[at:])])


def found_in(text: str, wanted: str, characters: int) -> Markup:
    """A part of a text in one line, with what was searched for marked; the beginning, unless the first hit is later."""
    first = next(iter(hits(text, wanted)), (0, 0))[0]
    begin = 0 if first + len(wanted) <= characters else first - characters // 4
    part = " ".join(text[begin : begin + 4 * characters].split())
    more = len(part) > characters or len(text) > begin + 4 * characters
    return Markup("").join(["…" if begin else "", marked(part[:characters], wanted), "…" if more else ""])


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
        if step != "equal" or between:  # blanks alone do not tear apart what was replaced
            taken, put = taken + old, put + new
            continue
        parts += [*_changed(taken, put), Part("both", old)]
        taken, put = "", ""
    return [*parts, *_changed(taken, put)]


def _changed(taken: str, put: str) -> list[Part]:
    return [Part("rejected", taken)] * bool(taken) + [Part("chosen", put)] * bool(put)
