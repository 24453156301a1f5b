"""Agreement with a strong judge (Table 3), by hand."""

import pytest

from mr_assets.method.strong_judge import (
    FIGURES,
    SELF_CHOSEN,
    STRONG_CHOSEN,
    Pair,
    agreement_numbers,
    agreements,
    first_two,
    highest_and_lowest,
    in_both_orders,
)


def test_the_first_two_differ() -> None:
    """Of a prompt whose responses all say the same there is nothing to compare."""
    assert first_two([["a", "b", "c"], ["a", "a", "b"], ["a", "a"], ["a"]]) == [Pair(0, 0, 1), Pair(1, 0, 2)]


def test_the_judges_own_pair_is_its_highest_and_lowest() -> None:
    """The earliest of equal ones; equal scores everywhere, or the same text, are a tie."""
    responses = [["a", "b", "c", "d"], ["a", "b"], ["a", "a"], ["a", "b", "c"], ["a", "b"]]
    means: list[list[float | None]] = [[3.0, 5.0, 5.0, 3.0], [2.0, 2.0], [1.0, 2.0], [None, 4.0, 1.0], [None, None]]
    assert highest_and_lowest(responses, means) == [Pair(0, 1, 0), 1, 2, Pair(3, 1, 2), 4]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [(True, True, True), (False, False, False), (True, False, None), (True, None, None), (None, None, None)],
)
def test_a_verdict_is_the_same_in_both_orders(one: bool | None, other: bool | None, said: bool | None) -> None:
    assert in_both_orders(one, other) is said


def test_agreement_counts_ties_as_half() -> None:
    """Agrees, disagrees, ties twice, agrees: 3 of 5 with ties, 2 of 3 without."""
    agreed = agreements([(4.0, 3.0), (1.0, 3.0), (2.0, 2.0), (None, 3.0), (5.0, 1.5)])
    assert agreed == [1, 0, 0.5, 0.5, 1]
    found = agreement_numbers(STRONG_CHOSEN, agreed)
    assert found["strong_chosen_agreement"] == pytest.approx(60)
    assert found["strong_chosen_agreement_without_ties"] == pytest.approx(100 * 2 / 3)
    assert (found["strong_chosen_pairs"], found["strong_chosen_ties"]) == (5, 2)
    low, high = found["strong_chosen_agreement_low"], found["strong_chosen_agreement_high"]
    assert low is not None and high is not None and 0 <= low < 60 < high <= 100


def test_no_pair_is_no_figure() -> None:
    found = agreement_numbers(SELF_CHOSEN, [0.5])
    assert found["self_chosen_agreement"] == 50 and found["self_chosen_agreement_without_ties"] is None
    assert agreement_numbers(SELF_CHOSEN, [])["self_chosen_agreement"] is None
    assert {name for name in FIGURES if name.startswith(SELF_CHOSEN)} < set(found)
