"""How a judge's scores move, by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from mr_assets.judging import Scoring
from mr_assets.method.scoring_shift import density, grid, rank_agreement, scoring_shift, scoring_shift_numbers

RESPONSES = pl.DataFrame(
    [("a0", "a", 5.0), ("a1", "a", 1.0), ("b0", "b", 3.0), ("b1", "b", 3.0)],
    schema=["response_id", "prompt_id", "true_score"],
    orient="row",
)
UNKNOWN = RESPONSES.with_columns(true_score=pl.lit(None, pl.Float64))


def judged(*scores: Sequence[float | None]) -> pl.DataFrame:
    """Judgments of a0, a1, b0, ...; none of a response without scores."""
    rows = [(i, n, s) for i, each in zip(RESPONSES["response_id"], scores, strict=False) for n, s in enumerate(each)]
    return pl.DataFrame(rows, schema={"response_id": pl.String, "n": pl.Int32, "score": pl.Float64}, orient="row")


OWN = judged([5, 5, 5, 4], [3, None], [5], [4])
BEFORE = judged([3], [4], [2], [1])
SEED = judged([5], [1], [2], [2])


def numbers(own: pl.DataFrame, previous: pl.DataFrame | None = BEFORE, responses: pl.DataFrame = RESPONSES) -> Any:
    return scoring_shift_numbers(scoring_shift(responses, own, previous, SEED))


def test_rows_have_the_means_of_three_judges() -> None:
    """What was not judged is not among them; what has no valid score has no mean."""
    found = scoring_shift(RESPONSES, judged([5, 4], [None], [1]), BEFORE, SEED)
    assert found.select("response_id", "scores", "mean", "mean_previous", "mean_seed").rows() == [
        ("a0", [5.0, 4.0], 4.5, 3.0, 5.0),
        ("a1", [], None, 4.0, 1.0),
        ("b0", [1.0], 1.0, 2.0, 2.0),
    ]


def test_saturation_by_hand() -> None:
    """Means 4.75, 3, 5, 4; of the seven valid scores four are 5, two 4, one 3."""
    found = numbers(OWN)
    assert found["mean_score"] == pytest.approx(16.75 / 4)
    assert found["sd_score"] == pytest.approx(np.std([4.75, 3, 5, 4]))
    assert found["top_share"] == pytest.approx(4 / 7)
    shares = np.array([4, 2, 1]) / 7
    assert found["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_shifts_by_hand() -> None:
    found = numbers(OWN)
    assert found["shift_previous"] == pytest.approx((1.75 - 1 + 3 + 3) / 4)
    assert found["shift_seed"] == pytest.approx((-0.25 + 2 + 3 + 2) / 4)


def test_tau_by_hand() -> None:
    """The model before ranks a the other way round and b alike; the seed ranks a alike and gives b a tie."""
    found = numbers(OWN)
    assert found["tau_previous"] == 0.0
    assert found["tau_seed"] == 0.5
    assert found["tau_previous_low"] == -1.0  # a drawn twice
    assert found["tau_previous_high"] == 1.0


def test_halves_are_every_other_judgment_of_the_same_judge() -> None:
    """a: 5, 5 and 5, 4 against 1, 1 and 1, 2: both rank it alike. b: 4, 2 against 3, 3: the first half says 4, 3."""
    assert numbers(judged([5, 5, 5, 4], [1, 1, 1, 2], [4, 2], [3, 3]))["tau_halves"] == 0.0
    assert numbers(judged([5, 5], [1, 2], [4, 3], [3, 2]))["tau_halves"] == 1.0


def test_a_judge_that_gives_the_same_to_all_agrees_with_nobody() -> None:
    found = numbers(judged([5], [5], [5], [5]))
    assert (found["tau_previous"], found["tau_seed"], found["tau_truth"]) == (0.0, 0.0, 0.0)
    assert (found["tied_prompts"], found["top_share"], found["entropy"]) == (1.0, 1.0, 0.0)


def test_the_truth_by_hand() -> None:
    """a: 5, 5, 5, 4 for 5 and 3 for 1; b: 5 and 4 for 3, which has no ranks."""
    found = numbers(OWN)
    assert found["reward_error"] == pytest.approx((-0.25 + 2 + 2 + 1) / 4)
    assert (found["over_share"], found["under_share"], found["exact_share"]) == pytest.approx((3 / 7, 1 / 7, 3 / 7))
    assert found["tau_truth"] == 1.0


def test_without_a_model_before_or_a_truth_there_are_none_of_their_figures() -> None:
    found = numbers(OWN, previous=None, responses=UNKNOWN)
    assert not [name for name in found if "previous" in name or "truth" in name or "error" in name]
    assert "tau_seed" in found


def test_of_no_valid_score_nothing_is_known() -> None:
    found = numbers(judged([None], [None], [None], [None]))
    assert {found[name] for name in found if name not in ("prompts", "responses")} == {None}


def test_every_figure_lies_in_its_interval() -> None:
    found = numbers(judged([5, 5, 5, 4], [3, 2], [5, 1], [4, 2]))
    for name in (n for n in found if not n.endswith(("_low", "_high")) and n not in ("prompts", "responses")):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"], name


def test_expectations_count_as_the_nearest_whole_number() -> None:
    expected = Scoring.of({"score_line": "expectation"})
    shift = scoring_shift(RESPONSES, judged([4.6], [1.2], [2.9], [4.4]), None, SEED)
    found = scoring_shift_numbers(shift, expected)
    assert (found["top_share"], found["exact_share"]) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("left", "right", "tau"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 2], [1, 2, 3], 2 / np.sqrt(2 * 3)),  # two pairs agree; two of three are no ties on the left
        ([2, 2, 2], [1, 2, 3], 0.0),
        ([1, None, 3], [1, 2, 3], 1.0),
    ],
)
def test_rank_agreement_by_hand(left: list[float | None], right: list[float | None], tau: float) -> None:
    assert rank_agreement(left, right) == pytest.approx(tau)


def test_one_response_is_not_ranked() -> None:
    assert np.isnan(rank_agreement([1.0, None], [1.0, 2.0]))


def test_the_density_has_its_area_within_the_scale_and_none_of_a_spike() -> None:
    rng = np.random.default_rng(0)
    area = np.trapezoid(density(pl.Series(rng.normal(2.5, 0.3, 200))), grid())
    assert area == pytest.approx(1, abs=0.01)
    assert (grid()[0], grid()[-1]) == (0, 5)
    assert np.isnan(density(pl.Series([5.0, 5.0, None]))).all()
