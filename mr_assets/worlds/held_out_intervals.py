"""How far the figures of `mr_assets.worlds.held_out` may be off, had other held-out prompts been asked.

    {"true_score_low": 2.41, "true_score_high": 2.73, "judge_exact_low": 0.55, ...}

The same prompts are asked of every model: the difference of two models is known better than these intervals say. So the
figures are kept by question, too, by which two models are compared question by question.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mr_assets.method.bootstrap import bootstrap, mean_interval
from mr_assets.worlds import letters
from mr_assets.worlds.held_out import HeldOut


def held_out_intervals(
    held_out: HeldOut, scores: Sequence[Sequence[float | None]], values: Mapping[str, Sequence[Sequence[float]]]
) -> dict[str, float]:
    """The 95% bootstrap interval of each figure, by its name with _low and _high; values: of `values_by_question`.

    Drawn with replacement are prompts (of the actor), graded responses (of the judge) and pairs of judgments, each with
    its battles in both orders (of the meta-judge).
    """
    judged = list(zip((true for _, _, true in held_out.graded), scores, strict=True))
    means = [(float(np.mean(each)), float(true)) for true, per in judged if (each := _valid(per))]
    found = {name: mean_interval(each) for name, each in values.items()} | {"judge_spearman": _rank_correlation(means)}
    lows = {f"{name}_low": low for name, (low, _) in found.items()}
    return lows | {f"{name}_high": high for name, (_, high) in found.items()}


def by_question(values: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, list[float]]:
    """The optional columns of `EVALUATION`, of `values_by_question`: of each question, in the order asked, the mean.

    The questions are as in `held_out_intervals`. A figure is there if it is the mean of these: not the rank
    correlation, nor the share of the first position, as some pairs of battles have no winner.
    """
    kept = {name: groups for name, groups in values.items() if name != "meta_first"}
    return {f"{name}_each": [float(np.mean(each)) for each in groups] for name, groups in kept.items()}


def values_by_question(
    held_out: HeldOut,
    answers: Sequence[Sequence[str]],
    scores: Sequence[Sequence[float | None]],
    winners: Sequence[str | None],
    *,
    expected: bool = False,
) -> dict[str, list[list[float]]]:
    """Of each figure but the rank correlation the values, a list for each question: what the two others rest on."""
    said = list(zip(held_out.questions, answers, strict=True))
    judged = zip((true for _, _, true in held_out.graded), scores, strict=True)
    fought = list(zip(winners, (right for *_, right in held_out.battles), strict=True))
    bouts = [fought[n : n + 2] for n in range(0, len(fought), 2)]
    return {
        "true_score": [[float(letters.true_score(q, text)) for text in texts] for q, texts in said],
        "accuracy": [[float(letters.correct(q, text)) for text in texts] for q, texts in said],
        "characters": [[float(len(text)) for text in texts] for _, texts in said],
        "judge_exact": [
            [float(s is not None and (round(s) if expected else s) == true) for s in per] for true, per in judged
        ],
        "meta_accuracy": [[float(winner == right) for winner, right in bout] for bout in bouts],
        "meta_first": [[float(w == "first") for w, _ in bout if w is not None] for bout in bouts],
    }


def _valid(scores: Sequence[float | None]) -> list[float]:
    return [score for score in scores if score is not None]


def _rank_correlation(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of Spearman's correlation of two columns; a draw in which one is the same throughout does not count."""
    from scipy.stats import rankdata

    columns = np.array(rows).reshape(-1, 2)

    def correlation(drawn: NDArray[np.intp]) -> float:
        ranks = rankdata(columns[drawn], axis=0)
        return float("nan") if np.ptp(ranks, axis=0).min() == 0 else float(np.corrcoef(ranks.T)[0, 1])

    return bootstrap(correlation, len(rows))
