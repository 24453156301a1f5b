"""The one error that is the user's to mend: it says what was expected, what came, and what to do next."""

import difflib
import json
from collections.abc import Sequence
from typing import Any


class UserError(Exception):
    """Wrong input. The message alone is shown, without a traceback."""


def shown(value: Any) -> str:
    """A value as a recipe would write it, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A sentence, with a leading space, that offers the known words nearest to `word`; empty if none is near."""
    close = list(dict.fromkeys(difflib.get_close_matches(word, known, n=3, cutoff=0.6)))
    return f" Did you mean {' or '.join(close)}?" if close else ""
