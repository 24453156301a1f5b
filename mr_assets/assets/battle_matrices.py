"""battle_matrices: weighted wins of every judgment over every other of its response (section 2.2)."""

import polars as pl

from mr_assets.method import battle_matrices as method
from mr_assets.method.numbers import battle_matrix_numbers
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"numpy", "parquet"})
def battle_matrices(work: Materialization, selected_responses: pl.LazyFrame, meta_judgments: pl.LazyFrame) -> Result:
    """B_mn, with wins weighted by position so that the favoured position counts less."""
    scope = work.recipe.switches.omega_scope

    matrices = method.battle_matrices(meta_judgments, selected_responses, scope=scope)

    if warning := method.one_sided(matrices.rows):
        work.context.log.warning(warning)
    numbers = battle_matrix_numbers(matrices.rows)
    return work.table(matrices, numbers, beside={"selected_responses": selected_responses})
