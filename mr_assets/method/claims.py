r"""What a completion claims after a label, such as ``Score: 4`` or ``**Winner:** [Judgement A]``.

A claim reaches from its label to the next one. A parser's grammar says which claims have a value, for the whole line of
the claim: what the grammar does not know is no value. A completion counts only if all its claims have one and the same.

What a model thinks before it answers is not parsed (`answer`): it weighs scores and winners that it does not give.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import polars as pl

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)
V = TypeVar("V")

SPACE = " \\t\u00a0"
"""White space within a line."""

MARKS = "*_\"'`\u201c\u201d\u2018\u2019(){}\\[\\]$"
"""Brackets, quotes and emphasis that may stand around a label or a value."""

TAG = r"(?:</?[a-zA-Z]\w*[ ]?/?>|<\|\w+\|>)"
"""A tag of markup or of a chat template."""

LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
SPOKEN = f"{LETTERS}{SPACE}{MARKS}.,;:!<>|/\\\\&@#\u2026\u2013\u2014-"
"""The characters of plain prose: no digit, no sign of reckoning or comparing, no question mark, no other script."""

STOPS = ".!,;:\u2026"
"""Sentence punctuation that may end a value."""

WIDE_STOPS = "\u3002\uff01\uff0c\uff1b\uff1a\u3001\uff0e\u0964\u06d4\u060c\u061b"
"""The same of other scripts, where a recipe's words are not the paper's."""

WORDS = ("Score", "Winner")
"""The labels of the paper's two prompts."""

LINE_END = r"(?=[\r\n]|\Z)"


def grammar(pattern: str) -> re.Pattern[str]:
    """A verbose pattern in any case; ASCII, so that a digit, a letter's case and a word are those of English."""
    return re.compile(pattern, re.ASCII | re.IGNORECASE | re.VERBOSE)


def label(words: str) -> str:
    """A pattern for a label, what decorates it, and its colon; an underscore in front is emphasis.

    The words are literal, in any case; a space stands for white space within a line. They begin a word; those of a
    script without capital letters may also follow a letter, as such scripts put no space between words. Where they are
    not the paper's the colon may be a full-width one.

    It means the same to Python (with `re.ASCII`) and, after `_for_polars`, to polars.
    """
    said = "".join(f"[{SPACE}]+" if c == " " else any_case(c) for c in words)
    colon = ":" if words in WORDS else "[:\uff1a]"
    return rf"{_beginning(words[0])}{said}[{SPACE}\r\n{MARKS}<>]*{colon}"


def _beginning(first: str) -> str:
    """What must stand before a label that begins with this character."""
    if first.isascii():
        return r"(?:\b|_)" if first.isalnum() or first == "_" else ""
    return rf"(?:{_UNICODE_BOUNDARY}|_)" if first.lower() != first.upper() else ""


_UNICODE_BOUNDARY = r"(?u:\b)"


def any_case(character: str) -> str:
    """A pattern for a character in any case; of one that is no letter, for itself."""
    cases = sorted({c for c in (character, character.lower(), character.upper()) if len(c) == 1})
    return f"[{''.join(cases)}]" if len(cases) > 1 else re.escape(character)


_THINK = "[tT][hH][iI][nN][kK](?:[iI][nN][gG])?>"
_THOUGHT, _STILL_THINKING = f"(?s)^.*</{_THINK}", f"(?s)<{_THINK}.*$"


def answer(text: str) -> str:
    """The text after the last ``</think>`` (or ``</thinking>``), up to a ``<think>`` that is not closed."""
    return re.sub(_STILL_THINKING, "", re.sub(_THOUGHT, "", text, count=1), count=1)


def claims(text: str, label: str) -> list[str]:
    """What follows each label in the answer, up to the next label."""
    return re.split(label, answer(text), flags=re.ASCII)[1:]


def agreed(values: Sequence[V | None], none: str, unreadable: str, different: str) -> tuple[V | None, str | None]:
    """The one value of all claims, or None and the reason: no claim, no readable one, or more than one value."""
    if not values:
        return None, none
    if len(set(values)) > 1:
        return None, different
    return values[0], unreadable if values[0] is None else None


def with_parsed(
    frame: F,
    text: str,
    value: str,
    dtype: type[pl.DataType],
    label: str,
    parse: Callable[[str], tuple[object, str | None]],
) -> F:
    """`parse` for the column `text`: adds the column named `value`, and the reason as ``invalid``.

    polars finds the first label of each text; `parse` reads what is there from it on, each distinct one once.
    """

    def read(said: pl.Series) -> pl.Series:
        distinct = said.unique()
        parsed = [parse(claim) for claim in distinct]
        results = pl.DataFrame(parsed, schema=[(value, dtype), ("invalid", pl.String)], orient="row")
        found = results.with_columns(said=distinct)
        return said.to_frame("said").join(found, on="said", how="left", maintain_order="left").drop("said").to_struct()

    answers = pl.col(text).fill_null("").str.replace(_THOUGHT, "").str.replace(_STILL_THINKING, "")
    said = answers.str.extract(f"(?s)({_for_polars(label)}.*)").fill_null("").alias("said")
    schema = pl.Struct({value: dtype, "invalid": pl.String})
    parsed = frame.with_columns(_parsed=said.map_batches(read, return_dtype=schema, is_elementwise=True))
    fields = [pl.col("_parsed").struct.field(name) for name in (value, "invalid")]
    return parsed.with_columns(fields).drop("_parsed")


def _for_polars(pattern: str) -> str:
    """The pattern for polars, with ASCII word boundaries (faster, and the same as Python's)."""
    return pattern.replace(_UNICODE_BOUNDARY, "\0").replace(r"\b", r"(?-u:\b)").replace("\0", r"\b")
