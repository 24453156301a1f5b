"""Why an answer of a judge has no verdict: what stands beside it in the files, is counted, and is said.

unread(Answer("I would say that", finish_reason="length"))     "cut_off"
count(["cut_off", "refused", None, None])                      {"refused": 1, "cut_off": 1, "unreadable": 0}
told({"refused": 1, "cut_off": 1, "unreadable": 0})            "1 refused by the server, 1 cut off at max_tokens"
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from mr_assets.evaluation.client import Answer

Reason = Literal["refused", "cut_off", "unreadable"]
WORDS: dict[Reason, str] = {
    "refused": "refused by the server",
    "cut_off": "cut off at max_tokens",
    "unreadable": "ended without one",
}
KEY = "without"
"""Of the reason in the lines of a judge's files; the official tools pass over it."""


def unread(answer: Answer) -> Reason:
    """Why there is no verdict in an answer, given that there is none."""
    if answer.text is None:
        return "refused"
    return "cut_off" if answer.finish_reason == "length" else "unreadable"


def count(reasons: Iterable[str | None]) -> dict[str, int]:
    """How many there are of each reason; what is none of them, as in files of the official tools, is unreadable."""
    found = [None if reason is None else reason if reason in WORDS else "unreadable" for reason in reasons]
    return {reason: found.count(reason) for reason in WORDS}


def count_of_names(answers: Iterable[Answer]) -> dict[str, int]:
    """The same of answers that name none and should have been one token: such a one is never cut off."""
    return count("refused" if answer.text is None else "unreadable" for answer in answers)


def told(counts: Mapping[str, int]) -> str:
    """Counts as a person reads them, those of none left out; "" if there are none."""
    return ", ".join(f"{counts[reason]:,} {words}" for reason, words in WORDS.items() if counts.get(reason))
