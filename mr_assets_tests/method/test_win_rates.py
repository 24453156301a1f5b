"""Win rates, and those at equal length: what comes out of preferences that were made to be known."""

import numpy as np
import polars as pl
import pytest

from mr_assets.method.win_rates import (
    Known,
    length_controlled,
    length_term,
    scored,
    texts_of,
    win_rate_numbers,
    win_rates,
)
from mr_assets.tables import WIN_RATES

CHARS = [100, 200, 300, 400]
NONE = [0, 0, 0, 0]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals by fewer: half a second in place of five."""
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 100)


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


# ----------------------------------------------------------------------------------------------- held-out responses


def answers(*rows: tuple[str, str, float | None]) -> pl.DataFrame:
    """Held-out responses of (prompt, response, score), in order; the n-th of them has the id "n"."""
    columns = ("prompt_id", "response", "score")
    schema = pl.Schema(zip(columns, (pl.String, pl.String, pl.Float64), strict=True))
    return (
        pl.DataFrame(rows, schema=schema, orient="row").with_row_index("response_id").cast({"response_id": pl.String})
    )


OWN = answers(("a", "long text", 4.0), ("a", "x", 2.0), ("b", "xy", 3.0 + 1e-12), ("c", "xyz", None))
SEED = answers(("a", "text", 3.0), ("a", "xx", 3.0), ("b", "y", 3.0), ("c", "", 5.0))


def test_the_higher_score_wins() -> None:
    """4 > 3, 2 < 3; 3 and 3 but for float noise are a draw; without a score there is no preference."""
    rows = win_rates(OWN, SEED.reverse(), "seed")  # by ids, not by places
    assert list(rows.schema) == list(WIN_RATES.schema)
    assert rows["preference"].to_list() == [1.0, 0.0, 0.5, None]
    assert (rows["chars"].to_list(), rows["seed_chars"].to_list()) == ([9, 1, 2, 3], [4, 2, 1, 0])


def test_what_several_tables_have_is_judged_once() -> None:
    """The same response to the same prompt has the same score in both."""
    one, other = (pl.DataFrame({"prompt": ["p", "q"], "response": each}) for each in (["a", "b"], ["a", "c"]))
    assert texts_of([one, other]) == [("p", "a"), ("q", "b"), ("q", "c")]
    scores = {("p", "a"): 4.0, ("q", "b"): None, ("q", "c"): 1.0}
    assert [scored(table, scores)["score"].to_list() for table in (one, other)] == [[4.0, None], [4.0, 1.0]]


def test_numbers_of_win_rates() -> None:
    """(1 + 0 + 0.5) / 3. Two prompts: draws of b alone give 0.5, of a alone 0.5, of both 0.5 again."""
    numbers = win_rate_numbers(win_rates(OWN, SEED, "seed"))
    counted = {name: numbers[name] for name in ("prompts", "wins", "draws", "losses", "without a preference")}
    assert counted == {"prompts": 2, "wins": 1, "draws": 1, "losses": 1, "without a preference": 1}
    assert [numbers[f"win_rate{end}"] for end in ("", "_low", "_high")] == [0.5, 0.5, 0.5]
    assert numbers["characters"] == 15 / 4 and numbers["score"] == pytest.approx(3.0)


def test_rates_of_nothing_are_none() -> None:
    numbers = win_rate_numbers(win_rates(OWN.with_columns(score=pl.lit(None, pl.Float64)), SEED, "seed"))
    assert (numbers["win_rate"], numbers["length_controlled_win_rate_low"], numbers["prompts"]) == (None, None, 0)


def test_who_wins_by_length_alone_does_not_win_at_equal_length() -> None:
    """It wins where it is longer and loses where it is shorter, and is longer three times in four."""
    texts = [(f"p{n}", "x" * (20 if n % 4 else 5), 1.0 if n % 4 else -1.0) for n in range(80)]
    reference = answers(*((prompt, "x" * 10, 0.0) for prompt, _, _ in texts))
    numbers = win_rate_numbers(win_rates(answers(*texts), reference, "seed"))
    rate, controlled = numbers["win_rate"], numbers["length_controlled_win_rate"]
    assert rate == 0.75 and controlled is not None
    assert 0.3 < controlled < 0.7
    low, high = numbers["win_rate_low"], numbers["win_rate_high"]
    assert low is not None and high is not None and low < 0.75 < high
