"""The first paragraph's rules: which words stand before which figures."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mr_assets.report.changes import Change, Difference
from mr_assets.report.measured import Key
from mr_assets.report.paragraph import NAMED, compared, without_truth


def change(
    name: str, value: float, error: float | None, judge: str = "", count: int = 1, over: str = "prompts"
) -> Change:
    low, high = (None, None) if error is None else (value - 2 * error, value + 2 * error)
    return Change(Key("evaluation", name, judge), 1.0, 1.0 + value, Difference(value, error, low, high, count, over))


def test_what_is_beyond_noise_comes_first() -> None:
    said = compared("From the seed model to M2", [change("accuracy", 0.01, 0.1), change("true_score", 1.5, 0.25)])
    assert said == (
        "From the seed model to M2. Better by more than noise: true score 1 to 2.50 (+1.50, standard error 0.25). "
        "No different as far as can be told: accuracy 1 to 1.01 (+0.01, standard error 0.10)."
    )


def test_what_got_worse_is_said_beside_what_got_better() -> None:
    said = compared("A", [change("accuracy", 1, 0.1), change("judge_exact", -1, 0.1), change("characters", 20, 1)])
    assert re.findall(r"(Better|Worse|Changed)[^:]*: ([a-z ]+) \d", said) == [
        ("Better", "accuracy"),
        ("Worse", "judge exact"),
        ("Changed", "characters"),
    ]


def test_a_change_within_noise_alone_is_said_to_be_nothing() -> None:
    said = compared("A", [change("accuracy", 0.1, 0.1)])
    assert said.startswith("A. Nothing changed by more than its noise.")


def test_another_judge_is_named_and_so_are_seeds() -> None:
    said = compared("A", [change("win_rate", 0.2, 0.01, "gpt-4.1", 5, "seeds")])
    assert "win rate by gpt-4.1 1 to 1.20 (+0.20, standard error 0.01 over 5 seeds)" in said


def test_figures_without_an_interval_are_told_without_a_verdict() -> None:
    """And counts that cannot be good or bad are not told at all."""
    said = compared("A", [change("accuracy", 0.5, None), change("battles", 3, None)])
    assert said == "A. Changed, but nothing tells by how much it may be off: accuracy 1 to 1.50 (+0.50)."


def test_of_many_a_few_are_told_and_the_rest_are_counted() -> None:
    said = compared("A", [change(f"accuracy of {n}", 1, 0.1) for n in range(NAMED["better"] + 2)])
    assert said.count("accuracy") == NAMED["better"] and said.endswith(" and 2 more.")


def test_figures_of_one_name_are_told_apart_by_their_source() -> None:
    other = Change(Key("labelled_pairs", "accuracy"), 0.5, 0.7, Difference(0.2, 0.01, 0.18, 0.22))
    said = compared("A", [change("accuracy", 1, 0.1), other, change("true_score", 1, 0.1)])
    assert "accuracy of evaluation 1 to 2" in said and "accuracy of labelled pairs 0.50 to 0.70" in said
    assert "true score 1 to 2" in said


def test_of_nothing_nothing_is_said() -> None:
    assert compared("A", []) == ""


@given(st.floats(-5, 5), st.floats(0.01, 5), st.sampled_from(["accuracy", "characters"]))
def test_nothing_within_noise_is_ever_called_better_or_worse(value: float, error: float, name: str) -> None:
    said = compared("A", [change(name, value, error)])
    told = bool(re.search("Better|Worse|Changed by more", said))
    assert told == (abs(value) > 2 * error)


def test_without_truth_figures_are_told_and_no_improvement() -> None:
    first = {"with a score": "98%", "reliability": "0.94", "mean score": "-"}
    last = {"with a score": "99%", "reliability": "0.97", "mean score": "3.4"}
    said = without_truth(first, last, ("1", "4"))
    assert said.startswith("From iteration 1 to 4: with a score 98% to 99%; reliability 0.94 to 0.97. These")
    assert "none of them says whether a model got better" in said
    assert without_truth(first, last, ("1", "1")).startswith("In iteration 1: with a score 99%")
    no_score = without_truth({"with a score": "98%"}, {}, ("1", "2"))
    assert no_score.startswith("In iteration 2: with a score -. These are the run's own figures"), "none is of both"
    assert without_truth({}, {}, ("1", "1")) == "Nothing is known of this run yet."
