"""The reliability of the judge's scores: how much of their variance is about the responses, and how much is noise.

    six targets, each rated four times (Shrout and Fleiss 1979, table 2)    ICC(1) 0.17, of the mean of four 0.44

No truth is asked. The N judgments of a response are compared with those of others: a judge that tells responses apart
repeats itself on one response and differs between two. One-way random effects (Shrout and Fleiss 1979, case 1), with
groups of unequal size (Searle, Casella and McCulloch 1992, chapter 3):

    MSB    between responses: sum of n_i (mean_i - mean)^2, over its degrees of freedom
    MSW    within responses: sum of (score - mean_i)^2, over its degrees of freedom
    ICC(1) = (MSB - MSW) / (MSB + (n0 - 1) MSW)
    n0     (sum of n_i - sum of n_i^2 / the judgments of its group) / degrees of freedom of MSB; n where all have n

A judge that is noise has 0; estimates of 0 lie on either side of it. The mean of N judgments has, by Spearman and
Brown, N ICC / (1 + (N - 1) ICC).

Pairs are made of responses to one prompt. A judge that scores prompts (easy ones high) and not their responses is
reliable over all responses, and its pairs are noise. So the responses of a prompt are compared with each other
(``among="prompt"``): their means are taken from the prompt's mean, and each prompt costs a degree of freedom. A group
is then a prompt, and else everything.
"""

from math import ceil
from typing import Literal, NamedTuple

import polars as pl

from mr_assets.ids import drawn_prompts
from mr_assets.method import Frame

Among = Literal["prompt", "all"]
CONFIDENCE = 0.95
LOWEST = -1.0
"""What the reliability of a mean is taken for where it is lower: an estimate of 0 has no bound below."""


class Reliability(NamedTuple):
    """How reliable scores are.

    single: ICC(1), of one judgment; at most 1, and below 0 where responses differ less than noise lets them.
    low, high: its interval (95%, by F; exact where every response has as many judgments and scores are normal).
    n: judgments per response (n0); responses: how many have a score.
    """

    single: float
    low: float
    high: float
    n: float
    responses: int

    @property
    def mean(self) -> float:
        """Of the mean of a response's judgments, by which pairs are made; `LOWEST` at least."""
        return stepped_up(self.single, self.n)

    @property
    def mean_interval(self) -> tuple[float, float]:
        """The interval of `mean`."""
        return stepped_up(self.low, self.n), stepped_up(self.high, self.n)

    def needed(self, target: float) -> int | None:
        """How many judgments per response would give their mean a reliability of `target`, from 0 to below 1.

        None if the scores are noise: then no number of them does.
        """
        if self.single <= 0:
            return None
        return max(1, ceil(target * (1 - self.single) / (self.single * (1 - target)) - 1e-9))


def stepped_up(single: float, n: float) -> float:
    """The reliability of the mean of `n` judgments of which one has `single` (Spearman and Brown)."""
    below = 1 + (n - 1) * single
    return max(n * single / below, LOWEST) if below > 1e-12 else LOWEST


def reliability(judgments: Frame, among: Among = "prompt") -> Reliability | None:
    """The reliability of the valid scores among the responses of a prompt, or among all of them.

    judgments: response_id, score (null if invalid). None where it cannot be told: no two responses are to be compared,
    no response has two valid judgments, or all scores are the same.
    """
    score, group = pl.col("score"), pl.col("prompt")
    given = judgments.lazy().select("response_id", "score").filter(score.is_not_null()).collect(engine="streaming")
    given = given.sort("response_id", "score")  # so that sums are the same to the last bit
    rows = given.group_by("response_id", maintain_order=True)
    responses = rows.agg(n=pl.len().cast(pl.Float64), mean=score.mean(), inside=((score - score.mean()) ** 2).sum())
    found = (
        responses.with_columns(prompt=drawn_prompts("response_id") if among == "prompt" else pl.lit(""))
        .with_columns(total=pl.col("n").sum().over(group))
        .with_columns(middle=(pl.col("n") * pl.col("mean")).sum().over(group) / pl.col("total"))
        .select(
            responses=pl.len(),
            groups=group.n_unique(),
            total=pl.col("n").sum(),
            inside=pl.col("inside").sum(),
            between=(pl.col("n") * (pl.col("mean") - pl.col("middle")) ** 2).sum(),
            squares=(pl.col("n") ** 2 / pl.col("total")).sum(),
        )
        .row(0, named=True)
    )
    apart, repeated = found["responses"] - found["groups"], found["total"] - found["responses"]
    if apart < 1 or repeated < 1:
        return None
    n = (found["total"] - found["squares"]) / apart
    between, inside = found["between"] / apart, found["inside"] / repeated
    if between + inside < 1e-12:
        return None
    single = _icc(between / inside, n) if inside > 1e-12 else 1.0
    low, high = _interval(between / inside, n, apart, repeated) if inside > 1e-12 else (1.0, 1.0)
    return Reliability(single, low, high, n, found["responses"])


def _icc(f: float, n: float) -> float:
    """ICC(1) of the ratio F = MSB / MSW."""
    return (f - 1) / (f + n - 1)


def _interval(f: float, n: float, apart: int, repeated: float) -> tuple[float, float]:
    """The interval of ICC(1) (Shrout and Fleiss 1979), with n0 for n."""
    from scipy.special import fdtri

    upper = (1 + CONFIDENCE) / 2
    return _icc(f / float(fdtri(apart, repeated, upper)), n), _icc(f * float(fdtri(repeated, apart, upper)), n)
