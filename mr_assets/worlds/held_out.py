"""How good a model of the small world truly is, as actor, judge and meta-judge, on a fixed held-out set.

The set is the same for every model: prompts for the actor; responses of known worth for the judge, so that a drift of
the judge is not confounded with better answers; pairs of judgments of which one is nearer to the truth for the
meta-judge, each in both orders. All are about held-out prompts, which neither the seed prompts nor the EFT data of any
run has (`letters.is_held_out`). The seed model that ships, like any pretrained model, has seen prompts of every kind.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from mr_assets.ids import prompt_id, response_id
from mr_assets.tables import HUMAN_AGREEMENT
from mr_assets.worlds import letters


@dataclass(frozen=True)
class HeldOut:
    """The held-out set: `prompts` for the actor, `responses` to judge, `pairs` of judgments to compare."""

    prompts: int
    responses: int
    pairs: int

    @cached_property
    def questions(self) -> list[str]:
        """Prompts for the actor."""
        return letters.make_prompts(self.prompts, seed="held out", held_out=True)

    @cached_property
    def graded(self) -> list[tuple[str, str, int]]:
        """(prompt, response, true score), the scores evenly spread over 0 to 5."""
        rng = random.Random("held-out responses")
        questions = [letters.held_out_prompt(rng) for _ in range(self.responses)]
        return [(q, letters.graded_response(q, i % 6, rng), i % 6) for i, q in enumerate(questions)]

    @cached_property
    def battles(self) -> list[tuple[str, str, str, str, str]]:
        """(prompt, response, judgment shown first, judgment shown second, which is nearer to the truth).

        Each pair of judgments stands in it twice, in both orders.
        """
        rng = random.Random("held-out battles")
        found: list[tuple[str, str, str, str, str]] = []
        while len(found) < 2 * self.pairs:
            question, true = letters.held_out_prompt(rng), rng.randint(0, 5)
            response = letters.graded_response(question, true, rng)
            scores = rng.randint(0, 5), rng.randint(0, 5)
            texts = [letters.judgment_text(question, response, s, rng) for s in scores]
            winner = letters.better_judgment(true, *scores)
            if winner is not None:
                found.append((question, response, texts[0], texts[1], "first" if winner == "A" else "second"))
                found.append((question, response, texts[1], texts[0], "second" if winner == "A" else "first"))
        return found


def ranked(prompts: int) -> pl.DataFrame:
    """Held-out prompts with three responses each, of different worth: response_id, prompt, response, rank.

    rank: how far the true score is from 5, so that 0 is the best.
    """
    rng = random.Random("held-out ranks")
    rows = [
        (response_id("held_out", prompt_id(q), k), q, letters.graded_response(q, true, rng), 5 - true)
        for q in letters.make_prompts(prompts, seed="held-out ranks", held_out=True)
        for k, true in enumerate(rng.sample(range(6), 3))
    ]
    names = ("response_id", "prompt", "response", "rank")
    return pl.DataFrame(rows, schema={name: HUMAN_AGREEMENT.schema[name] for name in names}, orient="row")


def labelled(pairs: int) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) of `pairs` held-out prompts; the chosen response has the higher true score."""
    rng = random.Random("held-out pairs")
    found = []
    for question in letters.make_prompts(pairs, seed="held-out pairs", held_out=True):
        worse, better = sorted(rng.sample(range(6), 2))
        chosen, rejected = (letters.graded_response(question, true, rng) for true in (better, worse))
        found.append((question, chosen, rejected))
    return found


def actor_numbers(held_out: HeldOut, answers: list[list[str]]) -> dict[str, float]:
    """answers: per question the sampled texts. True score (0 to 5), accuracy, length in characters."""
    pairs = [(q, text) for q, texts in zip(held_out.questions, answers, strict=True) for text in texts]
    return {
        "true_score": float(np.mean([letters.true_score(q, text) for q, text in pairs])),
        "accuracy": float(np.mean([letters.correct(q, text) for q, text in pairs])),
        "characters": float(np.mean([len(text) for _, text in pairs])),
    }


def judge_numbers(
    held_out: HeldOut, scores: Sequence[Sequence[float | None]], *, expected: bool = False
) -> dict[str, float]:
    """scores: per graded response those of its judgments, None for an invalid one.

    judge_exact: share of single judgments whose score is the true one (an invalid one is not; of expectations the
    nearest whole number counts); judge_spearman: rank correlation of the mean valid score with the truth.
    """
    from scipy.stats import spearmanr

    truth = [true for _, _, true in held_out.graded]
    counted = [[s if s is None or not expected else round(s) for s in per] for per in scores]
    exact = [s == true for per, true in zip(counted, truth, strict=True) for s in per]
    valid = [(true, [s for s in per if s is not None]) for per, true in zip(scores, truth, strict=True)]
    means = [(true, float(np.mean(per))) for true, per in valid if per]
    rank = spearmanr([m for _, m in means], [t for t, _ in means]).statistic if len(means) > 1 else float("nan")
    return {"judge_exact": float(np.mean(exact)), "judge_spearman": float(rank)}


def meta_judge_numbers(held_out: HeldOut, winners: Sequence[str | None]) -> dict[str, float]:
    """winners: "first" or "second" per battle, None for an invalid verdict.

    meta_accuracy: share of battles won by the judgment nearer to the truth (an invalid verdict is no win);
    meta_first: share of decisive verdicts for the first position, 0.5 without bias since each pair is shown both ways.
    """
    right = [w == b[4] for w, b in zip(winners, held_out.battles, strict=True)]
    decisive = [w == "first" for w in winners if w is not None]
    return {
        "meta_accuracy": float(np.mean(right)),
        "meta_first": float(np.mean(decisive)) if decisive else float("nan"),
    }
