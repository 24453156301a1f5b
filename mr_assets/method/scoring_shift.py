"""How a judge's scores move while it is trained, on responses that stay the same (Figure 5).

Every model judges the seed model's responses to held-out prompts, so that a change is the judge's, not the responses'.
Of a model's judge, with 95% bootstrap intervals over prompts:

    mean_score, sd_score        of the responses' mean scores, whose density Figure 5 draws
    top_share, entropy          saturation: the share of single scores that are the highest; their entropy, bits
    shift_previous, shift_seed  mean score less that by the model before, and by the seed model
    tau_previous, tau_seed      whether it ranks the responses of a prompt as those models do: Kendall's tau-b
    tau_halves                  the same between two halves of its own judgments: what sampling alone takes from 1
    tied_prompts                the share of prompts to whose responses it gives equal means

tau with the model before is the consistency of CREAM (Wang et al. 2024, arXiv 2410.12735), which ranks the responses of
the current policy by the reward model of this iteration and of the one before. There rewards are log-likelihoods; here
they are the judge's mean scores, and the responses are the seed model's. Equal means rank nothing: tau is 0, so that a
judge which says 5 of everything agrees with nobody.

Where a world knows the truth:

    reward_error                mean score less true score: above 0 responses are over-rewarded
    over_share, under_share     of single scores, those above and below the true one
    exact_share                 those that are the true one
    tau_truth                   whether it ranks the responses of a prompt as the truth does
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.method import DECIMALS, Frame
from mr_assets.method.bootstrap import bootstrap
from mr_assets.method.numbers import Numbers, counted
from mr_assets.tables import SCORING_SHIFT

POINTS = 201
"""Of the grid over the scale on which densities are estimated."""

Floats = NDArray[np.float64]
Drawn = NDArray[np.intp]


def scoring_shift(responses: Frame, own: Frame, previous: Frame | None, seed: Frame) -> pl.DataFrame:
    """What a judge gives to each response, beside what the model before and the seed model gave: `SCORING_SHIFT`.

    responses: response_id, prompt_id, true_score; own, previous, seed: response_id, n, score of their judgments.
    Responses that were not judged, as they are duplicates or too long, are not among them.
    """
    score = pl.col("score")
    scores = own.lazy().sort("response_id", "n").group_by("response_id").agg(scores=score.drop_nulls())
    found = responses.lazy().select("response_id", "prompt_id", "true_score").join(scores, on="response_id")
    for name, judged in (("mean", own), ("mean_previous", previous), ("mean_seed", seed)):
        if judged is None:
            found = found.with_columns(pl.lit(None, pl.Float64).alias(name))
        else:
            means = judged.lazy().group_by("response_id").agg(score.mean().round(DECIMALS).alias(name))
            found = found.join(means, on="response_id", how="left")
    return found.select(list(SCORING_SHIFT.columns)).sort("response_id").collect()


def scoring_shift_numbers(
    shift: Frame, scoring: Scoring = PAPERS_SCORING, only: Collection[str] | None = None
) -> Numbers:
    """The figures above, or those of them that are named, each with X_low and X_high.

    shift: rows of `SCORING_SHIFT`. A figure that the rows have no model before, or no truth, for is not among them.
    """
    rows = shift.lazy().collect().with_columns(given=pl.col("scores").list.eval(counted(pl.element(), scoring)))
    prompts = [group for _, group in rows.group_by("prompt_id", maintain_order=True)]
    numbers: Numbers = {"prompts": len(prompts), "responses": rows.height}
    statistics = _statistics(rows, prompts, scoring)
    for name, statistic in ((n, of) for n, of in statistics.items() if only is None or n in only):
        value = statistic(np.arange(len(prompts))) if prompts else float("nan")
        low, high = bootstrap(statistic, len(prompts)) if np.isfinite(value) else (value, value)
        numbers |= {each: _known(x) for each, x in ((name, value), (f"{name}_low", low), (f"{name}_high", high))}
    return numbers


def grid(scoring: Scoring = PAPERS_SCORING) -> Floats:
    """The places on the scale at which densities are estimated."""
    return np.linspace(scoring.lowest, scoring.highest, POINTS)


def density(means: pl.Series, scoring: Scoring = PAPERS_SCORING) -> Floats:
    """The Gaussian kernel density of mean scores on the `grid` (Figure 5); NaN where all are equal.

    The bandwidth is Scott's. What lies beyond the ends of the scale is cut off, so that the area may be below 1.
    """
    from scipy.stats import gaussian_kde

    given = means.drop_nulls().to_numpy()
    if len(given) < 2 or np.ptp(given) < 1e-9:
        return np.full(POINTS, np.nan)
    found: Floats = gaussian_kde(given)(grid(scoring))
    return found


def rank_agreement(left: Sequence[float | None], right: Sequence[float | None]) -> float:
    """Kendall's tau-b of two rankings of the same responses; 0 where one of them has ties alone; NaN of fewer than two.

    What has no score by either is not ranked.
    """
    from scipy.stats import kendalltau

    both = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if len(both) < 2:
        return float("nan")
    a, b = zip(*both, strict=True)
    return 0.0 if len(set(a)) == 1 or len(set(b)) == 1 else float(kendalltau(a, b).statistic)


def _statistics(
    rows: pl.DataFrame, prompts: Sequence[pl.DataFrame], scoring: Scoring
) -> Mapping[str, Callable[[Drawn], float]]:
    """The figures as functions of the prompts drawn, in the order that they are shown in."""
    has_previous, has_truth = (rows[name].count() > 0 for name in ("mean_previous", "true_score"))
    single = [np.array(group["given"].explode().drop_nulls().to_list(), float) for group in prompts]
    values = np.unique(np.concatenate([*single, np.empty(0)]))
    counts = np.array([[(scores == value).sum() for value in values] for scores in single], float)
    statistics = {
        "mean_score": _mean([group["mean"].drop_nulls().to_numpy() for group in prompts]),
        "sd_score": _sd([group["mean"].drop_nulls().to_numpy() for group in prompts]),
        "top_share": _mean([scores == scoring.highest for scores in single]),
        "entropy": lambda drawn: _entropy(counts[drawn].sum(axis=0)),
    }
    if has_previous:
        statistics["shift_previous"] = _mean([_difference(group, "mean_previous") for group in prompts])
    statistics["shift_seed"] = _mean([_difference(group, "mean_seed") for group in prompts])
    if has_previous:
        statistics["tau_previous"] = _taus(prompts, "mean_previous")
    statistics["tau_seed"] = _taus(prompts, "mean_seed")
    halves = [[_half(group["scores"].to_list(), start) for start in (0, 1)] for group in prompts]
    statistics["tau_halves"] = _of_prompts([rank_agreement(*both) for both in halves])
    statistics["tied_prompts"] = _of_prompts([_tied(group["mean"]) for group in prompts])
    if has_truth:
        true = [group.explode("given").drop_nulls(["given", "true_score"]) for group in prompts]
        signs = [(group["given"] - group["true_score"]).sign().to_numpy() for group in true]
        statistics["reward_error"] = _mean([_difference(group, "true_score") for group in prompts])
        statistics["over_share"] = _mean([sign > 0 for sign in signs])
        statistics["under_share"] = _mean([sign < 0 for sign in signs])
        statistics["exact_share"] = _mean([sign == 0 for sign in signs])
        ranked = [group if group["true_score"].n_unique() > 1 else group.clear() for group in prompts]
        statistics["tau_truth"] = _taus(ranked, "true_score")
    return statistics


def _mean(groups: Sequence[NDArray[np.generic]]) -> Callable[[Drawn], float]:
    """The mean over all values of the groups drawn."""
    sums, counts = np.array([group.sum() for group in groups], float), np.array([len(group) for group in groups], float)
    return lambda drawn: _ratio(sums[drawn].sum(), counts[drawn].sum())


def _sd(groups: Sequence[Floats]) -> Callable[[Drawn], float]:
    """The standard deviation of all values of the groups drawn, ddof 0."""
    mean, square = _mean(groups), _mean([group**2 for group in groups])
    return lambda drawn: float(np.sqrt(np.maximum(0.0, square(drawn) - mean(drawn) ** 2)))


def _of_prompts(values: Sequence[float]) -> Callable[[Drawn], float]:
    """The mean of a value of each prompt drawn; one that is NaN does not count."""
    return _mean([np.array([] if np.isnan(value) else [value], float) for value in values])


def _taus(prompts: Sequence[pl.DataFrame], other: str) -> Callable[[Drawn], float]:
    return _of_prompts([rank_agreement(group["mean"].to_list(), group[other].to_list()) for group in prompts])


def _difference(group: pl.DataFrame, other: str) -> Floats:
    """Mean scores less another column, where both are known."""
    return (group["mean"] - group[other]).drop_nulls().to_numpy()


def _half(scores: Sequence[Sequence[float]], start: int) -> list[float | None]:
    """The mean of every other score of each response, from place `start` on."""
    return [float(np.mean(each[start::2])) if each[start::2] else None for each in scores]


def _tied(means: pl.Series) -> float:
    """1 if a prompt's mean scores are all equal, else 0; NaN of fewer than two."""
    given = means.drop_nulls()
    return float(given.n_unique() == 1) if len(given) > 1 else float("nan")


def _entropy(counts: Floats) -> float:
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return max(0.0, float(-(shares * np.log2(shares)).sum())) if len(shares) else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
