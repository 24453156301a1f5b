import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.human_agreement import (
    PLACED,
    agreement_numbers,
    placements,
    rank_correlations,
    ranked_pairs,
    with_agreement,
)

Scores = list[float | None] | None


def replies(*prompts: list[tuple[int, Scores]]) -> pl.DataFrame:
    """Replies to prompts p0, p1, ..., each a rank and the scores of its judgments."""
    rows = [(f"p{n}", rank, scores) for n, each in enumerate(prompts) for rank, scores in each]
    types: dict[str, pl.DataType | type[pl.DataType]] = {
        "prompt_id": pl.String,
        "rank": pl.Int32,
        "scores": pl.List(pl.Float64),
    }
    return with_agreement(pl.DataFrame(rows, schema=types, orient="row"))


EXAMPLE = replies([(0, [4.0]), (1, [5.0, 5.0]), (2, [1.0, 3.0])])


def test_the_example_of_the_module() -> None:
    """Means 4, 5, 2: of three pairs two are right; the ranks of the means are 2, 3, 1 against 3, 2, 1."""
    found = agreement_numbers(EXAMPLE)
    assert {name: found[name] for name in ("prompts", "replies", "pairs", "ties")} == {
        **{"prompts": 1, "replies": 3, "pairs": 3, "ties": 0}
    }
    assert found["agreement"] == found["agreement_without_ties"] == pytest.approx(2 / 3)
    assert found["kappa"] == pytest.approx(1 / 3)
    assert found["spearman"] == pytest.approx(0.5)


def test_pairs_are_of_one_prompt_and_of_different_ranks() -> None:
    given = replies([(0, [5.0]), (0, [4.0]), (1, [1.0])], [(0, [2.0]), (1, [3.0])])
    assert sorted(ranked_pairs(given).rows()) == [
        ("p0", 4.0, 1.0, "right"),
        ("p0", 5.0, 1.0, "right"),
        ("p1", 2.0, 3.0, "wrong"),
    ]


def test_each_reply_has_the_figures_of_its_prompt() -> None:
    """By which two models can be compared prompt by prompt."""
    given = replies([(0, [5.0]), (1, [1.0]), (2, [1.0])], [(0, None), (1, [3.0])], [(0, [2.0]), (0, [3.0])])
    assert given["agreement"].to_list() == [pytest.approx(2.5 / 3)] * 3 + [None] * 4
    assert given["spearman"].to_list() == [pytest.approx(0.8660254)] * 3 + [None] * 4  # ranks 3, 1.5, 1.5 of the means


def test_a_reply_without_a_score_is_a_tie_and_one_that_is_too_long_counts_nowhere() -> None:
    found = agreement_numbers(replies([(0, [None]), (1, [1.0])], [(0, [5.0]), (1, [1.0]), (2, None)]))
    counts = {name: found[name] for name in ("prompts", "replies", "pairs", "without_score", "too_long")}
    assert counts == {"prompts": 2, "replies": 4, "pairs": 2, "without_score": 1, "too_long": 1}
    assert found["parse_rate"] == 0.75
    assert found["agreement"] == 0.75
    assert found["agreement_without_ties"] == 1.0
    assert found["spearman"] == 0.5  # 0 of the one, 1 of the other


def test_equal_means_rank_nothing() -> None:
    """Rather than being left out, by which a judge that says 5 of most replies would look better than it is."""
    assert rank_correlations(replies([(0, [3.0]), (1, [3.0])]))["spearman"].to_list() == [0.0]


def test_a_prompt_whose_other_reply_is_too_long_is_not_ranked() -> None:
    found = agreement_numbers(replies([(0, [3.0]), (1, None)], [(0, [3.0]), (1, [2.0])]))
    assert found["prompts"] == found["pairs"] == 1


def test_of_no_reply_that_fits_nothing_is_known() -> None:
    found = agreement_numbers(replies([(0, None), (1, None)]))
    assert found["pairs"] == 0
    assert found["agreement"] != found["agreement"]  # it is NaN
    assert found["spearman"] != found["spearman"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=6))
def test_the_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    """With equal ranks on either side, too."""
    from scipy.stats import spearmanr

    ranks, scores = zip(*pairs, strict=True)
    found = rank_correlations(replies([(rank, [float(score)]) for rank, score in pairs]))["spearman"].to_list()
    if len(set(ranks)) == 1:
        assert found == []
    elif len(set(scores)) == 1:
        assert found == [0.0]
    else:
        assert found == [pytest.approx(spearmanr([-rank for rank in ranks], scores).statistic)]


def test_places_of_the_example_of_the_module() -> None:
    """Means 4, 5, 2 have the places 2, 1, 3: the first is under-ranked, the second over-ranked."""
    found = agreement_numbers(EXAMPLE)
    assert [found[name] for name in PLACED] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_a_reply_that_rises_puts_all_that_it_passes_one_place_down() -> None:
    """The third of three is put first: one of three over-ranked, two under-ranked."""
    [row] = placements(replies([(0, [4.0]), (1, [3.0]), (2, [5.0])])).rows()
    assert row == ("p0", pytest.approx(1 / 3), pytest.approx(2 / 3), 0.0)


def test_equal_means_and_equal_ranks_share_the_mean_of_their_places() -> None:
    """Equal means have place 2: the best is under-ranked, the worst over-ranked. The others agree on 1.5, 1.5, 3."""
    found = placements(replies([(0, [3.0]), (1, [3.0]), (2, [3.0])], [(0, [4.0]), (0, [4.0]), (1, [1.0])]))
    assert found.drop("prompt_id").rows() == [(pytest.approx(1 / 3),) * 3, (0.0, 0.0, 1.0)]


def test_places_are_among_replies_that_have_a_mean() -> None:
    """Without the first of p0 the order is the same on both sides; p1 has one left, p2 is not ranked by people."""
    found = placements(
        replies([(0, [None]), (1, [5.0]), (2, [1.0])], [(0, None), (1, [3.0])], [(0, [1.0]), (0, [2.0])])
    )
    assert found.rows() == [("p0", 0.0, 0.0, 1.0)]


def test_the_figures_are_means_over_prompts_with_intervals_over_them() -> None:
    """Of one prompt nothing is at its place, of the other all: a half, and a bootstrap may draw either twice."""
    found = agreement_numbers(replies([(0, [1.0]), (1, [2.0])], [(0, [2.0]), (1, [1.0])]))
    assert [found[f"same_rank{end}"] for end in ("", "_low", "_high")] == [0.5, 0.0, 1.0]
    assert found["over_ranked"] == found["under_ranked"] == 0.25


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=6))
def test_places_are_scipys_and_their_shares_sum_to_one(pairs: list[tuple[int, int]]) -> None:
    from scipy.stats import rankdata

    ranks, scores = (np.array(side) for side in zip(*pairs, strict=True))
    found = placements(replies([(int(rank), [float(score)]) for rank, score in pairs])).rows()
    if len(set(ranks)) == 1:
        assert found == []
    else:
        sign = np.sign(rankdata(-scores) - rankdata(ranks))
        [(_, over, under, same)] = found
        assert (over, under, same) == pytest.approx(((sign < 0).mean(), (sign > 0).mean(), (sign == 0).mean()))
        assert over + under + same == pytest.approx(1)


def test_figures_do_not_depend_on_the_order_of_rows() -> None:
    given = replies([(0, [5.0]), (1, [4.0]), (2, [4.5])], [(0, [2.0]), (1, [3.0])], [(0, [3.0]), (1, [3.0])])
    assert agreement_numbers(given.reverse()) == agreement_numbers(given)
