"""Differences and their noise, by hand and against scipy."""

import pytest
from scipy.stats import ttest_1samp, ttest_rel

from mr_assets.report.changes import (
    Change,
    Difference,
    apart,
    between_arms,
    between_models,
    mean_difference,
    mean_of,
    paired,
)
from mr_assets.report.measured import Key, Measured
from mr_assets.runs.estimates import Estimate

ACCURACY = Key("evaluation", "accuracy")


def of(value: float, half: float = 1.959964) -> Estimate:
    """A figure whose interval is `half` to either side; unsaid, its standard error is 1."""
    return Estimate(value, value - half, value + half)


def run(by_prompt: dict[str, dict[str, float]] | None = None, **values: Estimate) -> Measured:
    return Measured(ACCURACY, values, by_prompt=by_prompt or {})


def test_errors_of_independent_figures_add_by_their_squares() -> None:
    """Errors of 3 and 4 give one of 5."""
    found = apart(of(10, 3 * 1.959964), of(2, 4 * 1.959964))
    assert (found.value, found.error) == pytest.approx((8, 5))
    assert (found.low, found.high) == pytest.approx((8 - 9.8, 8 + 9.8), abs=1e-3)
    assert found.beyond_noise is False


def test_without_an_interval_nothing_is_known_of_the_noise() -> None:
    assert apart(of(10), Estimate(2)) == Difference(8)
    assert Difference(8).beyond_noise is None


def test_pairs_are_as_students_test_has_them() -> None:
    new, old = {"a": 3.0, "b": 2.0, "c": 5.0, "only here": 9.0}, {"a": 1.0, "b": 1.0, "c": 2.0, "only there": 9.0}
    found, expected = paired(new, old, "prompts"), ttest_rel([3, 2, 5], [1, 1, 2])
    assert found is not None and found.error is not None
    assert (found.value, found.count, found.over) == (2, 3, "prompts")
    assert found.value / found.error == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert paired({"a": 1.0}, {"b": 1.0}, "prompts") is None


def test_a_mean_over_seeds_has_students_interval() -> None:
    found = mean_of([1.0, 2.0, 4.0])
    assert (found.low, found.high) == pytest.approx(tuple(ttest_1samp([1, 2, 4], 0).confidence_interval()))
    assert mean_of([1.0]) == Estimate(1.0)


def test_equal_differences_tell_nothing_of_the_noise() -> None:
    """Two seeds that happen to differ by the same are no proof."""
    assert mean_difference([0.5, 0.5], "seeds").beyond_noise is None


def test_two_models_are_compared_prompt_by_prompt_where_that_is_known() -> None:
    """Prompts differ much, the models little: 1 + 1, 5 + 1, 9 + 1.5."""
    values = {"seed": {"a": 1.0, "b": 5.0, "c": 9.0}, "M1": {"a": 2.0, "b": 6.0, "c": 10.5}}
    found = between_models([run(values, seed=of(5), M1=of(6.17))], "M1", "seed")
    assert found is not None and found.difference.over == "prompts" and found.difference.count == 3
    assert found.difference.error == pytest.approx(1 / 6)
    assert found.verdict == "better"
    apart_ = between_models([run(seed=of(5), M1=of(6.17))], "M1", "seed")
    assert apart_ is not None and apart_.verdict == "unclear"


def test_of_several_seeds_each_is_compared_with_itself() -> None:
    """Seeds that begin at 1, 5 and 9 and gain 2, 3 and 4: 3 with an error of 1/sqrt(3)."""
    runs = [run(seed=of(first), M1=of(first + gain)) for first, gain in ((1, 2), (5, 3), (9, 4))]
    found = between_models(runs, "M1", "seed")
    assert found is not None and (found.before, found.after) == (5, 8)
    assert found.difference.error == pytest.approx(1 / 3**0.5) and found.difference.count == 3
    assert between_models(runs, "M2", "seed") is None


def test_recipes_are_paired_by_their_shared_seeds() -> None:
    """Seeds 1 and 2 are shared: gains of 1 and 2. Seed 3 is of one recipe alone, and does not count."""
    new = {1: run(M1=of(2)), 2: run(M1=of(7)), 3: run(M1=of(99))}
    old = {1: run(M1=of(1)), 2: run(M1=of(5))}
    found = between_arms(new, old, "M1")
    assert found is not None and (found.before, found.after, found.difference.value) == (3, 4.5, 1.5)
    assert (found.difference.over, found.difference.count) == ("seeds", 2)


def test_recipes_without_a_shared_seed_are_taken_for_independent() -> None:
    new, old = {3: run(M1=of(5)), 4: run(M1=of(7))}, {1: run(M1=of(1)), 2: run(M1=of(3))}
    found = between_arms(new, old, "M1")
    assert found is not None and found.difference.value == 4 and found.difference.over == "seeds"
    assert found.difference.beyond_noise is False  # two seeds each: Student's factor is 12.7
    assert between_arms(new, {}, "M1") is None


def test_of_one_run_each_the_noise_is_that_over_prompts() -> None:
    found = between_arms({1: run(M1=of(9))}, {1: run(M1=of(1))}, "M1")
    assert found is not None and found.difference.over == "prompts" and found.difference.error == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("name", "difference", "verdict"),
    [
        ("accuracy", Difference(1, 0.1, 0.8, 1.2), "better"),
        ("accuracy", Difference(-1, 0.1, -1.2, -0.8), "worse"),
        ("accuracy", Difference(1, 1, -1, 3), "unclear"),
        ("accuracy", Difference(1), "unknown"),
        ("characters", Difference(1, 0.1, 0.8, 1.2), "moved"),
    ],
)
def test_better_and_worse_are_said_beyond_noise_alone(name: str, difference: Difference, verdict: str) -> None:
    assert Change(Key("evaluation", name), 0, 1, difference).verdict == verdict
