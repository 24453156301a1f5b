"""battle_matrices: weighted wins of every judgment over every other of its response (section 2.2)."""

import dagster as dg
import polars as pl

from mr_assets.method import battle_matrices as method
from mr_assets.runs.run import Run
from mr_assets.tables import BATTLE_MATRICES
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, judges


def battle_matrices(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "battle_matrices", kinds={"numpy", "parquet"}))
    def battle_matrices(
        context: dg.AssetExecutionContext,
        selected_responses: pl.LazyFrame,
        meta_judgments: pl.LazyFrame,
    ) -> dg.MaterializeResult:
        """B_mn, with wins weighted by position so that the favoured position counts less."""
        with users_errors():
            work = Materialization(context, run)
            if not judges(work):
                return work.nothing(BATTLE_MATRICES)
            made = method.battle_matrices(
                meta_judgments, selected_responses, scope=work.run.recipe.switches.omega_scope
            )
            rows = made.rows
            if warning := method.one_sided(rows):
                context.log.warning(warning)
            numbers = {
                "matrices": rows.height,
                "omega 1": rows["omega_1"].mean(),
                "omega 2": rows["omega_2"].mean(),
                "share strongly connected": rows["strongly_connected"].mean(),
                "judgments per matrix": rows["judgment_ids"].list.len().mean(),
            }
            return work.table(made, numbers, beside={"selected_responses": selected_responses})

    return battle_matrices
