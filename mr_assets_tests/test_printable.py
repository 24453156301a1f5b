"""Untrusted text on a terminal: shown, never obeyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.printable import as_json, excerpt, printable

HOSTILE = {
    "\x1b[2J": r"\x1b[2J",  # clears the screen
    "\x1b]0;title\x07": r"\x1b]0;title\x07",  # names the window, rings
    "\x9b31m": r"\x9b31m",  # the same as ESC [ in one character
    "a\rb": r"a\rb",  # writes over what is there
    "a\x08b": r"a\x08b",
    "\u202eabc": r"\u202eabc",  # turns the line around
    "\u2066abc\u2069": r"\u2066abc\u2069",
    "a\u200bb": r"a\u200bb",  # has no width
    "\u2028": r"\u2028",  # another line
    "\x7f": r"\x7f",
    "\U000e0041": r"\U000e0041",  # invisible letters
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_acts_on_a_terminal_is_spelled_out(text: str) -> None:
    assert printable(text) == HOSTILE[text]


def test_what_is_harmless_stays() -> None:
    assert printable("Größe ✓ 漢字 <b>&amp;</b>") == "Größe ✓ 漢字 <b>&amp;</b>"


@given(st.text())
def test_nothing_but_visible_characters_and_blanks_is_left(text: str) -> None:
    """Of any text whatever."""
    assert printable(text).isprintable()
    assert excerpt(text, 20).isprintable()
    assert len(excerpt("x" * 100, 20)) == 21


@given(st.text())
def test_json_is_ascii_and_means_the_text(text: str) -> None:
    said = as_json([text])
    assert said.isascii()
    assert all(c.isprintable() or c == "\n" for c in said)
    assert json.loads(said) == [text]


def test_an_excerpt_is_one_line() -> None:
    assert excerpt("a\n\n b\tc", 20) == "a b c"
    assert excerpt("abcdef", 3) == "abc…"
