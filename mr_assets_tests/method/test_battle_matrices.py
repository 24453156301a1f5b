import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from mr_assets.method.battle_matrices import (
    as_arrays,
    battle_matrices,
    one_sided,
    position_weights,
    strongly_connected,
)
from mr_assets.tables import BATTLE_MATRICES
from mr_assets_tests.method.tables import meta_judgments, shuffled

WINNERS = st.sampled_from(["first", "second", None])
BATTLES = st.dictionaries(
    st.tuples(st.sampled_from(["1.p.r0", "1.q.r3"]), st.integers(0, 11), st.integers(0, 11)).filter(
        lambda battle: battle[1] != battle[2]
    ),
    WINNERS,
    max_size=30,
)


def test_position_weights() -> None:
    """2.2: 3 wins in first and 1 in second position: w1 = 1/4, w2 = 3/4."""
    assert list(position_weights(3, 1)) == [0.25, 0.75]


def test_without_a_decisive_battle_the_weights_are_a_half() -> None:
    """Row 2: no decisive battle: 1/2 and 1/2; also for one response among others."""
    first, second = position_weights(np.array([0, 3]), np.array([0, 0]))
    assert (first.tolist(), second.tolist()) == ([0.5, 0], [0.5, 1])


def test_battle_matrix_of_three_judgments() -> None:
    """2.2 by hand: first wins twice (0 over 1, 1 over 2), second once (2 shown second beats 1): w1 = 1/3, w2 = 2/3."""
    made = battle_matrices(
        meta_judgments(
            [
                ("1.p.r0", 0, 1, "first"),
                ("1.p.r0", 1, 2, "first"),
                ("1.p.r0", 1, 0, None),
                ("1.p.r0", 1, 2, None),
                ("1.p.r0", 2, 0, "second"),
            ]
        )
    )
    row = made.rows.row(0, named=True)
    assert row["judgment_ids"] == ["1.p.r0.j0", "1.p.r0.j1", "1.p.r0.j2"]
    assert np.array(row["matrix"]) == pytest.approx(np.array([[0, 1 / 3, 2 / 3], [0, 0, 1 / 3], [0, 0, 0]]))
    assert (row["omega_1"], row["omega_2"]) == pytest.approx((1 / 3, 2 / 3))
    assert (row["win_first"], row["win_second"], row["strongly_connected"]) == (2, 1, False)
    BATTLE_MATRICES.check(made.rows)


def test_winning_in_both_orders_counts_one() -> None:
    """2.2: w1 + w2 = 1: who wins first and second against the same judgment has B = 1."""
    rows = battle_matrices(meta_judgments([("r", 0, 1, "first"), ("r", 1, 0, "second")])).rows
    assert rows["matrix"].to_list() == [[[0, 1], [0, 0]]]


def test_judgments_are_ordered_by_n_and_not_as_text() -> None:
    """Sample indices are numbers: j9 comes before j10, and gaps stay gaps."""
    rows = battle_matrices(meta_judgments([("r", 10, 9, "first"), ("r", 2, 10, "first"), ("r", 2, 9, "second")])).rows
    assert rows["judgment_ids"].item().to_list() == ["r.j2", "r.j9", "r.j10"]
    expected = [[0, 0, 1 / 3], [2 / 3, 0, 0], [0, 1 / 3, 0]]
    assert np.array(rows["matrix"].to_list()[0]) == pytest.approx(np.array(expected))
    assert rows["strongly_connected"].item()


@given(BATTLES, st.integers(0, 99))
def test_wins_are_keyed_by_ids(fought: dict[tuple[str, int, int], str | None], seed: int) -> None:
    """Row 4: rows in any order, with battles missing anywhere, give B_mn = w1 [r_mn = 1] + w2 [r_nm = -1] literally."""
    frame = meta_judgments([(*key, winner) for key, winner in fought.items()])
    rows = battle_matrices(frame).rows
    assert rows.equals(battle_matrices(shuffled(frame, seed).lazy()).rows)
    first = sum(winner == "first" for winner in fought.values())
    second = sum(winner == "second" for winner in fought.values())
    w1, w2 = (second / (first + second), first / (first + second)) if first + second else (0.5, 0.5)
    for row in rows.iter_rows(named=True):
        response, places = row["response_id"], [int(i.rpartition("j")[2]) for i in row["judgment_ids"]]
        for i, m in enumerate(places):
            for j, n in enumerate(places):
                b = w1 * (fought.get((response, m, n)) == "first") + w2 * (fought.get((response, n, m)) == "second")
                assert row["matrix"][i][j] == pytest.approx(b)


