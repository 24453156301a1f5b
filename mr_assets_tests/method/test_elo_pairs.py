import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.battle_matrices import battle_matrices
from mr_assets.method.elo_pairs import elo_pairs
from mr_assets.tables import BATTLE_MATRICES, DROPPED, ELO_PAIRS, JUDGMENTS, Selected
from mr_assets_tests.method.tables import meta_judgments, shuffled

R = "1.p.r0"


def matrices(*rows: list[list[float]]) -> pl.DataFrame:
    """`BATTLE_MATRICES` of responses 1.p.r0, 1.q.r0, ... with judgments j0, j1, ..."""
    made = []
    for prompt, matrix in zip("pqrs", rows, strict=False):
        response = f"1.{prompt}.r0"
        made.append((response, [f"{response}.j{n}" for n in range(len(matrix))], matrix, 0.5, 0.5, 1, 1, False))
    return pl.DataFrame(made, schema=BATTLE_MATRICES.schema, orient="row")


def judgments(*texts: str, cut_off: tuple[int, ...] = (), response: str = R) -> pl.DataFrame:
    """Judgments j0, j1, ... of a response."""
    rows = [
        (f"{response}.j{n}", response, n, text, 3.0, None, "length" if n in cut_off else "stop", [1])
        for n, text in enumerate(texts)
    ]
    return pl.DataFrame(rows, schema=JUDGMENTS.schema, orient="row")


def paired(matrix: list[list[float]], texts: pl.DataFrame, limit: int | None = None, seed: int = 0) -> Selected:
    return elo_pairs(matrices(matrix), texts, max_chosen_chars=limit, seed=seed)


CHAIN: list[list[float]] = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
"""0 beats 1 and 2, 1 beats 2."""


def test_highest_elo_is_chosen_and_lowest_rejected() -> None:
    """2.2: 0 beats all, 2 loses to all."""
    made = paired(CHAIN, judgments("best", "middle", "worst!"))
    row = made.rows.row(0, named=True)
    assert (row["pair_id"], row["response_id"]) == ("1.p.judge", R)
    assert (row["chosen_id"], row["rejected_id"]) == (f"{R}.j0", f"{R}.j2")
    assert (row["chosen_chars"], row["rejected_chars"]) == (4, 6)
    assert (row["elo"][0], row["elo"][2]) == (row["chosen_elo"], row["rejected_elo"])
    assert row["elo"][0] == pytest.approx(-row["elo"][2])
    ELO_PAIRS.check(made.rows)
    assert made.dropped.is_empty()


def test_all_equal_makes_no_pair() -> None:
    """Row 16: all equal: no pair; row 3: an all-zero matrix gives zeros, and the drop holds them."""
    made = paired([[0, 0], [0, 0]], judgments("a", "b"))
    assert made.rows.is_empty()
    assert made.dropped.select("id", "reason").rows() == [(R, "equal_elo")]
    assert json.loads(made.dropped["numbers"][0])["elo"] == [0, 0]


def test_ties_are_drawn_by_the_seed() -> None:
    """Row 16: 0 and 1 both beat 2 and 3 alike: over 40 seeds each of the four pairs comes up."""
    matrix: list[list[float]] = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    texts = judgments("a", "b", "c", "d")
    pairs = {paired(matrix, texts, seed=seed).rows.select("chosen_id", "rejected_id").row(0) for seed in range(40)}
    assert pairs == {(f"{R}.j{m}", f"{R}.j{n}") for m in (0, 1) for n in (2, 3)}


def test_the_tolerance_says_what_a_tie_is() -> None:
    """Row 16: with a tolerance above the whole spread all are equal."""
    texts = judgments("best", "middle", "worst!")
    made = elo_pairs(matrices(CHAIN), texts, max_chosen_chars=None, seed=0, tolerance=100)
    assert made.dropped["reason"].to_list() == ["equal_elo"]


def test_chosen_length_filter_drops_the_pair() -> None:
    """A.3: pairs whose chosen judgment exceeds the threshold are dropped; exactly as long passes; characters count."""
    texts = judgments("\u4e2d" * 4, "middle", "worst!")
    assert paired(CHAIN, texts, limit=4).rows.height == 1
    made = paired(CHAIN, texts, limit=3)
    assert made.rows.is_empty()
    assert made.dropped["reason"].to_list() == ["chosen_too_long"]
    numbers = json.loads(made.dropped["numbers"][0])
    assert (numbers["chosen_chars"], numbers["max_chosen_chars"]) == (4, 3)


