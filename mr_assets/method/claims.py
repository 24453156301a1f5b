"""What a completion claims after a label, such as ``Score: 4`` or ``**Winner:** [Judgement A]``.

Judges write the same claim in many ways. A parser here has two patterns: one finds every claim of a completion, from
the label to the end of what could change the value; the other reads a value from a claim, or finds that it is none. A
completion counts only if all its claims have one and the same value.

Each pattern is used by Python's `re` (one text) and by polars' regex engine (a column). They are written in what both
read alike: ASCII classes, no look-around.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)
V = TypeVar("V")

SPACES = " \\t\\r\\n\u00a0"
MARKS = "*_\"'`\u201c\u201d\u2018\u2019<>(){}\\[\\]$"
"""Brackets, quotes and emphasis that may stand around a label or a value."""


def any_case(words: str) -> str:
    """A pattern for `words` in any case; `(?i)` would also let in letters beyond ASCII, differently in each engine."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in words)


def label(word: str) -> str:
    """A pattern for a label, its colon and what decorates them; an underscore in front is emphasis."""
    return rf"(?:\b|_){any_case(word)}[{SPACES}{MARKS}]*:[{SPACES}{MARKS}]*"


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern for Python; ASCII, so that a word boundary is what it is in `polars_pattern`."""
    return re.compile(pattern, re.ASCII)


def polars_pattern(pattern: str) -> str:
    """The pattern for polars, with ASCII word boundaries (faster, and the same as Python's)."""
    return pattern.replace(r"\b", r"(?-u:\b)")


def agreed(values: Sequence[V | None], none: str, unreadable: str, different: str) -> tuple[V | None, str | None]:
    """The one value of all claims, or None and the reason: no claim, no readable one, or more than one value."""
    if not values:
        return None, none
    if len(set(values)) > 1:
        return None, different
    return values[0], unreadable if values[0] is None else None


def with_agreed(
    frame: F,
    text: str,
    value: str,
    claim: str,
    read: Callable[[pl.Expr], pl.Expr],
    none: str,
    unreadable: str,
    different: str,
) -> F:
    """`agreed` for the column `text`: adds the column named `value`, and the reason as ``invalid``.

    `claim` finds the claims, `read` turns a column of claims into values (null if unreadable).
    """
    claims = pl.col(text).fill_null("").str.extract_all(polars_pattern(claim))
    values, kinds, first = pl.col("_values"), pl.col("_values").list.n_unique(), pl.col("_values").list.first()
    reason = (
        pl.when(values.list.len() == 0)
        .then(pl.lit(none))
        .when(kinds > 1)
        .then(pl.lit(different))
        .when(first.is_null())
        .then(pl.lit(unreadable))
    )
    # In two steps: the values would otherwise be read again for each of their uses.
    read_once = frame.with_columns(_values=claims.list.eval(read(pl.element())))
    return read_once.with_columns(pl.when(kinds == 1).then(first).alias(value), invalid=reason).drop("_values")
