"""The order of a step's rows: the same rows in every step, less padding."""

from mr_assets.training.batches import longest_first
from mr_assets_tests.benchmarks.padding import drawn_pairs, padding_share

ORDER = [4, 0, 3, 1, 2]


def test_a_step_keeps_its_rows_and_begins_with_its_longest() -> None:
    """Steps of 3: rows 4, 0, 3 have 5, 9 and 7 tokens; rows 1 and 2 have 1 and 8, and are the smaller last step."""
    assert list(longest_first(ORDER, lengths=[9, 1, 8, 7, 5], rows=3)) == [0, 3, 4, 2, 1]


def test_rows_of_one_length_stay_in_their_order() -> None:
    """So that nothing depends on how they are sorted."""
    assert list(longest_first(ORDER, lengths=[6] * 5, rows=3)) == ORDER


def test_padding_by_hand() -> None:
    """Micro-batches of 2 pairs, 38 tokens. As drawn they pad to 8 and 7 tokens: 4 x 8 + 4 x 7 = 60 places.

    Longest first in a step of 4 they pad to 8 and 4: 48 places.
    """
    pairs = [(4, 2), (8, 6), (3, 1), (7, 7)]
    assert padding_share([0, 1, 2, 3], pairs, 2) == 1 - 38 / 60
    order = list(longest_first([0, 1, 2, 3], [max(pair) for pair in pairs], 4))
    assert order == [1, 3, 0, 2]
    assert padding_share(order, pairs, 2) == 1 - 38 / 48


def test_padding_at_the_papers_lengths() -> None:
    """Sorting within steps of 32 pairs takes away at least a third of the padding, in micro-batches of 2 pairs."""
    pairs = drawn_pairs(1600, seed=0)
    order = list(range(1600))
    drawn = padding_share(order, pairs, 2)
    assert padding_share(list(longest_first(order, [max(pair) for pair in pairs], 32)), pairs, 2) < 2 / 3 * drawn
