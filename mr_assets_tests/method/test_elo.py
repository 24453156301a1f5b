import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from mr_assets.errors import UserError
from mr_assets.method.elo import elo_scores

Array = NDArray[np.float64]


def elo(matrix: object, ridge: float = 0.01) -> Array:
    """Elo of one matrix with everybody present."""
    b = np.asarray(matrix, float)
    return elo_scores(b[None], np.ones((1, len(b)), bool), ridge)[0]


def oracle(b: Array, ridge: float = 0.01) -> Array:
    """Elo of one matrix by scipy's Newton-CG, written down from the formula and nothing else."""

    def loss(e: Array) -> float:
        gap = e[:, None] - e[None, :]
        return float((b * np.logaddexp(0, -gap)).sum() + ridge / 2 * (e @ e))

    def gradient(e: Array) -> Array:
        lose = b / (1 + np.exp(e[:, None] - e[None, :]))
        return lose.sum(axis=0) - lose.sum(axis=1) + ridge * e

    def hessian(e: Array) -> Array:
        p = 1 / (1 + np.exp(e[None, :] - e[:, None]))
        c = (b + b.T) * p * (1 - p)
        return np.diag(c.sum(axis=1) + ridge) - c

    start = np.zeros(len(b))
    return np.asarray(
        minimize(loss, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-10}).x
    )


def random_matrices(seed: int, count: int, size: int, spread: float) -> Array:
    """Battle matrices as a meta-judge would make them: skills, 110 battles, weights 0.4 and 0.6, some invalid."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(0, spread, (count, size))
    better = 1 / (1 + np.exp(skill[:, None, :] - skill[:, :, None]))
    first_wins, valid = rng.random((count, size, size)) < better, rng.random((count, size, size)) < 0.9
    b = 0.4 * (first_wins & valid) + 0.6 * (~first_wins & valid).transpose(0, 2, 1)
    return np.asarray(b * ~np.eye(size, dtype=bool))


def test_two_judgments_three_wins_to_one() -> None:
    """With hardly any ridge, 3 wins to 1 is odds of 3: a gap of log 3, centred."""
    assert elo([[0, 3], [1, 0]], 1e-9) == pytest.approx([math.log(3) / 2, -math.log(3) / 2], abs=1e-6)


def test_a_judgment_that_wins_everything_has_a_finite_elo() -> None:
    """Row 3: B_12 = 1, B_21 = 0: e = x, -x with 1 - sigmoid(2x) = 0.01 x, that is x = 1.7889 or so."""
    x, minus_x = elo([[0, 1], [0, 0]])
    assert minus_x == pytest.approx(-x)
    assert 1 - 1 / (1 + math.exp(-2 * x)) == pytest.approx(0.01 * x, abs=1e-9)


def test_all_zero_gives_zeros() -> None:
    """Row 3: no wins, no difference."""
    assert elo(np.zeros((4, 4))).tolist() == [0] * 4


def test_disconnected_groups_are_centred_each() -> None:
    """Row 3: 0 beats 1 and 2 beats 3, nothing between: both winners get the same, both losers the same."""
    b = np.zeros((4, 4))
    b[0, 1] = b[2, 3] = 1
    e = elo(b)
    assert e[:2] == pytest.approx(e[2:])
    assert e[0] == pytest.approx(elo([[0, 1], [0, 0]])[0])


def test_absent_judgments_have_no_elo_and_no_influence() -> None:
    """Padding gives nan, and whatever stands in its cells is not read."""
    b = np.full((1, 3, 3), 7.0)
    b[0, :2, :2] = [[0, 3], [1, 0]]
    e = elo_scores(b, np.array([[True, True, False]]))[0]
    assert np.isnan(e[2])
    assert e[:2] == pytest.approx(elo([[0, 3], [1, 0]]))


def test_a_win_over_oneself_does_not_count() -> None:
    """The diagonal is no battle."""
    assert elo([[5, 3], [1, 9]]).tolist() == elo([[0, 3], [1, 0]]).tolist()


@pytest.mark.parametrize("ridge", [0, -1, math.nan])
def test_a_ridge_of_zero_is_refused(ridge: float) -> None:
    """Row 3: without a ridge most matrices have no finite solution."""
    with pytest.raises(UserError, match="above 0"):
        elo(np.zeros((2, 2)), ridge)


def test_no_matrices_give_no_scores() -> None:
    """An iteration without battles."""
    assert elo_scores(np.zeros((0, 0, 0)), np.zeros((0, 0), bool)).shape == (0, 0)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 11), st.sampled_from([0.0, 1.0, 2.0, 4.0]))
def test_every_matrix_agrees_with_scipy(seed: int, size: int, spread: float) -> None:
    """Within 1e-6 of scipy, matrix by matrix, from noise (0) to nearly separable (4)."""
    b = random_matrices(seed, 5, size, spread)
    made = elo_scores(b, np.ones((5, size), bool))
    assert made == pytest.approx(np.array([oracle(m) for m in b]), abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.sampled_from([0.0, 2.0]))
def test_permuting_judgments_permutes_elo(seed: int, size: int, spread: float) -> None:
    """The result belongs to the judgment, not to its place."""
    b = random_matrices(seed, 3, size, spread)
    order = np.random.default_rng(seed).permutation(size)
    mask = np.ones((3, size), bool)
    assert elo_scores(b[:, order][:, :, order], mask) == pytest.approx(elo_scores(b, mask)[:, order], abs=1e-7)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_padding_and_company_change_nothing(seed: int, size: int) -> None:
    """A matrix solved alone, and padded among others, has the same Elo; and Elo sum to 0."""
    b = random_matrices(seed, 4, 9, 2.0)
    sizes = np.array([size, 9, 2, 5])
    mask = np.arange(9) < sizes[:, None]
    together = elo_scores(b, mask)
    for matrix, e, n in zip(b, together, sizes, strict=True):
        assert e[:n] == pytest.approx(elo(matrix[:n, :n]), abs=1e-7)
        assert e[:n].sum() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("ridge", [1e-8, 1e-4, 0.01, 1, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_extreme_data_converge(ridge: float, scale: float) -> None:
    """A total order (everybody beats all after them), a star, a cycle: finite, stationary and in the right order."""
    order = np.triu(np.ones((11, 11)), 1)
    star = np.zeros((11, 11))
    star[0, 1:] = 1
    cycle = np.roll(np.eye(11), 1, axis=1)
    b = scale * np.stack([order, star, cycle])
    e = elo_scores(b, np.ones((3, 11), bool), ridge)
    assert np.isfinite(e).all()
    lose = b / (1 + np.exp(np.minimum(e[:, :, None] - e[:, None, :], 700)))
    gradient = lose.sum(axis=2) - lose.sum(axis=1) - ridge * e
    assert np.abs(gradient).max() <= 1e-7 * (scale + ridge)
    assert (np.diff(e[0]) < 0).all()
    assert e[1, 1:] == pytest.approx(np.full(10, e[1, 1]), abs=1e-6)
    assert e[2] == pytest.approx(np.zeros(11), abs=1e-6)
