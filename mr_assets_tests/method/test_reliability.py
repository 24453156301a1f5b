"""The reliability of scores, against figures worked out by hand, a textbook's and scipy's."""

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.reliability import LOWEST, Reliability, reliability, stepped_up
from mr_assets_tests.method.tables import SCORES, Answer, tables

Scores = dict[str, list[list[float | None]]]
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def judged(scores: Scores) -> pl.DataFrame:
    """The judgments of each prompt's responses."""
    return tables({prompt: [Answer("x", each) for each in answers] for prompt, answers in scores.items()})[1]


def found(scores: Scores, among: str = "prompt") -> Reliability:
    result = reliability(judged(scores), "all" if among == "all" else "prompt")
    assert result is not None
    return result


def test_the_textbook_example() -> None:
    """Shrout and Fleiss 1979: ICC(1,1) 0.17 with 95% limits -0.133 and 0.723, ICC(1,4) 0.44."""
    result = found({"p": [[float(score) for score in row] for row in SHROUT_FLEISS]})
    assert [result.single, result.mean] == pytest.approx([0.1657, 0.4428], abs=5e-5)
    assert [result.low, result.high] == pytest.approx([-0.133, 0.723], abs=5e-4)
    assert (result.n, result.responses) == (4.0, 6)


def test_responses_with_unequal_numbers_of_valid_judgments() -> None:
    """Means 2, 5 and 4 of 2, 1 and 3 scores, 3.5 of all: MSB (4.5 + 2.25 + 0.75) / 2, MSW 2 / 3, n0 (6 - 14/6) / 2.

    ICC = (3.75 - 2/3) / (3.75 + 5/6 * 2/3) = 0.716. What has no score does not count.
    """
    result = found({"p": [[1, 3, None], [None, 5], [4, 4, 4], [None, None]]})
    assert result.n == pytest.approx(11 / 6)
    assert result.single == pytest.approx((3.75 - 2 / 3) / (3.75 + 5 / 9))
    assert result.responses == 3


def test_responses_are_compared_within_their_prompt() -> None:
    """p has means 2 and 4, q twice 0: MSB 4 / 2, MSW 2 / 4, so (2 - 0.5) / (2 + 0.5) = 0.6, of the mean 1.2 / 1.6.

    Over all prompts, where q differs from p, MSB is 22 / 3: (22/3 - 1/2) / (22/3 + 1/2) = 41/47.
    """
    scores: Scores = {"p": [[1, 3], [4, 4]], "q": [[0, 0], [0, 0]]}
    assert found(scores).single == pytest.approx(0.6)
    assert found(scores).mean == pytest.approx(0.75)
    assert found(scores, "all").single == pytest.approx(41 / 47)


def test_replies_that_are_judged_once_for_all_have_prompts_too() -> None:
    """Their ids begin with eft in place of the iteration."""
    scores: Scores = {"p": [[4, 5], [5, 4]], "q": [[0, 1], [1, 0]]}
    eft = judged(scores).with_columns(pl.col("response_id").str.replace("^1", "eft"))
    assert reliability(eft) == found(scores)


def test_a_judge_that_scores_prompts_alone() -> None:
    """Every response of p gets 4 and 5, of q 0 and 1: over all prompts that is reliable, within them it is noise."""
    scores: Scores = {"p": [[4, 5], [5, 4]], "q": [[0, 1], [1, 0]]}
    assert found(scores).single == -1.0  # MSB is 0: -MSW / (0 + (2 - 1) MSW)
    assert (found(scores).mean, found(scores).needed(0.7)) == (LOWEST, None)
    assert found(scores, "all").single > 0.9


def test_where_it_cannot_be_told() -> None:
    """No scores; one response per prompt; one judgment per response; nothing but one score. All exact is 1."""
    nothing: list[Scores] = [
        {},
        {"p": [[None]]},
        {"p": [[1, 2]], "q": [[3, 4]]},
        {"p": [[1], [2]]},
        {"p": [[3, 3]] * 2},
    ]
    assert [reliability(judged(scores)) for scores in nothing] == [None] * 5
    exact = found({"p": [[1, 1], [2, 2]]})
    assert (exact.single, exact.low, exact.high, exact.mean, exact.needed(0.7)) == (1.0, 1.0, 1.0, 1.0, 1)


def test_what_averaging_buys() -> None:
    """Spearman-Brown: of 0.2, four judgments have 0.8 / 1.6; 0.7 takes 0.7 * 0.8 / (0.2 * 0.3) = 9.33, so ten."""
    assert stepped_up(0.2, 4) == pytest.approx(0.5)
    one = Reliability(0.2, 0.1, 0.3, 4.0, 10)
    assert one.mean == pytest.approx(0.5)
    assert (one.needed(0.5), one.needed(0.7)) == (4, 10)
    assert stepped_up(0.2, 9) < 0.7 < stepped_up(0.2, 10)
    assert stepped_up(-0.5, 3) == LOWEST  # its reckoning would divide by 0


@given(st.lists(st.lists(st.floats(0, 5, width=16), min_size=3, max_size=3), min_size=2, max_size=6))
def test_the_same_as_an_analysis_of_variance(scores: list[list[float | None]]) -> None:
    """scipy's F of equal groups gives (F - 1) / (F + n - 1)."""
    from scipy.stats import f_oneway

    result = reliability(judged({"p": scores}))
    if result is not None and result.single < 1:
        f = f_oneway(*scores).statistic
        assert result.single == pytest.approx((f - 1) / (f + 2), abs=1e-9)
        assert result.low <= result.single <= result.high <= 1


@given(st.randoms(use_true_random=False), st.lists(st.lists(SCORES, max_size=4), min_size=2, max_size=6))
def test_the_order_of_rows_is_nothing(rng: random.Random, scores: list[list[float | None]]) -> None:
    rows = judged({"p": scores[:2], "q": scores[2:]})
    assert reliability(rows.sample(fraction=1, shuffle=True, seed=rng.randrange(99))) == reliability(rows)


def test_a_judge_that_is_noise() -> None:
    """Scores drawn from 0 to 5 whatever the response: 0 lies in the 95% interval of some 95 of 100 judges."""
    rng = random.Random(0)
    held = 0
    for _ in range(100):
        result = found({f"p{p}": [[rng.randint(0, 5) for _ in range(5)] for _ in range(4)] for p in range(20)})
        held += result.low <= 0 <= result.high
        assert abs(result.single) < 0.2
    assert 90 <= held <= 99
