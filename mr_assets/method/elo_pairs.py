"""Judge pairs: per selected response the judgment with the highest Elo and the one with the lowest (section 2.2).

Then pairs whose chosen judgment has more characters than a threshold are dropped: the meta-judge likes long ones
(1,100 characters in iteration 1, 1,000 in iteration 2, A.3).
"""

import polars as pl

from mr_assets.ids import pair_ids
from mr_assets.method import CutOff, Frame
from mr_assets.method.battle_matrices import as_arrays
from mr_assets.method.dropped import dropped, gathered
from mr_assets.method.elo import elo_scores
from mr_assets.method.ties import first_of_each
from mr_assets.tables import ELO_PAIRS, Selected

_NUMBERS = ["elo", "elo_max", "elo_min", "cut_off_at_top", "chosen_id", "chosen_chars", "rejected_id", "rejected_chars"]


def elo_pairs(
    matrices: Frame,
    judgments: Frame,
    *,
    max_chosen_chars: int | None,
    ridge: float = 0.01,
    seed: int | str,
    tolerance: float = 1e-6,
    cut_off: CutOff = "never_chosen",
) -> Selected:
    """One pair per response where there is one: columns of `ELO_PAIRS`, sorted by pair_id.

    `matrices` has rows of `BATTLE_MATRICES`. Elo within `tolerance` of the highest (lowest) is a tie, drawn by `seed`;
    if all are that close, there is no pair. A judgment that was cut off at max tokens is never chosen (`cut_off` may
    admit it): if no other one is at the top, there is no pair. No pair has equal texts. Dropped are responses, by
    response_id. A blank judgment has no score, so that it is never among them.
    """
    rows = ratings(matrices, ridge)
    rows = rows.with_columns(elo_max=pl.col("elo").list.max(), elo_min=pl.col("elo").list.min())
    rated = rows.select("response_id", pl.col("judgment_ids").alias("judgment_id"), "elo", "elo_max", "elo_min")
    rated = rated.explode("judgment_id", "elo").join(_texts(rated, judgments), on="judgment_id", how="left")
    at_top = rated.filter(pl.col("elo") >= pl.col("elo_max") - tolerance)
    at_bottom = rated.filter(pl.col("elo") <= pl.col("elo_min") + tolerance)
    may_be_chosen = pl.lit(True) if cut_off == "eligible" else ~pl.col("cut_off")
    cut_off_at_top = at_top.group_by("response_id").agg(cut_off_at_top=pl.col("cut_off").sum().cast(pl.Int64))
    considered = (
        rows.join(cut_off_at_top, on="response_id", how="left")
        .join(_side(at_top.filter(may_be_chosen), f"elo|chosen|{seed}", "chosen"), on="response_id", how="left")
        .join(_side(at_bottom, f"elo|rejected|{seed}", "rejected"), on="response_id", how="left")
        .with_columns(
            pl.lit(max_chosen_chars, pl.Int64).alias("max_chosen_chars"),
            reason=_reason(tolerance, max_chosen_chars),
            pair_id=pair_ids("response_id", "judge"),
        )
    )
    without_pair = considered.filter(pl.col("reason").is_not_null())
    return Selected(
        considered.filter(pl.col("reason").is_null()).select(list(ELO_PAIRS.schema)).sort("pair_id"),
        gathered(dropped(without_pair, "response_id", pl.col("reason"), [*_NUMBERS, "max_chosen_chars"])),
    )


def ratings(matrices: Frame, ridge: float) -> pl.DataFrame:
    """The Elo of the judgments of rows of `BATTLE_MATRICES`: response_id, judgment_ids and elo, both in one order."""
    rows = matrices.lazy().select("response_id", "judgment_ids", "matrix").collect()
    elo = pl.Series("elo", elo_scores(*as_arrays(rows), ridge)).cast(pl.List(pl.Float64))
    return rows.select("response_id", "judgment_ids", elo.list.eval(pl.element().drop_nans()))


def _texts(rated: pl.DataFrame, judgments: Frame) -> pl.DataFrame:
    """judgment_id, judgment, chars and cut_off of the judgments of the rated responses.

    The filter, unlike a join, reaches the parquet reader: it takes the texts of these rows alone.
    """
    return (
        judgments.lazy()
        .filter(pl.col("response_id").is_in(rated["response_id"].unique().implode()))
        .select(
            "judgment_id",
            "judgment",
            pl.col("judgment").str.len_chars().cast(pl.Int64).alias("chars"),
            (pl.col("finish_reason") == "length").alias("cut_off"),
        )
        .collect(engine="streaming")
    )


def _side(tied: pl.DataFrame, seed: str, side: str) -> pl.DataFrame:
    """One of the tied judgments per response: response_id and <side>_id, _elo, _chars, _text."""
    return first_of_each(tied, "response_id", "judgment_id", seed).select(
        "response_id",
        pl.col("judgment_id").alias(f"{side}_id"),
        pl.col("elo").alias(f"{side}_elo"),
        pl.col("chars").alias(f"{side}_chars"),
        pl.col("judgment").alias(f"{side}_text"),
    )


def _reason(tolerance: float, max_chosen_chars: int | None) -> pl.Expr:
    """Why a response has no pair, null if it has one."""
    return (
        pl.when(pl.col("elo_max") - pl.col("elo_min") <= tolerance)
        .then(pl.lit("equal_elo"))
        .when(pl.col("chosen_id").is_null())
        .then(pl.lit("no_eligible_chosen"))
        .when(pl.col("chosen_text") == pl.col("rejected_text"))
        .then(pl.lit("identical_texts"))
        .when(pl.col("chosen_chars") > pl.lit(max_chosen_chars, pl.Int64))
        .then(pl.lit("chosen_too_long"))
    )
