"""Logistic regression of shares, against what a reader can work out."""

import numpy as np
import pytest

from mr_assets.method.logistic import fit_logistic


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_one_term_is_the_logit_of_the_weighted_share() -> None:
    """Won with weight 3, lost with weight 1: three quarters."""
    terms = fit_logistic(np.ones((2, 1)), np.array([1.0, 0.0]), np.array([300.0, 100.0]))
    assert terms == pytest.approx([logit(0.75)], abs=1e-3)


def test_two_terms_of_two_cells_are_their_logits() -> None:
    """Shares 0.2 and 0.6 of 1,000 rows each: the intercept is the first's logit, the second term the difference."""
    rows = np.array([[1.0, 0.0], [1.0, 1.0]])
    terms = fit_logistic(rows, np.array([0.2, 0.6]), np.array([1000.0, 1000.0]))
    assert terms == pytest.approx([logit(0.2), logit(0.6) - logit(0.2)], abs=1e-3)


def test_a_share_and_its_battles_are_the_same() -> None:
    """A row of weight 4 that won 3/4 is three rows won and one lost."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 2))
    won = rng.integers(0, 5, 30)
    single = np.repeat(rows, 4, axis=0)
    battles = np.array([float(n < count) for count in won for n in range(4)])
    together = fit_logistic(rows, won / 4, np.full(30, 4.0))
    assert together == pytest.approx(fit_logistic(single, battles, np.ones(120)), abs=1e-5)


def test_what_is_always_won_stays_finite() -> None:
    assert np.isfinite(fit_logistic(np.ones((5, 1)), np.ones(5), np.ones(5))).all()
