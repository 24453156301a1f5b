"""Human agreement: whether the judge ranks replies as people did (Table 7).

    people's ranks 0, 1, 2    the judge's means 4, 5, 2
    pairs (0, 1) wrong, (0, 2) right, (1, 2) right     agreement 2/3, kappa 1/3, Spearman 0.5

A pair counts where people rank its two replies apart. The judge is right if the better one has the higher mean score
(`mr_assets.method.agreement`).

Over- and under-reward, as far as ranks tell it: a reply is over-ranked if the judge's means put it above its place by
people's ranks among the replies to its prompt, under-ranked if below. Equal ones share the mean of their places. In the
example the judge's places are 2, 1, 3 for people's 1, 2, 3: one of three is over-ranked, one under-ranked.
"""

import polars as pl

from mr_assets.method.agreement import (
    WORTH,
    kappa,
    mean_score,
    parse_rate,
    share_numbers,
    share_of_ties,
    share_right,
    share_right_of_decided,
    verdict,
    with_interval,
)

SHARES = {
    "agreement": share_right,
    "agreement_without_ties": share_right_of_decided,
    "kappa": kappa,
    "ties": share_of_ties,
}
PLACED = {"over_ranked": -1, "under_ranked": 1, "same_rank": 0}
"""Figures of replies by where the judge puts them, and the sign of its place less people's; place 1 is the best."""
OF_PROMPTS = ("spearman", *PLACED)
"""Figures that are the mean over prompts of what `by_prompt` gives."""


def with_agreement(replies: pl.DataFrame) -> pl.DataFrame:
    """The replies with their mean, and with the figures of their prompt: agreement and `OF_PROMPTS`; null without one.

    replies: prompt_id, rank (0 is the best), scores (null where the judge could not be asked).
    """
    means = [None if scores is None else mean_score(scores) for scores in replies["scores"].to_list()]
    judged = replies.with_columns(mean=pl.Series(means, dtype=pl.Float64))
    asked = judged.filter(pl.col("scores").is_not_null())
    pairs = ranked_pairs(asked).with_columns(agreement=pl.col("verdict").replace_strict(WORTH, return_dtype=pl.Float64))
    of_prompt = pairs.group_by("prompt_id").agg(pl.col("agreement").mean())
    for found in (of_prompt, by_prompt(asked)):
        judged = judged.join(found, on="prompt_id", how="left", maintain_order="left")
    return judged


def ranked_pairs(replies: pl.DataFrame) -> pl.DataFrame:
    """Every pair of replies to a prompt that people rank apart: prompt_id, better, worse (their means), verdict.

    replies: prompt_id, rank (0 is the best), mean (null without a valid score).
    """
    numbered = replies.select("prompt_id", "rank", "mean")
    pairs = numbered.join(numbered, on="prompt_id", suffix="_worse", maintain_order="left_right")
    apart = pairs.filter(pl.col("rank") < pl.col("rank_worse"))
    verdicts = [verdict(*means) for means in apart.select("mean", "mean_worse").iter_rows()]
    return apart.select("prompt_id", better="mean", worse="mean_worse", verdict=pl.Series(verdicts, dtype=pl.String))


def rank_correlations(replies: pl.DataFrame) -> pl.DataFrame:
    """Spearman's correlation of the judge's means with people's ranks, of each prompt: columns prompt_id, spearman.

    replies: as `ranked_pairs` takes them. Of replies with a mean; where all have the same one, or fewer than two have
    one, the judge ranks nothing, and the correlation counts as 0. Prompts that people do not rank are left out.
    """
    best_first = -pl.col("rank").cast(pl.Float64).filter(pl.col("mean").is_not_null())
    spearman = pl.corr(best_first, pl.col("mean").drop_nulls(), method="spearman")
    found = replies.group_by("prompt_id").agg(ranks=pl.col("rank").n_unique(), spearman=spearman)
    ranked = found.filter(pl.col("ranks") > 1).sort("prompt_id")
    return ranked.select("prompt_id", pl.col("spearman").fill_nan(None).fill_null(0.0))


def placements(replies: pl.DataFrame) -> pl.DataFrame:
    """Where the judge puts the replies to each prompt: prompt_id and `PLACED`, shares of the prompt's replies.

    replies: as `ranked_pairs` takes them. Of replies with a mean, among which people's places are counted, too; prompts
    with fewer than two of them, or whose replies people do not rank apart, are left out.
    """
    placed = replies.filter(pl.col("mean").is_not_null()).with_columns(
        people=pl.col("rank").rank("average").over("prompt_id"),
        judge=pl.col("mean").rank("average", descending=True).over("prompt_id"),
    )
    sign = (pl.col("judge") - pl.col("people")).sign()
    shares = {name: (sign == wanted).mean() for name, wanted in PLACED.items()}
    found = placed.group_by("prompt_id").agg(ranks=pl.col("rank").n_unique(), **shares)
    return found.filter(pl.col("ranks") > 1).drop("ranks").sort("prompt_id")


def by_prompt(replies: pl.DataFrame) -> pl.DataFrame:
    """prompt_id and `OF_PROMPTS` of every prompt that people rank, null where fewer than two replies have a mean."""
    return rank_correlations(replies).join(placements(replies), on="prompt_id", how="left", maintain_order="left")


def agreement_numbers(replies: pl.DataFrame) -> dict[str, float]:
    """The figures of Table 7, kappa, `PLACED` and the share of judgments with a score, each with X_low and X_high.

    Beside them what they rest on: prompts, replies and pairs. replies: as `with_agreement` gives them. One that the
    judge could not be asked about counts in ``too_long`` alone.
    """
    asked = replies.filter(pl.col("scores").is_not_null())
    pairs = ranked_pairs(asked)
    prompts = by_prompt(asked)
    return {
        "prompts": prompts.height,
        "replies": asked.height,
        "pairs": pairs.height,
        "too_long": replies.height - asked.height,
        "without_score": asked["mean"].null_count(),
        **parse_rate(asked.select("prompt_id", score="scores"), "prompt_id"),
        **share_numbers(pairs["verdict"].to_list(), pairs["prompt_id"], SHARES),
        **{k: v for name in OF_PROMPTS for k, v in _mean_of_prompts(name, prompts[name]).items()},
    }


def _mean_of_prompts(name: str, values: pl.Series) -> dict[str, float]:
    known = values.drop_nulls().to_numpy()
    return with_interval(name, lambda drawn: float(known[drawn].mean()), len(known))
