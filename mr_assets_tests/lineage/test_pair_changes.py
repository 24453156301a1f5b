"""Which pairs differ between two settings, and why."""

import polars as pl
import pytest
from hypothesis import given

from mr_assets.lineage.pair_changes import OUTCOMES, Comparison, Pair, Side, actor_side, compare, judge_side
from mr_assets.method import CutOff
from mr_assets.method.actor_pairs import actor_pairs, tiers
from mr_assets.method.battle_matrices import as_arrays
from mr_assets.method.elo import elo_scores
from mr_assets.method.elo_pairs import elo_pairs
from mr_assets_tests.method.tables import Answer, tables, worlds
from mr_assets_tests.method.test_elo_pairs import CHAIN, R, judgments, matrices

Tables = tuple[pl.DataFrame, pl.DataFrame]


def actor(
    made: Tables, rho: float = 0, limit: int | None = None, seed: int = 0, cut_off: CutOff = "never_chosen"
) -> Side:
    pairs = actor_pairs(*made, rho=rho, max_chosen_chars=limit, seed=seed, cut_off=cut_off)
    return actor_side(pairs, tiers(*made, rho), seed)


def judge(
    rows: list[list[float]], texts: pl.DataFrame, limit: int | None = None, ridge: float = 0.01, seed: int = 0
) -> Side:
    found = matrices(rows)
    pairs = elo_pairs(found, texts, max_chosen_chars=limit, ridge=ridge, seed=seed)
    elo = elo_scores(*as_arrays(found), ridge)
    ratings = found.select("response_id", "judgment_ids").with_columns(pl.Series("elo", elo.tolist()))
    return judge_side(pairs, ratings, texts, seed, 1e-6)


def only(found: Comparison) -> tuple[str, str]:
    """Outcome and reason of the only prompt."""
    [change] = found.changes
    assert found.counts[change.outcome] == sum(found.counts.values()) == 1
    return change.outcome, change.why


FOUR = tables({"p": [Answer("a" * 57, [5]), Answer("b" * 41, [4]), Answer("c" * 30, [2]), Answer("d" * 12, [1])]})
"""Scores 5, 4, 2, 1 with 57, 41, 30 and 12 characters."""


# ------------------------------------------------------------------------------------------------------ actor pairs


def test_the_same_settings_change_nothing() -> None:
    found = compare(actor(FOUR), actor(FOUR))
    assert found.changes == []
    assert found.counts == {**dict.fromkeys(OUTCOMES, 0), "same": 1}


def test_wider_tiers_let_others_in() -> None:
    """rho from 0 to 0.25: the tiers [5, 5] and [1, 1] become [4, 5] and [1, 2]; r1 is shorter, r2 longer."""
    found = compare(actor(FOUR), actor(FOUR, rho=0.25))
    [change] = found.changes
    assert (change.prompt_id, change.outcome) == ("p", "both changed")
    assert (change.before, change.after) == (Pair("1.p.r0", "1.p.r3"), Pair("1.p.r1", "1.p.r2"))
    assert change.why == (
        "the top tier begins at 4, not 5: r1 (score 4, 41 characters) is in it and shorter than "
        "r0 (score 5, 57 characters); the bottom tier ends at 2, not 1: r2 (score 2, 30 characters) is in it and "
        "longer than r3 (score 1, 12 characters)"
    )


def test_narrower_tiers_leave_some_out() -> None:
    """The same the other way round: r1 is not in [5, 5] any more, and r0 is the shortest there."""
    outcome, why = only(compare(actor(FOUR, rho=0.25), actor(FOUR)))
    assert outcome == "both changed"
    assert why.startswith(
        "the top tier begins at 5, not 4: r1 (score 4, 41 characters) is not in it, "
        "r0 (score 5, 57 characters) is the shortest; the bottom tier ends at 1, not 2: "
    )
    assert why.endswith("r3 (score 1, 12 characters) is the longest")