def test_cut_off_judgment_is_never_chosen_but_may_be_rejected() -> None:
    """Row 14: if the highest was cut off there is no pair, the next one does not move up; counted."""
    made = paired(CHAIN, judgments("a", "b", "c", cut_off=(0,)))
    assert made.dropped["reason"].to_list() == ["no_eligible_chosen"]
    assert json.loads(made.dropped["numbers"][0])["cut_off_at_top"] == 1
    assert paired(CHAIN, judgments("a", "b", "c", cut_off=(2,))).rows.height == 1


def test_cut_off_judgment_is_chosen_where_the_switch_says_so() -> None:
    """Row 14: the switch holds for judge pairs as for actor pairs."""
    texts = judgments("a", "b", "c", cut_off=(0,))
    made = elo_pairs(matrices(CHAIN), texts, max_chosen_chars=None, seed=0, cut_off="eligible")
    assert made.rows.select("chosen_id", "rejected_id").row(0) == (f"{R}.j0", f"{R}.j2")


def test_among_tied_judgments_the_one_that_finished_is_chosen() -> None:
    """Row 14: an eligible one is at the top, so there is a pair whatever the seed."""
    matrix: list[list[float]] = [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    texts = judgments("a", "b", "c", cut_off=(0,))
    assert {paired(matrix, texts, seed=seed).rows["chosen_id"].item() for seed in range(10)} == {f"{R}.j1"}


def test_no_pair_has_equal_texts() -> None:
    """Row 17: identical judgments may end up best and worst; that is no preference."""
    made = paired(CHAIN, judgments("same", "other", "same"))
    assert made.rows.is_empty()
    assert made.dropped["reason"].to_list() == ["identical_texts"]


def test_pairs_of_the_same_score_are_kept() -> None:
    """Row 18: `judgments` here all score 3."""
    assert paired(CHAIN, judgments("a", "b", "c")).rows.height == 1


def test_matrices_of_different_sizes() -> None:
    """Responses with fewer valid judgments have smaller matrices; each list of Elo has its own length."""
    texts = pl.concat([judgments("a", "b", "c"), judgments("d", "e", response="1.q.r0")])
    rows = elo_pairs(matrices(CHAIN, [[0, 0], [1, 0]]), texts, max_chosen_chars=None, seed=0).rows
    assert rows["elo"].list.len().to_list() == [3, 2]
    assert rows["chosen_id"].to_list() == [f"{R}.j0", "1.q.r0.j1"]


def test_no_matrices_make_empty_tables() -> None:
    """An iteration in which everything was skipped still has well-formed tables."""
    made = elo_pairs(matrices(), judgments("a"), max_chosen_chars=None, seed=0)
    ELO_PAIRS.check(made.rows)
    DROPPED.check(made.dropped)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["1.p.r0", "1.q.r0"]), st.integers(0, 4), st.integers(0, 4)).filter(
            lambda battle: battle[1] != battle[2]
        ),
        st.sampled_from(["first", "second", None]),
        min_size=1,
    ),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=5, max_size=5),
    st.sets(st.integers(0, 4)),
    st.integers(0, 99),
)
def test_row_order_does_not_matter_and_nothing_vanishes(
    fought: dict[tuple[str, int, int], str | None], texts: list[str], cut_off: set[int], seed: int
) -> None:
    """From shuffled battles to pairs: the same; each response has a pair or a reason, and pairs keep rows 14 to 17."""
    said = pl.concat([judgments(*texts, cut_off=tuple(cut_off), response=r) for r in ("1.p.r0", "1.q.r0")])
    frame = meta_judgments([(*key, winner) for key, winner in fought.items()])
    straight = battle_matrices(frame).rows
    mixed = shuffled(battle_matrices(shuffled(frame, seed)).rows, seed)
    made = elo_pairs(straight, said, max_chosen_chars=2, seed=1)
    other = elo_pairs(mixed.lazy(), shuffled(said, seed).lazy(), max_chosen_chars=2, seed=1)
    assert made.rows.equals(other.rows)
    assert made.dropped.equals(other.dropped)
    assert sorted([*made.rows["response_id"], *made.dropped["id"]]) == sorted({response for response, _, _ in fought})
    for row in made.rows.iter_rows(named=True):
        chosen, rejected = int(row["chosen_id"][-1]), int(row["rejected_id"][-1])
        assert row["chosen_elo"] > row["rejected_elo"]
        assert texts[chosen] != texts[rejected]
        assert chosen not in cut_off
        assert len(texts[chosen]) <= 2
