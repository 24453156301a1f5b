"""selected_responses: per prompt the response on which the judge is least certain (section 2.2)."""

import polars as pl

from mr_assets.method.numbers import selected_response_numbers
from mr_assets.method.selected_responses import select_responses
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"polars", "parquet"})
def selected_responses(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
    """The response whose N scores vary most; ties are broken by a seeded draw."""
    answers, scored = responses.drop("token_ids").collect(), judgments.drop("token_ids", "judgment").collect()

    selected = select_responses(answers, scored, seed=work.recipe.seed)

    return work.table(selected, selected_response_numbers(selected.rows), beside={"responses": answers})
