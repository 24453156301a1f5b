"""Ties are drawn by a seed, and by nothing else."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.ties import first_of_each
from mr_assets_tests.method.tables import shuffled

EQUAL = pl.DataFrame({"group": ["p"] * 4 + ["q"] * 4, "id": list("abcdefgh"), "size": [1, 1, 2, 2, 5, 5, 5, 6]})


@given(st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    taken = first_of_each(EQUAL, "group", "id", "seed", pl.col("size")).sort("id")
    assert first_of_each(shuffled(EQUAL, seed), "group", "id", "seed", pl.col("size")).sort("id").equals(taken)
    assert taken.columns == EQUAL.columns


def test_the_first_by_order_then_one_of_equals() -> None:
    """a or b of the first group, e, f or g of the second; every one of them for some seed. -size takes the largest."""
    taken = {i for s in range(40) for i in first_of_each(EQUAL, "group", "id", str(s), pl.col("size"))["id"]}
    assert taken == set("abefg")
    assert set(first_of_each(EQUAL, "group", "id", "0", -pl.col("size"))["id"]) <= set("cdh")


def test_without_an_order_anyone_may_be_drawn() -> None:
    assert {i for s in range(60) for i in first_of_each(EQUAL, "group", "id", str(s))["id"]} == set("abcdefgh")


def test_others_do_not_change_a_draw() -> None:
    """The draw belongs to an id: leaving out one that was not drawn changes nothing."""
    taken = set(first_of_each(EQUAL, "group", "id", "x")["id"])
    for dropped in set("abcdefgh") - taken:
        assert set(first_of_each(EQUAL.filter(pl.col("id") != dropped), "group", "id", "x")["id"]) == taken