def test_one_position_that_wins_everything_gives_zeros_and_a_warning() -> None:
    """Row 2: B is all zero if the first position won everything: warn loudly, with the counts."""
    rows = battle_matrices(meta_judgments([("r", 0, 1, "first"), ("r", 1, 0, "first"), ("s", 0, 1, None)])).rows
    assert rows["matrix"].to_list() == [[[0, 0], [0, 0]]] * 2
    warning = one_sided(rows)
    assert warning is not None
    assert warning.startswith(
        "2 of 2 battle matrices are all zero: the first position won every decisive battle (up to 2)"
    )


def test_no_warning_without_decisive_battles_or_with_both_positions() -> None:
    """Row 2: silence where the weights are sound."""
    assert one_sided(battle_matrices(meta_judgments([("r", 0, 1, None)])).rows) is None
    assert one_sided(battle_matrices(meta_judgments([("r", 0, 1, "first"), ("r", 1, 0, "second")])).rows) is None


def test_scope_decides_over_what_wins_are_counted() -> None:
    """Row 2: over the iteration both positions won once (1/2, 1/2); per response one of them won everything."""
    frame = meta_judgments([("r", 0, 1, "first"), ("s", 0, 1, "second")])
    assert battle_matrices(frame).rows["matrix"].to_list() == [[[0, 0.5], [0, 0]], [[0, 0], [0.5, 0]]]
    alone = battle_matrices(frame, scope="response").rows
    assert alone["matrix"].to_list() == [[[0, 0], [0, 0]]] * 2
    assert alone.select("omega_1", "omega_2").rows() == [(0, 1), (1, 0)]
    assert "2 of 2 battle matrices are all zero: the first or second position" in str(one_sided(alone))


def test_battle_between_equal_texts_is_nobodys_win() -> None:
    """Row 17: identical judgments are separate competitors and their battle is r = 0: no winner, no entry."""
    rows = battle_matrices(meta_judgments([("r", 0, 1, None), ("r", 0, 2, "first"), ("r", 2, 1, "second")])).rows
    assert rows["matrix"].to_list() == [[[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]]


def test_selected_responses_without_battles_are_recorded() -> None:
    """Nothing vanishes."""
    made = battle_matrices(meta_judgments([("r", 0, 1, "first")]), pl.DataFrame({"response_id": ["r", "s"]}))
    assert made.dropped.rows() == [("s", "no_battles", '{"battles":0}')]


def test_no_battles_at_all_give_an_empty_table() -> None:
    """An iteration in which everything was skipped still has a well-formed table."""
    made = battle_matrices(meta_judgments([]))
    BATTLE_MATRICES.check(made.rows)
    assert made.rows.is_empty()
    assert as_arrays(made.rows)[0].shape == (0, 0, 0)


@given(BATTLES)
def test_columns_and_arrays_hold_the_same(fought: dict[tuple[str, int, int], str | None]) -> None:
    """Matrices of different sizes are padded by absent judgments."""
    rows = battle_matrices(meta_judgments([(*key, winner) for key, winner in fought.items()])).rows
    matrices, mask = as_arrays(rows)
    for ids, matrix, padded, present in zip(
        rows["judgment_ids"], rows["matrix"].to_list(), matrices, mask, strict=True
    ):
        size = len(ids)
        assert present.tolist() == [True] * size + [False] * (len(present) - size)
        assert padded[:size, :size].tolist() == matrix
        assert padded.sum() == pytest.approx(np.sum(matrix))


@given(st.integers(1, 7), st.integers(0, 2**32 - 1), st.floats(0.05, 0.9))
def test_strong_connectivity_agrees_with_scipy(size: int, seed: int, density: float) -> None:
    """Row 3: strongly connected is what scipy's graph routine says, matrix by matrix."""
    rng = np.random.default_rng(seed)
    matrices = rng.random((20, size, size)) * (rng.random((20, size, size)) < density)
    expected = [connected_components(m, directed=True, connection="strong")[0] == 1 for m in matrices]
    assert strongly_connected(matrices, np.ones((20, size), bool)).tolist() == expected


def test_absent_judgments_do_not_disconnect() -> None:
    """Padding is not a competitor: 0 and 1 beat each other, 2 is absent."""
    matrix = np.array([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]], float)
    assert strongly_connected(matrix, np.array([[True, True, False]])).tolist() == [True]
    assert strongly_connected(matrix, np.array([[True, True, True]])).tolist() == [False]
