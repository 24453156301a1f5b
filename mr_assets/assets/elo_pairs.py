"""elo_pairs: per selected response the judgments with the highest and the lowest Elo (section 2.2)."""

import dagster as dg
import polars as pl

from mr_assets.method import elo_pairs as method
from mr_assets.method.numbers import elo_pair_numbers, with_pair_scores
from mr_assets.runs.run import Run
from mr_assets.tables import ELO_PAIRS
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, iteration, judges
from mr_assets.wiring.pictures import histogram
from mr_assets.wiring.truth import true_counts


def elo_pairs(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "elo_pairs", kinds={"numpy", "parquet"}))
    def elo_pairs(
        context: dg.AssetExecutionContext, battle_matrices: pl.LazyFrame, judgments: pl.LazyFrame
    ) -> dg.MaterializeResult:
        """Chosen: the judgment with the highest Elo. Rejected: the lowest. Too long a chosen one is left out."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            if not judges(work):
                return work.nothing(ELO_PAIRS)
            matrices = battle_matrices.collect()
            texts = judgments.drop("token_ids").join(battle_matrices, on="response_id", how="semi").collect()
            made = method.elo_pairs(
                matrices,
                texts,
                max_chosen_chars=recipe.row(iteration(context)).max_chosen_judgment_chars,
                ridge=recipe.switches.elo_ridge,
                tolerance=recipe.switches.elo_tie_tolerance,
                seed=recipe.seed,
                cut_off=recipe.switches.cut_off,
            )
            rows = made.rows
            elo = rows["elo"].explode().drop_nulls()
            scored = with_pair_scores(rows, texts).collect()
            numbers = elo_pair_numbers(scored, matrices) | true_counts(work, "judge", scored)
            sides = {side: rows[f"{side}_elo"] for side in ("chosen", "rejected")}
            return work.table(
                made,
                numbers,
                beside={"battle_matrices": matrices, "judgments": judgments},
                pictures={"Elo": histogram({"all judgments": elo, **sides}, "Elo, natural units", "judgments")},
            )

    return elo_pairs
