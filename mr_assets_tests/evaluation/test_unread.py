"""Why there is no verdict: told of an answer, counted, and said."""

import pytest

from mr_assets.evaluation.client import Answer
from mr_assets.evaluation.unread import Reason, count, count_of_names, told, unread


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(None, refused="content policy"), "refused"),
        (Answer("I would say that", "length"), "cut_off"),
        (Answer("", "length"), "cut_off"),
        (Answer("Both are good.", "stop"), "unreadable"),
        (Answer("Both are good."), "unreadable"),  # the server does not say how it ended
    ],
)
def test_why_an_answer_has_no_verdict(answer: Answer, reason: Reason) -> None:
    assert unread(answer) == reason


def test_reasons_are_counted_each_and_those_of_other_tools_are_unreadable() -> None:
    """What has a verdict (None) is not counted."""
    assert count(["cut_off", "refused", None, None]) == {"refused": 1, "cut_off": 1, "unreadable": 0}
    assert count(["odd", "unreadable", "cut_off", None]) == {"refused": 0, "cut_off": 1, "unreadable": 2}
    assert count([]) == {"refused": 0, "cut_off": 0, "unreadable": 0}


def test_an_answer_of_one_token_is_never_cut_off() -> None:
    """It ends at its limit, which is one token, whether it is a name or none."""
    answers = [Answer("M", "length"), Answer("x", "length"), Answer(None, refused="content policy")]
    assert count_of_names(answers) == {"refused": 1, "cut_off": 0, "unreadable": 2}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"refused": 1, "cut_off": 1, "unreadable": 0}, "1 refused by the server, 1 cut off at max_tokens"),
        ({"unreadable": 1200, "refused": 3}, "3 refused by the server, 1,200 ended without one"),
        ({"refused": 0, "cut_off": 0, "unreadable": 0}, ""),
        ({}, ""),
    ],
)
def test_counts_as_a_person_reads_them(counts: dict[str, int], said: str) -> None:
    """Always in the same order, and without what does not occur."""
    assert told(counts) == said
