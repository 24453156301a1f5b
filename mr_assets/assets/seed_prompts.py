"""seed_prompts: what every iteration draws its prompts from (section 3.1: 20,000 prompts)."""

import dagster as dg
import polars as pl

from mr_assets.assets.wiring import Work, declare, users_errors
from mr_assets.errors import UserError
from mr_assets.method.prompts import check_prompts
from mr_assets.runs import Run
from mr_assets.userfiles import read_prompts
from mr_assets.worlds.letters import make_prompts


def seed_prompts(run: Run) -> dg.AssetsDefinition:
    """The asset of a run's family."""

    @dg.asset(**declare(run, "seed_prompts", kinds={"polars", "parquet"}))
    def seed_prompts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The prompts that iterations draw from: made by the small world, or read from the user's file."""
        with users_errors():
            work, recipe = Work(context, run), run.recipe
            if recipe.prompts.source == "world":
                assert recipe.prompts.count is not None
                texts = make_prompts(recipe.prompts.count, seed=str(recipe.seed))
            else:
                texts = read_prompts(recipe.prompts.source, recipe.prompts.column, run.data)
                if recipe.prompts.count and len(texts) < recipe.prompts.count:
                    raise UserError(
                        f"prompts.count = {recipe.prompts.count}: {recipe.prompts.source} has {len(texts)} prompts. "
                        "Lower prompts.count and the iterations' prompts, or name a larger file."
                    )
            frame = check_prompts(pl.DataFrame({"prompt": texts[: recipe.prompts.count]}, schema={"prompt": pl.String}))
            needed = sum(row.prompts for row in recipe.iterations)
            return work.table(frame, {"prompts": frame.height, "prompts needed by the iterations": needed})

    return seed_prompts
