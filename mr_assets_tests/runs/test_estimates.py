"""Figures with their intervals, read off a record's numbers."""

import pytest

from mr_assets.runs.estimates import Estimate, estimates, number


def test_the_ends_of_an_interval_belong_to_its_figure() -> None:
    numbers = {"x": 2.0, "x_low": 1.0, "x_high": 3.0, "y": 4, "z": None, "off": "why", "yes": True, "low": 5.0}
    assert estimates(numbers) == {
        "x": Estimate(2.0, 1.0, 3.0),
        "y": Estimate(4),
        "low": Estimate(5.0),
    }


def test_an_end_that_is_not_known_is_none() -> None:
    assert estimates({"x": 2.0, "x_low": None, "x_high": None}) == {"x": Estimate(2.0)}


def test_an_interval_stands_for_a_standard_error() -> None:
    """95% of a normal distribution are within 1.96 standard errors."""
    assert Estimate(2.0, 2.0 - 1.96, 2.0 + 1.96).error == pytest.approx(1, abs=1e-4)
    assert Estimate(2.0).error is None
    assert (Estimate(2.0, 1.512, 2.5).shown(), Estimate(2.0).shown()) == ("2 (1.51 to 2.50)", "2")


@pytest.mark.parametrize(
    ("value", "said"),
    [(1204.4, "1,204"), (31.44, "31.4"), (2.5, "2.50"), (-0.08, "-0.08"), (0.0031, "0.0031"), (-1e-9, "0"), (3, "3")],
)
def test_numbers_have_about_three_digits(value: float, said: str) -> None:
    assert number(value) == said


def test_a_difference_has_its_sign() -> None:
    assert Estimate(1.5, -0.25, 3.25).shown("+") == "+1.50 (-0.25 to +3.25)"


def test_what_stands_beside_a_larger_number_has_its_places() -> None:
    """And is not rounded away."""
    assert number(0.0067, "+", beside=0.19) == "+0.01"
    assert number(0.0041, beside=1.2) == "0.004"
    assert number(0.0, "+", beside=1.2) == "0"
