"""Rewards as judgments, and the actor pairs that are made of them."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.bounds import Guardrails
from mr_assets.method.actor_pairs import actor_pairs
from mr_assets.method.guardrails import Background, findings
from mr_assets.method.numbers import reward_numbers
from mr_assets.method.rewards import rewards
from mr_assets.tables import JUDGMENTS
from mr_assets_tests.method.tables import COMPLETIONS, Answer, tables


def test_a_reward_is_the_only_judgment_of_its_response() -> None:
    """Its text is the number, which is the score."""
    sampled = pl.DataFrame([("1.p.r0", 0, "-1.5", "stop", [])], schema=COMPLETIONS, orient="row")
    [row] = rewards(sampled).collect().rows(named=True)
    assert list(row) == list(JUDGMENTS.schema)
    assert (row["judgment_id"], row["judgment"], row["score"], row["invalid"]) == ("1.p.r0.j0", "-1.5", -1.5, None)


def paired(scores: list[float], rho: float) -> tuple[str, str]:
    """The chosen and the rejected one of responses "a", "aa", "aaa", ... that have these rewards."""
    answers = [Answer("a" * (n + 1), [score]) for n, score in enumerate(scores)]
    [row] = actor_pairs(*tables({"p": answers}), rho=rho, seed=0).rows.iter_rows(named=True)
    return row["chosen_id"], row["rejected_id"]


def test_tiers_are_shares_of_the_range_of_a_prompts_rewards() -> None:
    """From -4 to 4 with rho 0.25: the top tier begins at 2, the bottom tier ends at -2."""
    assert paired([4.0, 2.0, -2.0, -4.0], 0.25) == ("1.p.r0", "1.p.r3")  # the shortest above, the longest below
    assert paired([2.0, 4.0, -4.0, -2.0], 0.25) == ("1.p.r0", "1.p.r3")
    assert paired([1.9, 4.0, -4.0, -1.9], 0.25) == ("1.p.r1", "1.p.r2")


@given(
    rewards=st.lists(st.integers(-20, 20), min_size=2, max_size=7, unique=True),
    rho=st.sampled_from([0.0, 0.125, 0.25, 0.375]),
    shift=st.integers(-100, 100),
    factor=st.sampled_from([0.25, 1.0, 8.0]),
)
def test_rewards_need_no_scale(rewards: list[int], rho: float, shift: int, factor: float) -> None:
    """Row 31: shifted, and stretched, they give the same pair."""
    assert paired([float(r) for r in rewards], rho) == paired([factor * r + shift for r in rewards], rho)


def test_checks_of_a_scale_do_not_hold_for_rewards() -> None:
    """All rewards are 5, the top of the judge's scale, so that the checks would stop a judge; of rewards they pass."""
    responses, judgments = tables({f"p{n}": [Answer("a", [5.0]), Answer("aa", [5.0])] for n in range(20)})
    given = {"judgments": judgments, "responses": responses}
    by_scale = {"score_entropy", "top_score_share"}
    limits, scored = Guardrails(), Background(settings={"reward_model": {"folder": "x"}})
    judged = {f.name: f.level for f in findings("judgments", given, limits)}
    assert {judged[name] for name in by_scale} == {"harmful"}
    found = findings("judgments", given, limits, scored)
    assert {f.level for f in found} == {"passed"}
    assert {f.name for f in found if f.said == "Rewards are on no scale."} == by_scale


def test_numbers() -> None:
    """Of 1, 3 and 5: mean 3, and sqrt((4 + 0 + 4) / 3)."""
    found = reward_numbers(pl.DataFrame({"score": [1.0, 3.0, 5.0]}))
    assert found == {"mean score": 3.0, "standard deviation of scores": pytest.approx((8 / 3) ** 0.5)}
