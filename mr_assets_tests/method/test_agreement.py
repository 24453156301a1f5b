import math
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.agreement import (
    kappa,
    mean_score,
    share_numbers,
    share_of_ties,
    share_right,
    share_right_of_decided,
    sums_with_interval,
    verdict,
    verdict_of_both,
)

COUNTS = np.array([2.0, 1.0, 4.0])  # two right, a tie, one wrong


@pytest.mark.parametrize(
    ("chosen", "rejected", "said"),
    [(4.0, 2.0, "right"), (2.0, 4.0, "wrong"), (4.0, 4.0, "tie"), (4.0, None, "tie"), (None, None, "tie")],
)
def test_the_higher_mean_is_preferred_and_no_score_is_no_preference(
    chosen: float | None, rejected: float | None, said: str
) -> None:
    assert verdict(chosen, rejected) == said


def test_the_mean_is_of_valid_scores_and_equal_means_are_equal_numbers() -> None:
    assert mean_score([4.0, None, 5.0]) == 4.5
    assert mean_score([None]) is None
    assert mean_score([0.1, 0.2, 0.3]) == mean_score([0.3, 0.2, 0.1]) == 0.2  # as floats, 0.6 is not always 0.6


def test_only_orders_that_agree_decide() -> None:
    said = {both: verdict_of_both(*both) for both in product(("first", "second", "none"), repeat=2)}
    assert said.pop(("first", "second")) == "right"  # the chosen one, wherever it stands
    assert said.pop(("second", "first")) == "wrong"
    assert set(said.values()) == {"tie"}  # "first" twice is a bias for a position


def test_shares_by_hand() -> None:
    assert share_right(COUNTS) == 2.5 / 4
    assert share_right_of_decided(COUNTS) == 2 / 3
    assert share_of_ties(COUNTS) == 1 / 4


def test_kappa_by_hand() -> None:
    """By chance 3/8: people say "first" 1/2 of the time, the judge 3/8, and "second" alike. (1/2 - 3/8) / (1 - 3/8)."""
    assert kappa(COUNTS) == pytest.approx(0.2)
    assert kappa(np.array([3.0, 0.0, 4.0])) == 0.5  # without ties twice the agreement less 1


@given(st.tuples(*[st.integers(0, 20)] * 3).filter(any))
def test_kappa_is_cohens_of_both_orders(counted: tuple[int, int, int]) -> None:
    """Against the textbook's formula, of the table of (people, judge) in which each pair stands in both orders."""
    right, wrong, ties = counted
    table = np.array([[right, wrong, ties], [wrong, right, ties], [0, 0, 0]]) / (2 * sum(counted))
    seen, chance = np.trace(table), float(table.sum(axis=0) @ table.sum(axis=1))
    assert kappa(np.array([right, ties, sum(counted)], float)) == pytest.approx((seen - chance) / (1 - chance))


@pytest.mark.parametrize("share", [share_right, share_right_of_decided, share_of_ties, kappa])
def test_of_no_pair_nothing_is_known(share: object) -> None:
    assert callable(share)
    assert math.isnan(share(np.zeros(3)))


def test_pairs_of_one_prompt_are_drawn_together() -> None:
    """Four right pairs of one prompt and four wrong ones of another: a draw of two prompts has 0, 4 or 8 of 8 right."""
    one = share_numbers(["right"] * 4 + ["wrong"] * 4, pl.Series(["a"] * 4 + ["b"] * 4), {"x": share_right})
    assert one == {"x": 0.5, "x_low": 0.0, "x_high": 1.0}
    apart = share_numbers(["right"] * 4 + ["wrong"] * 4, pl.Series(list("abcdefgh")), {"x": share_right})
    assert 0 < apart["x_low"] < 0.5 < apart["x_high"] < 1


def test_the_interval_is_scipys() -> None:
    """Of a ratio of sums over 60 prompts, within what a thousand draws tell."""
    from scipy.stats import bootstrap

    rng = np.random.default_rng(1)
    pairs = rng.integers(1, 6, 60)
    right = rng.binomial(pairs, 0.7)
    counted = pl.DataFrame({"right": right, "ties": np.zeros(60), "pairs": pairs})
    ours = sums_with_interval({"x": share_right}, counted)

    def ratio(r: np.ndarray, p: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(r.sum(axis=axis) / p.sum(axis=axis))

    theirs = bootstrap((right, pairs), ratio, paired=True, method="percentile", rng=2).confidence_interval
    assert ours["x"] == right.sum() / pairs.sum()
    assert ours["x_low"] == pytest.approx(theirs.low, abs=0.015)
    assert ours["x_high"] == pytest.approx(theirs.high, abs=0.015)
