"""prompts: what the policy answers in an iteration, drawn from seed_prompts (section 3.1: 5,000 of 20,000)."""

import polars as pl

from mr_assets.method.prompts import draw_prompts
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"polars", "parquet"})
def prompts(work: Materialization, seed_prompts: pl.LazyFrame) -> Result:
    """The iteration's prompts: a seeded draw. Iterations share no prompts, unless the recipe lets them."""
    recipe = work.recipe
    if "seed" in work.overrides and recipe.prompts.disjoint:
        work.context.log.warning(
            "Drawn by another seed than the prompts of the other iterations: some may serve in both."
        )

    drawn = draw_prompts(
        seed_prompts.collect(),
        work.iteration,
        [row.prompts for row in recipe.iterations],
        seed=recipe.seed,
        disjoint=recipe.prompts.disjoint,
    )

    return work.table(drawn, {"prompts": drawn.height}, beside={"seed_prompts": seed_prompts})
