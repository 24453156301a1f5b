"""Pictures: small, the same for the same numbers, and drawn from anything a run may hold."""

import math
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO

import polars as pl
import pytest
from PIL import Image

from mr_assets.wiring.pictures import curves, histogram, lengths, score_histogram

NAN = math.nan
PICTURES: dict[str, Callable[[], str]] = {
    "scores": lambda: score_histogram(pl.DataFrame({"score": [5.0, 4.5, 0.0], "n": [7, 1, 2]})),
    "no scores": lambda: score_histogram(pl.DataFrame(schema={"score": pl.Float64, "n": pl.Int64})),
    "lengths": lambda: lengths({"chosen": [1, 2, 3], "rejected": pl.Series([4, 5, 6])}, "pairs"),
    "one length": lambda: lengths({"responses": [7, 7, 7]}, "responses"),
    "no lengths": lambda: lengths({"chosen": pl.Series([], dtype=pl.Int64), "rejected": []}, "pairs"),
    "Elo": lambda: histogram({"all": [-1e9, 0.0, NAN, 1e9, math.inf]}, "Elo", "judgments"),
    "training": lambda: curves(
        [1, 2, 3], [{"loss": [0.7, NAN, 0.5]}, {"margin": [0.1, 0.2, 0.3], "accuracy": [1, 1, 1]}]
    ),
    "no training": lambda: curves([], [{"loss": []}]),
    "no rewards": lambda: curves([1], [{"loss": pl.Series([0.5]), "margin": pl.Series([None], dtype=pl.Float64)}]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_small_png_and_the_same_each_time(name: str) -> None:
    """Also of nothing, of one value, and of numbers that are not finite."""
    made = PICTURES[name]()
    assert made == PICTURES[name]()
    title, data = made.removeprefix("![").removesuffix(")").split("](data:image/png;base64,")
    assert title
    image = Image.open(BytesIO(b64decode(data, validate=True)))
    assert image.format == "PNG"
    assert image.size == (504, 198)
    assert len(made) < 40_000


def test_other_numbers_give_another_picture() -> None:
    assert PICTURES["lengths"]() != lengths({"chosen": [1, 2, 3], "rejected": [4, 5, 9]}, "pairs")


def test_the_longest_hundredth_is_in_the_last_bar() -> None:
    """200 lengths of 1 to 200 and one of a million: without the rule all but one would be in the first bar."""
    usual, one_long = [*range(1, 201)], [*range(1, 200), 10**6]
    assert lengths({"responses": usual}, "responses") == lengths({"responses": one_long}, "responses")
    assert histogram({"x": usual}, "x", "n") != histogram({"x": one_long}, "x", "n")
