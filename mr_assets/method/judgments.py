r"""The judgments: the score that each one gives (section 2.1), and the mean and variance of a response's scores.

A score is the number after "Score:" in the judge's own completion:

    "... well organized.\n\nScore: 4"            4.0
    "**Score:** <4.75>"                          4.75
    "Score: 4/5", "score: [4] out of 5"          4.0
    "Score: 4 ... Final score: 4"                4.0
    "Score: five", "I give it a 4"               null, no_score
    "Score: 50", "-1", "4/10", "3-4", "1+1 = 2"  null, off_scale
    "Score: 4 ... Score: 5"                      null, different_scores
"""

from typing import TypeVar

import polars as pl

from mr_assets.method import DECIMALS, Frame
from mr_assets.method.claims import MARKS, agreed, any_case, compiled, label, polars_pattern, with_agreed

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)

# A number with whatever is glued to it: "4.5.6", "4th" and "4%" are not the 4 that they begin with.
_NUMBER = "[0-9]+(?:[.,][0-9]+)*[0-9A-Za-z%\u00bc\u00bd\u00be]*"
_SIGN = "[-+\u2212\u2013\u2014]"
# "/5" and "out of 5" belong to the value; so do a range, a sum or a mixed fraction, which are then refused.
_GAP = f"[ \\t{MARKS}]*"
_POINTS = f"(?:{any_case('point')}[sS]?{_GAP})?"
_OUT_OF = f"(?:/|(?:{any_case('out')}[ \\t]+)?{any_case('of')})"
_MORE = f"(?:{_SIGN}|[=|~]|{any_case('to')}|{any_case('or')})"
_CLAIM = (
    f"{label('score')}{_SIGN}?[.]?{_NUMBER}"
    f"(?:{_GAP}{_POINTS}(?:{_OUT_OF}|{_MORE}){_GAP}{_NUMBER}|[ \\t]+[0-9]+/{_NUMBER})?"
)
_ON_SCALE = f"(?:{_GAP}{_POINTS}{_OUT_OF}{_GAP}5(?:[.]0+)?)?"
_VALUE = f"^[^:]*:[^0-9.+\u2212\u2013\u2014-]*[+]?([0-9]+(?:[.][0-9]+)?|[.][0-9]+){_ON_SCALE}$"
_CLAIM_RE, _VALUE_RE = compiled(_CLAIM), compiled(_VALUE)
TOP_SCORE = 5.0
"""The highest score of the rubric (A.1)."""

_REASONS = {"none": "no_score", "unreadable": "off_scale", "different": "different_scores"}


def parse_score(text: str) -> tuple[float | None, str | None]:
    """The score in [0, 5] that a judgment gives, or None and the reason (`mr_assets.method.dropped.REASONS`).

    Total: any text has an answer. `with_scores` does the same for a column.
    """
    return agreed([_value(claim) for claim in _CLAIM_RE.findall(text)], **_REASONS)


def with_scores(judgments: F) -> F:
    """Add ``score`` and ``invalid`` to a frame with the column ``judgment``; what `parse_score` does, streaming."""
    return with_agreed(judgments, "judgment", "score", _CLAIM, _values, **_REASONS)


def response_scores(responses: Frame, judgments: Frame) -> pl.LazyFrame:
    """One row per response that is not a duplicate, sorted by response_id; lazy, so that unused columns are not read.

    Columns: response_id, prompt_id, k, judgments (sampled), valid (those with a score), mean (the reward: mean of the
    valid scores, null if there is none), variance (ddof 0, null if fewer than two are valid), chars (length of the
    response in characters), finish_reason, response. Mean and variance are rounded to `DECIMALS`.
    """
    score = pl.col("score")
    given = (
        judgments.lazy()
        .group_by("response_id")
        .agg(
            judgments=pl.len().cast(pl.Int64),
            valid=score.count().cast(pl.Int64),
            mean=score.mean().round(DECIMALS),
            variance=pl.when(score.count() >= 2).then(score.var(ddof=0).round(DECIMALS)),
        )
    )
    return (
        responses.lazy()
        .filter(pl.col("duplicate_of").is_null())
        .select("response_id", "prompt_id", "k", "finish_reason", "response")
        .join(given, on="response_id", how="left")
        .select(
            "response_id",
            "prompt_id",
            "k",
            pl.col("judgments", "valid").fill_null(0),
            "mean",
            "variance",
            pl.col("response").str.len_chars().cast(pl.Int64).alias("chars"),
            "finish_reason",
            "response",
        )
        .sort("response_id")
    )


def score_counts(judgments: Frame) -> pl.DataFrame:
    """How often each score is given: columns score and n, highest score first; invalid judgments do not count."""
    given = judgments.lazy().filter(pl.col("score").is_not_null()).group_by("score")
    return given.agg(n=pl.len().cast(pl.Int64)).sort("score", descending=True).collect(engine="streaming")


def score_entropy(counts: pl.Series) -> float:
    """Entropy in bits of a distribution given by counts: 0 if all is one value, 1 for two equally frequent ones."""
    shares = counts.filter(counts > 0) / counts.sum()
    return max(0.0, -float((shares * shares.log(2)).sum()))


def judgment_numbers(judgments: pl.DataFrame) -> dict[str, float | int | None]:
    """The figures of an iteration's judgments: columns score, invalid, chars and finish_reason."""
    score, counts = pl.col("score"), score_counts(judgments)
    figures = judgments.select(
        (score.count() / pl.len()).alias("parse rate"),
        score.mean().alias("mean score"),
        (score == TOP_SCORE).mean().alias("share of top scores"),
        pl.col("chars").mean().alias("mean characters"),
        (pl.col("finish_reason") == "length").sum().alias("cut off"),
    ).row(0, named=True)
    invalid = judgments.group_by("invalid").len().drop_nulls().sort("invalid").iter_rows()
    entropy = score_entropy(counts["n"]) if counts.height else None
    return {**figures, "score entropy": entropy, **{f"without a score: {reason}": n for reason, n in invalid}}


def _value(claim: str) -> float | None:
    match = _VALUE_RE.search(claim)
    return value if match and 0 <= (value := float(match[1])) <= 5 else None


def _values(claims: pl.Expr) -> pl.Expr:
    number = claims.str.extract(polars_pattern(_VALUE), 1).cast(pl.Float64, strict=False)
    return pl.when(number.is_between(0, 5)).then(number)
