"""Intervals of shares, by hand and against scipy."""

import polars as pl
import pytest
from scipy.stats import binomtest

from mr_assets.method.intervals import share_interval, wilson

HIT, GROUP = pl.col("hit"), pl.col("group")


def rows(*groups: list[int]) -> pl.DataFrame:
    """One group of rows after the other; 1 is a hit."""
    found = [(hit == 1, str(number)) for number, group in enumerate(groups) for hit in group]
    return pl.DataFrame(found, schema={"hit": pl.Boolean, "group": pl.String}, orient="row")


@pytest.mark.parametrize(("hits", "count"), [(0, 16), (1, 16), (8, 16), (16, 16), (431, 1000)])
def test_wilson_is_scipys(hits: int, count: int) -> None:
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_nothing_is_known_of_nothing() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert share_interval(rows(), HIT, GROUP) is None


def test_rows_that_have_nothing_in_common() -> None:
    """A group for each: 5 of 20. The variance has 20/19 for a small number of groups: as 19 independent rows."""
    found = share_interval(rows(*([[1]] * 5 + [[0]] * 15)), HIT, GROUP)
    assert found is not None and found[3:] == (20, 20)
    assert found[:3] == pytest.approx((0.25, *wilson(0.25, 19)))


def test_rows_that_are_all_alike_in_their_group() -> None:
    """Two groups of ten, one all hits: p = 1/2, variance 2 x (25 + 25) / 400 = 1/4: as one row."""
    found = share_interval(rows([1] * 10, [0] * 10), HIT, GROUP)
    assert found is not None and found[:3] == pytest.approx((0.5, *wilson(0.5, 1)))


def test_groups_of_the_same_share_vary_by_nothing() -> None:
    """No variance between them: as many rows as there are."""
    found = share_interval(rows(*([[1, 0]] * 4)), HIT, GROUP)
    assert found is not None and found[:3] == pytest.approx((0.5, *wilson(0.5, 8)))


def test_none_and_all_count_the_groups() -> None:
    """0 of 30 rows of 3 prompts: that is known of 3 prompts."""
    for hit in (0, 1):
        found = share_interval(rows(*([[hit] * 10] * 3)), HIT, GROUP)
        assert found is not None and found[:3] == pytest.approx((float(hit), *wilson(float(hit), 3)))


def test_a_null_is_no_hit() -> None:
    table = pl.DataFrame({"hit": [True, None], "group": ["a", "b"]})
    found = share_interval(table, HIT, GROUP)
    assert found is not None and found.share == 0.5