def test_one_end_alone() -> None:
    """Without r1 the top tier of rho = 0.25 has r0 alone."""
    three = tables({"p": [Answer("a" * 57, [5]), Answer("c" * 30, [2]), Answer("d" * 12, [1])]})
    outcome, why = only(compare(actor(three), actor(three, rho=0.25)))
    assert outcome == "rejected changed"
    assert "top tier" not in why


def test_a_pair_that_is_lost_or_gained_to_a_length_limit() -> None:
    """r0 has 57 characters, and 50 are allowed; the word and the numbers are those of the row that was dropped."""
    said = "the chosen text has more characters than the threshold (r0 has 57, allowed are 50)"
    assert only(compare(actor(FOUR), actor(FOUR, limit=50))) == ("lost", said)
    assert only(compare(actor(FOUR, limit=50), actor(FOUR))) == ("gained", f"no longer: {said}")


def test_no_pair_either_way_is_no_change() -> None:
    equal = tables({"p": [Answer("a", [3]), Answer("bb", [3])]})
    found = compare(actor(equal), actor(equal, rho=0.5))
    assert (found.counts["no pair"], found.changes) == (1, [])


def test_tiers_that_overlap_lose_the_pair() -> None:
    """Scores 3, 2 and rho = 1: both tiers are [2, 3]; the shortest, r1, has the lower score, r0 is the longest."""
    two = tables({"p": [Answer("aa", [3]), Answer("b", [2])]})
    outcome, why = only(compare(actor(two), actor(two, rho=1)))
    assert outcome == "lost"
    assert why.endswith("does not score above the rejected one (r1 with 2, r0 with 3)")


def test_another_seed_draws_another_of_equals() -> None:
    """Two answers of five characters and the score 5; some seed draws the other one than seed 0."""
    equals = tables({"p": [Answer("aaaaa", [5]), Answer("bbbbb", [5]), Answer("c", [1])]})
    seed = next(s for s in range(1, 50) if compare(actor(equals), actor(equals, seed=s)).changes)
    outcome, why = only(compare(actor(equals), actor(equals, seed=seed)))
    assert outcome == "chosen changed"
    assert why.startswith(f"both have 5 characters: seed {seed} draws r")


def test_a_cut_off_response_that_may_be_chosen() -> None:
    cut = tables({"p": [Answer("aaaa", [5]), Answer("bb", [5], "length"), Answer("c", [1])]})
    outcome, why = only(compare(actor(cut), actor(cut, cut_off="eligible")))
    assert outcome == "chosen changed"
    assert why == (
        "r1 was cut off at max tokens and may be chosen now: r1 (score 5, 2 characters), "
        "before r0 (score 5, 4 characters)"
    )
    _, back = only(compare(actor(cut, cut_off="eligible"), actor(cut)))
    assert back.startswith("r1 was cut off at max tokens and may not be chosen now")


def test_two_runs_that_answered_differently() -> None:
    """What is compared is what is trained on: the same ids may stand for other texts, and the other way round."""
    other = tables({"p": [Answer("z" * 57, [5]), Answer("b" * 41, [4]), Answer("c" * 30, [2]), Answer("d" * 12, [1])]})
    outcome, why = only(compare(actor(FOUR), actor(other)))
    assert (outcome, why) == (
        "chosen changed",
        "other texts: r0 (score 5, 57 characters) in place of r0 (score 5, 57 characters)",
    )
    moved = tables({"p": [Answer("d" * 12, [1]), Answer("a" * 57, [5])]})
    assert compare(actor(FOUR), actor(moved)).counts["same"] == 1


def test_two_runs_that_judged_differently() -> None:
    """The same answers, and r1 is the best now."""
    judged = tables({"p": [Answer("a" * 57, [3]), Answer("b" * 41, [4]), Answer("c" * 30, [2]), Answer("d" * 12, [1])]})
    assert only(compare(actor(FOUR), actor(judged))) == (
        "chosen changed",
        "other scores: r0 3, before 5, r1 4",
    )


