import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.selected_responses import select_responses
from mr_assets.tables import DROPPED, SELECTED_RESPONSES, Selected
from mr_assets_tests.method.tables import Answer, shuffled, tables, worlds


def chosen(*answers: Answer, seed: int = 0) -> Selected:
    return select_responses(*tables({"p": answers}), seed=seed)


def test_the_response_whose_scores_vary_most_is_selected() -> None:
    """2.2: variances with ddof 0: of (4, 4) 0, of (1, 3, 5) 8/3, of (3, 5) 1."""
    made = chosen(Answer("a", [4, 4]), Answer("b", [1, 3, 5]), Answer("c", [3, 5]))
    assert made.rows.select("prompt_id", "response_id").rows() == [("p", "1.p.r1")]
    assert made.rows["score_variance"].item() == pytest.approx(8 / 3, abs=1e-9)
    assert made.dropped.select("id", "reason").rows() == [("1.p.r0", "zero_variance"), ("1.p.r2", "lower_variance")]
    numbers = json.loads(made.dropped["numbers"][1])
    assert (numbers["variance"], numbers["selected_id"]) == (1, "1.p.r1")
    SELECTED_RESPONSES.check(made.rows)


def test_invalid_judgments_do_not_add_variance() -> None:
    """Row 11: variance over the valid ones: (5, invalid, 5) has none, as (4, 3) has 1/4."""
    assert chosen(Answer("a", [5, None, 5]), Answer("b", [4, 3])).rows["response_id"].item() == "1.p.r1"


def test_a_variance_needs_two_valid_judgments() -> None:
    """Row 11: one valid judgment is no variance of 0, and so no candidate."""
    made = chosen(Answer("a", [5, None]), Answer("b", [None]), Answer("c", []))
    assert made.rows.is_empty()
    assert made.dropped.select("id", "reason").rows() == [
        ("1.p.r0", "too_few_valid_judgments"),
        ("1.p.r1", "no_valid_judgment"),
        ("1.p.r2", "not_judged"),
        ("p", "too_few_valid_judgments"),
    ]


def test_zero_variance_is_not_selected() -> None:
    """Row 11: a response with zero variance is not selected, float noise included: 0.1 + 0.1 + 0.1 != 0.3."""
    made = chosen(Answer("a", [0.1] * 3), Answer("b", [4.9] * 11))
    assert made.rows.is_empty()
    assert made.dropped.filter(pl.col("id") == "p")["reason"].item() == "zero_variance"


def test_equal_variances_are_drawn() -> None:
    """2.2: ties are broken at random (seeded): (1, 2) and (4, 5) both have 1/4; over 40 seeds each wins sometimes."""
    made = [chosen(Answer("a", [1, 2]), Answer("b", [4, 5]), seed=seed) for seed in range(40)]
    assert {m.rows["response_id"].item() for m in made} == {"1.p.r0", "1.p.r1"}
    assert {m.dropped["reason"].item() for m in made} == {"lost_draw"}


def test_float_noise_does_not_decide_a_tie() -> None:
    """Row 11: (0.1, 0.2, 0.3) and (0.3, 0.1, 0.2) tie although their sums may differ in the last bit."""
    made = {
        chosen(Answer("a", [0.1, 0.2, 0.3]), Answer("b", [0.3, 0.1, 0.2]), seed=seed).rows["response_id"].item()
        for seed in range(40)
    }
    assert made == {"1.p.r0", "1.p.r1"}


@given(worlds(), st.integers(0, 99))
def test_row_order_does_not_matter_and_nothing_vanishes(world: tuple[pl.DataFrame, pl.DataFrame], seed: int) -> None:
    """At most one per prompt; every other response that is no duplicate is in the dropped."""
    responses, judgments = world
    made = select_responses(responses, judgments, seed=1)
    other = select_responses(shuffled(responses, seed), shuffled(judgments, seed).lazy(), seed=1)
    assert made.rows.equals(other.rows)
    assert made.dropped.equals(other.dropped)
    DROPPED.check(made.dropped)
    kept, dropped = made.rows["response_id"].to_list(), made.dropped["id"].to_list()
    unique = responses.filter(pl.col("duplicate_of").is_null())["response_id"].to_list()
    prompts = sorted(set(responses["prompt_id"]))
    assert sorted(kept + dropped) == sorted(unique + [p for p in prompts if p not in made.rows["prompt_id"]])
