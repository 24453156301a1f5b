"""selected_responses: per prompt the response on which the judge is least certain (section 2.2)."""

import dagster as dg
import polars as pl

from mr_assets.method.numbers import selected_response_numbers
from mr_assets.method.selected_responses import select_responses
from mr_assets.runs.run import Run
from mr_assets.tables import SELECTED_RESPONSES
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, judges


def selected_responses(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "selected_responses", kinds={"polars", "parquet"}))
    def selected_responses(
        context: dg.AssetExecutionContext, responses: pl.LazyFrame, judgments: pl.LazyFrame
    ) -> dg.MaterializeResult:
        """The response whose N scores vary most; ties are broken by a seeded draw."""
        with users_errors():
            work = Materialization(context, run)
            if not judges(work):
                return work.nothing(SELECTED_RESPONSES)
            answers, scored = responses.drop("token_ids").collect(), judgments.drop("token_ids", "judgment").collect()
            made = select_responses(answers, scored, seed=work.run.recipe.seed)
            return work.table(made, selected_response_numbers(made.rows), beside={"responses": answers})

    return selected_responses