def test_a_prompt_that_one_side_alone_has() -> None:
    more = tables({"p": [Answer("a", [5]), Answer("bb", [1])], "q": [Answer("a", [5]), Answer("bb", [1])]})
    less = tables({"p": [Answer("a", [5]), Answer("bb", [1])]})
    found = compare(actor(less), actor(more))
    assert (found.counts["same"], found.counts["gained"]) == (1, 1)
    assert found.changes[0].why == "no longer: there was nothing to pair"


@pytest.mark.slow
@given(worlds())
def test_every_difference_has_a_reason(made: Tables) -> None:
    """Whatever the tables: every prompt is counted once, and no comparison ends in an error or without a word."""
    for before, after in ((actor(made), actor(made, rho=0.4)), (actor(made, limit=2), actor(made, seed=1, rho=1))):
        found = compare(before, after)
        assert sum(found.counts.values()) == made[0]["prompt_id"].n_unique()
        assert all(change.why for change in found.changes)


# ------------------------------------------------------------------------------------------------------ judge pairs


def test_judge_pairs_lost_to_a_length_limit() -> None:
    texts = judgments("best", "middle", "worst!")
    assert only(compare(judge(CHAIN, texts), judge(CHAIN, texts, limit=3))) == (
        "lost",
        "the chosen text has more characters than the threshold (j0 has 4, allowed are 3)",
    )


def test_another_matrix_gives_another_winner() -> None:
    """Before, 0 beats 1 and 2, and 1 beats 2; now 1 beats both, and 0 beats 2."""
    texts = judgments("best", "middle", "worst!")
    outcome, why = only(compare(judge(CHAIN, texts), judge([[0, 0, 1], [1, 0, 1], [0, 0, 0]], texts)))
    assert outcome == "chosen changed"
    assert why.startswith("j1 has the highest Elo (j1 ")
    assert why.count("before") == 2


def test_a_tie_of_elo_is_drawn_by_the_seed() -> None:
    """Judgments 0 and 1 both beat 2 and nobody else: the same Elo."""
    rows: list[list[float]] = [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    texts = judgments("one", "two", "three")
    seed = next(s for s in range(1, 50) if compare(judge(rows, texts), judge(rows, texts, seed=s)).changes)
    outcome, why = only(compare(judge(rows, texts), judge(rows, texts, seed=seed)))
    assert outcome == "chosen changed"
    assert f"tie for the highest Elo: seed {seed} draws j" in why


def test_another_response_was_judged() -> None:
    """In two runs different responses to a prompt may be selected; their judgments are other texts."""
    one, other = judgments("best", "worst"), judgments("good", "bad", response="1.p.r1")
    side = judge([[0, 1], [0, 0]], one)
    moved = matrices([[0, 1], [0, 0]]).with_columns(
        response_id=pl.lit("1.p.r1"), judgment_ids=pl.concat_list(pl.lit("1.p.r1.j0"), pl.lit("1.p.r1.j1"))
    )
    pairs = elo_pairs(moved, other, max_chosen_chars=None, seed=0)
    ratings = moved.select("response_id", "judgment_ids").with_columns(pl.Series("elo", [[1.0, -1.0]]))
    found = compare(side, judge_side(pairs, ratings, other, 0, 1e-6))
    assert [c.outcome for c in found.changes] == ["both changed"]
    assert found.changes[0].before == Pair(f"{R}.j0", f"{R}.j1")
    assert "other texts: j0" in found.changes[0].why


@pytest.mark.parametrize("limit", [None, 3])
def test_the_same_judge_settings_change_nothing(limit: int | None) -> None:
    texts = judgments("best", "middle", "worst!")
    assert compare(judge(CHAIN, texts, limit), judge(CHAIN, texts, limit)).changes == []
