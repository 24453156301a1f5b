r"""Untrusted text in a page: never markup, and whatever would act unseen is spelled out.

"<script>" is shown as these eight letters, "\u202e" turns no line around, "\x1b[2J" is seen.
"""

import re

from markupsafe import Markup, escape

_INVISIBLE = re.compile(r"[^\n\t\x20-\x7e]")


def shown(text: str) -> Markup:
    r"""The text for a page, escaped; each character that is neither visible nor a blank as ``\x1b``, marked as such."""
    return Markup(_INVISIBLE.sub(_spelled, str(escape(text))))


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return f'<span class="unseen">{escape(ascii(character)[1:-1])}</span>'
