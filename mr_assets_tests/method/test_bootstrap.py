"""Bootstrap intervals, against theory."""

from math import isnan

import numpy as np
import pytest
from scipy.stats import norm

from mr_assets.method.bootstrap import bootstrap, mean_interval


def test_a_drawn_mean_is_as_far_off_as_theory_says() -> None:
    """Of 400 values the mean's standard error is sd / 20; the same draws every time."""
    values = np.random.default_rng(5).normal(3, 2, 400)
    low, high = mean_interval([[value] for value in values])
    half = norm.ppf(0.975) * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)
    assert (low, high) == mean_interval([[value] for value in values])


def test_values_of_one_group_stay_together() -> None:
    """A hundred values in two groups that are 0 and 1 throughout: both, or one of them twice, so 0 to 1."""
    assert mean_interval([[0.0] * 50, [1.0] * 50, []]) == (0.0, 1.0)


def test_a_draw_without_a_value_does_not_count() -> None:
    assert bootstrap(lambda drawn: 7.0 if 0 in drawn else float("nan"), 3) == (7.0, 7.0)
    assert all(map(isnan, bootstrap(lambda drawn: float("nan"), 3) + mean_interval([]) + mean_interval([[]])))
