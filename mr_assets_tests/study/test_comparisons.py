"""Paired differences and their intervals, by hand and against scipy's own paired test."""

from dataclasses import replace

import pytest

from mr_assets_tests.study.comparisons import Interval, Results, between, estimate, seeds_of, unlike, within
from mr_assets_tests.study.results import Result


def result(arm: str, seed: int, score: float, m0: float = 3.0, cpu: str = "EPYC") -> Result:
    """A result whose M0 and M1 have these true scores."""
    models = {name: {"true_score": value} for name, value in (("M0", m0), ("M1", score))}
    return Result(arm, seed, "2026-11-29", 60.0, models, {}, {"cpu": cpu}, {}, {"responses": "c"})


def results(**arms: list[float]) -> Results:
    """Arms with a score of M1 for seeds 1, 2, ..."""
    return {(arm, seed): result(arm, seed, x) for arm, scores in arms.items() for seed, x in enumerate(scores, 1)}


def test_the_mean_and_students_interval() -> None:
    """1, 2, 3: mean 2, standard error 1/sqrt(3), t of 2 degrees of freedom 4.3027: 2 -+ 2.484."""
    found = estimate([1, 2, 3])
    assert found is not None and found.student is not None and found.bootstrap is not None
    assert found.mean == 2
    assert found.student == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert found.bootstrap == pytest.approx((1, 3), abs=0.34)  # 1/27 of the resamples are all 1, or all 3
    assert found.widest == found.student
    assert not found.shown


def test_it_is_shown_only_where_both_intervals_leave_zero() -> None:
    """1, 2, 3 again: the bootstrap leaves zero, Student's does not. Ten times as far, both do, on either side."""
    for values, shown in (([1, 2, 3], False), ([11, 12, 13], True), ([-11, -12, -13], True)):
        found = estimate(values)
        assert found is not None and found.shown == shown


def test_few_or_equal_values() -> None:
    assert estimate([]) is None
    one = estimate([0.5])
    assert one is not None and (one.mean, one.bootstrap, one.student, one.shown) == (0.5, None, None, False)
    same = estimate([0.5, 0.5])
    assert same is not None and same.bootstrap == same.student == Interval(0.5, 0.5)


def test_students_interval_is_that_of_the_paired_test() -> None:
    from scipy.stats import ttest_rel

    left, right = [4.0, 4.1, 4.3, 4.2], [3.6, 3.9, 3.8, 4.0]
    found = between(results(a=left, b=right), "a", "b", "M1", "true_score")
    paired = ttest_rel(left, right).confidence_interval(0.95)
    assert found is not None and found.student == pytest.approx((paired.low, paired.high))


def test_only_seeds_of_both_arms_count() -> None:
    """Arm b lacks seed 3: 4.0 - 3.5 and 4.2 - 3.6."""
    given = results(a=[4.0, 4.2, 9.0], b=[3.5, 3.6])
    assert seeds_of(given, "a", "b") == [1, 2]
    found = between(given, "a", "b", "M1", "true_score")
    assert found is not None and found.values == pytest.approx((0.5, 0.6))
    learnt = within(given, "a", "M0", "M1", "true_score")
    assert learnt is not None and learnt.values == pytest.approx((1.0, 1.2, 6.0))
    assert between(given, "a", "c", "M1", "true_score") is None


def test_pairs_that_are_uneven_are_told() -> None:
    even = results(a=[4.0], b=[3.5])
    assert unlike(even, "a", "b") == []
    other_cpu = {**even, ("b", 1): result("b", 1, 3.5, cpu="Xeon")}
    assert unlike(other_cpu, "a", "b") == ["seed 1: a is from EPYC, b from Xeon."]
    other_m0 = {**even, ("b", 1): result("b", 1, 3.5, m0=2.9)}
    assert unlike(other_m0, "a", "b") == ["seed 1: M0 of a and of b are not the same."]
    other_code = {**even, ("b", 1): replace(even["b", 1], code={"responses": "d"})}
    assert unlike(other_code, "a", "b") == ["seed 1: a and b were made by different code of responses."]
