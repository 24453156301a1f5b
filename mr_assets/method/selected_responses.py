"""Variance-selected responses: per prompt the response about which the judge is least certain (section 2.2).

scores 4, 4, 4: variance 0          never selected
scores 3, 5:    variance 1          (ddof 0)
scores 1, 3, 5: variance 8/3        selected
"""

import polars as pl

from mr_assets.method import Frame
from mr_assets.method.dropped import dropped, gathered
from mr_assets.method.judgments import response_scores
from mr_assets.method.ties import first_of_each
from mr_assets.tables import SELECTED_RESPONSES, Selected


def select_responses(responses: Frame, judgments: Frame, *, seed: int | str) -> Selected:
    """Per prompt the response with the highest score variance: `SELECTED_RESPONSES`, sorted by response_id.

    A variance needs two valid judgments and must be above 0; equal ones are drawn by `seed`. Dropped are all other
    responses (by response_id), and by prompt_id the prompts where none could be selected.
    """
    needed = response_scores(responses, judgments).select("response_id", "prompt_id", "judgments", "valid", "variance")
    scores = needed.collect(engine="streaming")
    varied, variance = scores.filter(pl.col("variance") > 0), pl.col("variance")
    best = first_of_each(varied, "prompt_id", "response_id", f"selected|{seed}", -variance)
    best = best.select("prompt_id", selected_id="response_id", selected_variance="variance")
    ranked = scores.join(best, on="prompt_id", how="left")
    is_selected = pl.col("response_id") == pl.col("selected_id")
    rows = ranked.filter(is_selected).select("prompt_id", "response_id", pl.col("variance").alias("score_variance"))
    losers = ranked.filter(is_selected.fill_null(False).not_())
    numbers = ["judgments", "valid", "variance", "selected_id", "selected_variance"]
    empty_handed = (
        ranked.filter(pl.col("selected_id").is_null())
        .group_by("prompt_id")
        .agg(
            pl.len().cast(pl.Int64).alias("responses"),
            (pl.col("valid") > 0).sum().cast(pl.Int64).alias("scored"),
            pl.col("variance").count().cast(pl.Int64).alias("with_variance"),
        )
    )
    no_response = (
        pl.when(pl.col("scored") == 0)
        .then(pl.lit("no_valid_judgment"))
        .when(pl.col("with_variance") == 0)
        .then(pl.lit("too_few_valid_judgments"))
        .otherwise(pl.lit("zero_variance"))
    )
    return Selected(
        rows.sort("response_id").select(list(SELECTED_RESPONSES.schema)),
        gathered(
            dropped(losers, "response_id", _reason(), numbers),
            dropped(empty_handed, "prompt_id", no_response, ["responses", "scored", "with_variance"]),
        ),
    )


def _reason() -> pl.Expr:
    """Why a response was not selected."""
    return (
        pl.when(pl.col("judgments") == 0)
        .then(pl.lit("not_judged"))
        .when(pl.col("valid") == 0)
        .then(pl.lit("no_valid_judgment"))
        .when(pl.col("valid") == 1)
        .then(pl.lit("too_few_valid_judgments"))
        .when(pl.col("variance") == 0)
        .then(pl.lit("zero_variance"))
        .when(pl.col("variance") < pl.col("selected_variance"))
        .then(pl.lit("lower_variance"))
        .otherwise(pl.lit("lost_draw"))
    )
