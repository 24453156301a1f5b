"""How often a model's judge agrees with a strong judge on pairs of the seed model's responses (section 4.2, Table 3).

Two settings, each of at most one pair of responses per prompt:

    strong_chosen    the first two responses. The strong judge compares them in both orders; where it prefers the same
                     one twice, the pair is kept, else dropped. Does the model's judge score that one higher?
    self_chosen      the responses that the model's judge scored highest and lowest, of all. Does the strong judge
                     prefer the first of these in both orders?

Agreement counts ties as 0.5; without ties they are left out. A tie is equal mean scores, or, of self-chosen pairs, a
strong judge that changes its mind with the order (the paper does not say; that many of its self-chosen pairs are ties,
and few of the others, fits). A response none of whose judgments has a score cannot be told from any other: a tie.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mr_assets.method.agreement import WORTH, verdict
from mr_assets.method.bootstrap import mean_interval

STRONG_CHOSEN, SELF_CHOSEN = "strong_chosen", "self_chosen"
AGREEMENT = ("agreement", "agreement_without_ties")
FIGURES = tuple(f"{setting}_{figure}" for setting in (STRONG_CHOSEN, SELF_CHOSEN) for figure in AGREEMENT)
"""The names of the figures of a model."""
Mean = float | None
"""A response's mean score; None if no judgment has one."""


class Pair(NamedTuple):
    """Two responses to a prompt, by their places: the one that a judge prefers, or would show first, and the other."""

    prompt: int
    first: int
    second: int


def first_two(responses: Sequence[Sequence[str]]) -> list[Pair]:
    """Of each prompt the first response, and the first after it with another text; none where all say the same."""
    found = []
    for prompt, texts in enumerate(responses):
        other = next((i for i, text in enumerate(texts) if text != texts[0]), None)
        found += [] if other is None else [Pair(prompt, 0, other)]
    return found


def highest_and_lowest(responses: Sequence[Sequence[str]], means: Sequence[Sequence[Mean]]) -> list[Pair | int]:
    """Of each prompt the response with the highest mean score and that with the lowest, the earliest of equal ones.

    A prompt whose responses have no two different mean scores, or the same text, has no pair but its own number: it is
    a tie.
    """
    found: list[Pair | int] = []
    for prompt, (texts, each) in enumerate(zip(responses, means, strict=True)):
        known = [(mean, i) for i, mean in enumerate(each) if mean is not None]
        if not known or len({mean for mean, _ in known}) < 2:
            found.append(prompt)
            continue
        high, low = max(known, key=lambda m: (m[0], -m[1]))[1], min(known)[1]
        found.append(Pair(prompt, high, low) if texts[high] != texts[low] else prompt)
    return found


def in_both_orders(first_shown_first: bool | None, first_shown_second: bool | None) -> bool | None:
    """Whether the strong judge prefers the first response in both orders: True, the second: False; None if neither.

    Each is whether it preferred the pair's first response, in one order; None where it gave no verdict.
    """
    return first_shown_first if first_shown_first == first_shown_second else None


def agreements(pairs: Sequence[tuple[Mean, Mean]]) -> list[float]:
    """1, 0.5 for a tie, or 0 of each pair: whether the mean score of the preferred response, the first, is higher."""
    return [WORTH[verdict(first, second)] for first, second in pairs]


def agreement_numbers(name: str, agreed: Sequence[float]) -> dict[str, float | int | None]:
    """In percent, with 95% bootstrap intervals over prompts: NAME_agreement, and NAME_agreement_without_ties.

    agreed: 1, 0.5 or 0 of one pair per prompt. NAME_pairs and NAME_ties count them; a figure of no pair is None.
    """
    decided = [value for value in agreed if value != 0.5]
    found: dict[str, float | int | None] = {}
    for figure, values in zip(AGREEMENT, (agreed, decided), strict=True):
        low, high = mean_interval([[value] for value in values])
        for end, value in {"": float(np.mean(values or [np.nan])), "_low": low, "_high": high}.items():
            found[f"{name}_{figure}{end}"] = 100 * value if values else None
    return found | {f"{name}_pairs": len(agreed), f"{name}_ties": len(agreed) - len(decided)}
