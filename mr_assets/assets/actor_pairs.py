"""actor_pairs: per prompt a chosen and a rejected response, by score and length (section 2.1)."""

import dagster as dg
import polars as pl

from mr_assets.method import actor_pairs as method
from mr_assets.method.numbers import actor_pair_numbers
from mr_assets.runs.run import Run
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, iteration
from mr_assets.wiring.pictures import lengths
from mr_assets.wiring.truth import true_counts


def actor_pairs(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "actor_pairs", kinds={"polars", "parquet"}))
    def actor_pairs(
        context: dg.AssetExecutionContext, responses: pl.LazyFrame, judgments: pl.LazyFrame
    ) -> dg.MaterializeResult:
        """Chosen: the shortest response of the top score tier. Rejected: the longest of the bottom tier."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            row = recipe.row(iteration(context))
            answers, scored = responses.drop("token_ids").collect(), judgments.drop("token_ids", "judgment").collect()
            made = method.actor_pairs(
                answers,
                scored,
                rho=row.rho,
                max_chosen_chars=row.max_chosen_chars,
                seed=recipe.seed,
                cut_off=recipe.switches.cut_off,
            )
            rows = made.rows
            numbers = actor_pair_numbers(rows, answers) | true_counts(work, "actor", rows)
            sides = {side: rows[f"{side}_chars"] for side in ("chosen", "rejected")}
            return work.table(
                made,
                numbers,
                beside={"responses": answers},
                pictures={"lengths": lengths(sides, "pairs")},
            )

    return actor_pairs
