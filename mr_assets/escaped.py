r"""Untrusted text in a page: never markup, and whatever would act unseen is spelled out; and the templates of pages.

"<script>" is shown as these eight letters, "\u202e" turns no line around, "\x1b[2J" is seen.
"""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
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


def templates(package: str, *, escaping: bool = True) -> Environment:
    """The templates of a package; a value that a template is not given is an error, and of HTML each is escaped."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=escaping,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # an upgrade under a running server gives it no templates of another version
    )
