"""Win rates at equal length: what comes out of preferences that were made to be known."""

import numpy as np
import pytest

from mr_assets.method.win_rates import Known, length_controlled, length_term

CHARS = [100, 200, 300, 400]
NONE = [0, 0, 0, 0]


def logistic(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logit)))


def test_length_term_is_tanh_of_the_difference_in_deviations() -> None:
    """Differences 0, 2: mean 1, standard deviation sqrt(2), so tanh(0) and tanh(sqrt 2)."""
    assert length_term([10, 10], [10, 8]) == pytest.approx([0, np.tanh(np.sqrt(2))])
    assert length_term([10, 10], [8, 8]).tolist() == [0, 0]
    assert length_term([10], [8]).tolist() == [0]


def test_answers_of_one_length_keep_their_win_rate() -> None:
    """Three of four won: nothing to control for."""
    fitted = length_controlled([1, 1, 1, 0], CHARS, CHARS)
    assert fitted.win_rate == pytest.approx(0.75, abs=4e-3)
    assert fitted.quality == pytest.approx(np.log(3), abs=0.02)
    assert fitted.length == fitted.difficulty == 0


def test_a_model_that_wins_by_length_alone_wins_half() -> None:
    """It wins each time it is longer, loses each time it is shorter, and is longer three times in four."""
    rng = np.random.default_rng(0)
    model = np.where(np.arange(4000) % 4 == 0, 500, 1500) + rng.integers(-50, 50, 4000)
    reference = np.full(4000, 1000)
    won = logistic(-2 * length_term(reference, model))
    assert won.mean() > 0.6
    fitted = length_controlled(won, reference, model)
    assert fitted.win_rate == pytest.approx(0.5, abs=0.005)
    assert fitted.length == pytest.approx(-2, abs=0.02)


def test_the_terms_that_made_the_preferences_are_found() -> None:
    rng = np.random.default_rng(1)
    reference, model, hard = rng.integers(100, 3000, 805), rng.integers(100, 3000, 805), rng.normal(0, 1.5, 805)
    won = logistic(-1.5 * length_term(reference, model) + 0.9 * hard - 2)
    fitted = length_controlled(won, reference, model, hard)
    assert (fitted.length, fitted.difficulty, fitted.quality) == pytest.approx((-1.5, 0.9, -2), abs=0.02)
    assert fitted.win_rate == pytest.approx(logistic(0.9 * hard - 2).mean(), abs=1e-3)


def test_known_rows_say_what_length_is_worth() -> None:
    """A model that is always longer and always wins does so by length or by quality: without known rows, who knows."""
    known = Known(np.array([-1.0, 1.0]), np.zeros(2), logistic(np.array([3.0, -3.0])), weight=1000)
    reference, model = [1000] * 40, [1100, 1300] * 20
    alone = length_controlled([0.9] * 40, reference, model)
    told = length_controlled([0.9] * 40, reference, model, known=known)
    assert alone.win_rate == pytest.approx(0.9, abs=0.05)
    assert told.length == pytest.approx(-3, abs=0.1)
    assert told.win_rate < 0.6


@pytest.mark.parametrize("preference", [0, 1])
def test_it_is_finite_where_everything_is_lost_or_won(preference: int) -> None:
    fitted = length_controlled([preference] * 4, CHARS, [90, 250, 330, 500])
    assert abs(fitted.win_rate - preference) < 0.1
    assert np.isfinite([fitted.length, fitted.quality]).all()


def test_nothing_is_no_win_rate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        length_controlled([], [], [])
