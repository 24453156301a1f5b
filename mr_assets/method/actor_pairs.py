"""Actor pairs: per prompt a good short response and a bad long one (section 2.1, length control).

With Smax and Smin the highest and lowest mean score of the prompt's responses and rho in [0, 1]:

    top tier     [(1 - rho) Smax + rho Smin, Smax]      chosen: the shortest
    bottom tier  [Smin, (1 - rho) Smin + rho Smax]      rejected: the longest

    scores 5, 4, 2, 1 and rho = 0.25: top tier [4, 5], bottom tier [1, 2]
"""

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import pair_ids
from mr_assets.method import CutOff, Frame
from mr_assets.method.dropped import dropped, gathered
from mr_assets.method.judgments import response_scores
from mr_assets.method.responses import is_blank
from mr_assets.method.ties import first_of_each
from mr_assets.tables import ACTOR_PAIRS, Selected

# A bound is a mix of two rounded means and compared with a third: half a unit of the last decimal each, twice over.
_BOUND_NOISE = 2e-9

_PROMPT_NUMBERS = ["responses", "scored", "score_max", "score_min", "rho", "top_from", "bottom_to"]
_PAIR_NUMBERS = ["chosen_id", "chosen_score", "chosen_chars", "rejected_id", "rejected_score", "rejected_chars"]


def tiers(responses: Frame, judgments: Frame, rho: float) -> pl.DataFrame:
    """`response_scores` with the tiers that each response is in, sorted by response_id.

    Further columns: score_max and score_min (over all scored responses of the prompt, cut-off and blank ones too),
    top_from and bottom_to (the tiers' inner bounds), in_top and in_bottom (false without a score), cut_off, blank.
    Raises `UserError` if rho is not in [0, 1].
    """
    if not 0 <= rho <= 1:
        raise UserError(f"rho: expected a number from 0 to 1, received {rho}. 0 chooses by score alone.")
    mean, high, low = pl.col("mean"), pl.col("score_max"), pl.col("score_min")
    return (
        response_scores(responses, judgments)
        .collect(engine="streaming")
        .with_columns(score_max=mean.max().over("prompt_id"), score_min=mean.min().over("prompt_id"))
        .with_columns(top_from=(1 - rho) * high + rho * low, bottom_to=(1 - rho) * low + rho * high)
        .with_columns(
            in_top=(mean >= pl.col("top_from") - _BOUND_NOISE).fill_null(False),
            in_bottom=(mean <= pl.col("bottom_to") + _BOUND_NOISE).fill_null(False),
            cut_off=pl.col("finish_reason") == "length",
            blank=is_blank(pl.col("response")),
        )
    )


def actor_pairs(
    responses: Frame,
    judgments: Frame,
    *,
    rho: float,
    max_chosen_chars: int | None = None,
    seed: int | str,
    cut_off: CutOff = "never_chosen",
) -> Selected:
    """One pair per prompt where there is one: columns of `ACTOR_PAIRS`, sorted by pair_id.

    Chosen is the shortest response of the top tier that is not blank and was not cut off at max tokens (`cut_off` may
    admit those too), rejected the longest of the bottom tier; equally long ones are drawn by `seed`. A pair needs
    different texts and a chosen score above the rejected one. Then pairs whose chosen response has more than
    `max_chosen_chars` characters are dropped (A.3). Dropped are prompts without a pair (by prompt_id) and responses
    without a valid judgment (by response_id): those take no part, they are never ranked last.
    """
    found = tiers(responses, judgments, rho)
    may_be_chosen = ~pl.col("blank") if cut_off == "eligible" else ~(pl.col("blank") | pl.col("cut_off"))
    top, bottom, chars = found.filter(pl.col("in_top") & may_be_chosen), found.filter("in_bottom"), pl.col("chars")
    one = ("prompt_id", "response_id")
    chosen = _side(first_of_each(top, *one, f"actor_pairs|chosen|{seed}", chars), "chosen")
    rejected = _side(first_of_each(bottom, *one, f"actor_pairs|rejected|{seed}", -chars), "rejected")
    prompts = found.group_by("prompt_id").agg(
        pl.len().cast(pl.Int64).alias("responses"),
        pl.col("mean").count().cast(pl.Int64).alias("scored"),
        pl.col("score_max", "score_min", "top_from", "bottom_to").first(),
        pl.lit(rho, pl.Float64).alias("rho"),
        pl.lit(max_chosen_chars, pl.Int64).alias("max_chosen_chars"),
        (pl.col("in_top") & pl.col("cut_off")).sum().cast(pl.Int64).alias("cut_off_in_top"),
        (pl.col("in_top") & ~pl.col("blank")).sum().cast(pl.Int64).alias("written_in_top"),
    )
    considered = (
        prompts.join(chosen, on="prompt_id", how="left")
        .join(rejected, on="prompt_id", how="left")
        .with_columns(reason=_reason(), pair_id=pair_ids("chosen_id", "actor"))
    )
    rows = considered.filter(pl.col("reason").is_null()).select(list(ACTOR_PAIRS.schema)).sort("pair_id")
    unscored = found.filter(pl.col("mean").is_null())
    never_judged = pl.when(pl.col("judgments") == 0).then(pl.lit("not_judged")).otherwise(pl.lit("no_valid_judgment"))
    numbers = [*_PROMPT_NUMBERS, "cut_off_in_top", *_PAIR_NUMBERS, "max_chosen_chars"]
    return Selected(
        rows,
        gathered(
            dropped(considered.filter(pl.col("reason").is_not_null()), "prompt_id", pl.col("reason"), numbers),
            dropped(unscored, "response_id", never_judged, ["judgments", "valid"]),
        ),
    )


def _side(found: pl.DataFrame, side: str) -> pl.DataFrame:
    """One response per prompt as prompt_id and <side>_id, _score, _chars, _text."""
    return found.select(
        "prompt_id",
        pl.col("response_id").alias(f"{side}_id"),
        pl.col("mean").alias(f"{side}_score"),
        pl.col("chars").alias(f"{side}_chars"),
        pl.col("response").alias(f"{side}_text"),
    )


def _reason() -> pl.Expr:
    """Why a prompt has no pair, null if it has one."""
    return (
        pl.when(pl.col("scored") == 0)
        .then(pl.lit("no_valid_judgment"))
        .when(pl.col("scored") == 1)
        .then(pl.lit("single_response"))
        .when(pl.col("score_max") == pl.col("score_min"))
        .then(pl.lit("equal_scores"))
        .when(pl.col("chosen_id").is_null() & (pl.col("written_in_top") == 0))
        .then(pl.lit("blank_chosen"))
        .when(pl.col("chosen_id").is_null())
        .then(pl.lit("no_eligible_chosen"))
        .when(pl.col("chosen_score") <= pl.col("rejected_score"))
        .then(pl.lit("chosen_not_above_rejected"))
        .when(pl.col("chosen_text") == pl.col("rejected_text"))
        .then(pl.lit("identical_texts"))
        .when(pl.col("chosen_chars") > pl.col("max_chosen_chars"))
        .then(pl.lit("chosen_too_long"))
    )
