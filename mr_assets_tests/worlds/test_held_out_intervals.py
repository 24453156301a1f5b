"""Intervals of the held-out figures: around the figures themselves, by groups, and of what is missing none."""

from math import isnan
from statistics import fmean

import pytest

from mr_assets.tables import EVALUATION
from mr_assets.worlds.held_out import HeldOut, actor_numbers, judge_numbers, meta_judge_numbers
from mr_assets.worlds.held_out_intervals import by_question, held_out_intervals, values_by_question
from mr_assets.worlds.letters import answer

HELD_OUT = HeldOut(prompts=40, responses=60, pairs=20)
RIGHT = [[" ".join(answer(question))] if n % 2 else ["?"] for n, question in enumerate(HELD_OUT.questions)]
SCORES: list[list[float | None]] = [
    [float(true) if n % 3 else None, 5.0] for n, (_, _, true) in enumerate(HELD_OUT.graded)
]
WINNERS = ["first" if n % 3 else None for n in range(len(HELD_OUT.battles))]


def intervals(
    answers: list[list[str]], scores: list[list[float | None]], winners: list[str | None]
) -> dict[str, float]:
    """Of what a model said."""
    return held_out_intervals(HELD_OUT, scores, values_by_question(HELD_OUT, answers, scores, winners))


def test_every_figure_lies_within_its_interval() -> None:
    found = intervals(RIGHT, SCORES, WINNERS)
    figures = actor_numbers(HELD_OUT, RIGHT) | judge_numbers(HELD_OUT, SCORES) | meta_judge_numbers(HELD_OUT, WINNERS)
    assert len(found) == 2 * len(figures)
    for name, value in figures.items():
        assert found[f"{name}_low"] <= value <= found[f"{name}_high"], name


def test_half_of_forty_prompts_right() -> None:
    """A share of 1/2 of 40 prompts has a standard error of 0.079."""
    found = intervals(RIGHT, SCORES, WINNERS)
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((0.345, 0.655), abs=0.03)


def test_a_judge_that_says_nothing_has_no_rank_correlation() -> None:
    nothing: list[list[float | None]] = [[None]] * 60
    found = intervals(RIGHT, nothing, [None] * 40)
    assert isnan(found["judge_spearman_low"]) and isnan(found["meta_first_high"])
    assert (found["judge_exact_low"], found["meta_accuracy_high"]) == (0.0, 0.0)


def test_a_judge_that_always_says_the_same_has_none_either() -> None:
    found = intervals(RIGHT, [[5.0]] * 60, WINNERS)
    assert isnan(found["judge_spearman_high"]) and found["judge_exact_high"] > 0


def test_figures_by_question_have_the_figure_as_their_mean() -> None:
    """Answers are right and wrong by turns; of two battles of a pair one may be right."""
    found = by_question(values_by_question(HELD_OUT, RIGHT, SCORES, WINNERS))
    figures = actor_numbers(HELD_OUT, RIGHT) | judge_numbers(HELD_OUT, SCORES) | meta_judge_numbers(HELD_OUT, WINNERS)
    assert list(found) == list(EVALUATION.optional)
    assert [len(each) for each in found.values()] == [40, 40, 40, 60, 20]
    assert found["accuracy_each"][:4] == [0.0, 1.0, 0.0, 1.0]
    assert set(found["meta_accuracy_each"]) <= {0.0, 0.5, 1.0}
    for name, each in found.items():
        assert fmean(each) == pytest.approx(figures[name.removesuffix("_each")]), name
