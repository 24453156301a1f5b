"""prompts: what the policy answers in an iteration, drawn from seed_prompts (section 3.1: 5,000 of 20,000)."""

import dagster as dg
import polars as pl

from mr_assets.method.prompts import draw_prompts
from mr_assets.runs.run import Run
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, iteration


def prompts(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "prompts", kinds={"polars", "parquet"}))
    def prompts(context: dg.AssetExecutionContext, seed_prompts: pl.LazyFrame) -> dg.MaterializeResult:
        """The iteration's prompts: a seeded draw, disjoint from the other iterations' unless the recipe says not."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            if "seed" in work.chosen and recipe.prompts.disjoint:
                context.log.warning(
                    "Drawn by another seed than the prompts of the other iterations: some may serve in both."
                )
            frame = draw_prompts(
                seed_prompts.collect(),
                iteration(context),
                [row.prompts for row in recipe.iterations],
                seed=recipe.seed,
                disjoint=recipe.prompts.disjoint,
            )
            return work.table(frame, {"prompts": frame.height}, beside={"seed_prompts": seed_prompts})

    return prompts
