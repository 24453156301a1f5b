"""How a message shows a value, and what it offers in place of an unknown word."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import did_you_mean, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.2, "0.2"),
        ("grüße", '"grüße"'),
        ([1, "a"], '[1, "a"]'),
        ({"warn": float("nan")}, '{"warn": NaN}'),
        (Path("data"), '"data"'),
    ],
)
def test_a_value_is_shown_as_a_recipe_writes_it(value: Any, text: str) -> None:
    """What YAML and JSON have no word for, like a path, is shown as its text."""
    assert shown(value) == text


def test_a_long_value_is_cut_to_60_characters() -> None:
    """Quotes count: 58 letters are shown whole, of 59 a quote and 56 letters stay."""
    assert shown("x" * 58) == '"' + "x" * 58 + '"'
    assert shown("x" * 59) == '"' + "x" * 56 + "..."


def test_the_nearest_known_words_are_offered() -> None:
    """The nearest first, each once, three at most, and nothing where none is near."""
    assert did_you_mean("bta", ["gamma", "beta"]) == " Did you mean beta?"
    assert did_you_mean("rhoo", ["rho", "rho", "rhoa"]) == " Did you mean rho or rhoa?"
    assert did_you_mean("seed1", ["seed5", "seed4", "seed3", "seed2"]).count("seed") == 3
    assert did_you_mean("temperature", ["k", "n"]) == ""
    assert did_you_mean("k", []) == ""
