"""battle_matrices: weighted wins of every judgment over every other of its response (section 2.2)."""

import dagster as dg
import polars as pl

from mr_assets.method import battle_matrices as method
from mr_assets.method.numbers import battle_matrix_numbers
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
            if warning := method.one_sided(made.rows):
                context.log.warning(warning)
            return work.table(made, battle_matrix_numbers(made.rows), beside={"selected_responses": selected_responses})

    return battle_matrices
