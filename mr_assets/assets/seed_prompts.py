"""seed_prompts: what every iteration draws its prompts from (section 3.1: 20,000 prompts)."""

import dagster as dg
import polars as pl

from mr_assets.inputs.user_files import HELD_OUT, to_train_on, user_prompts
from mr_assets.method.prompts import check_prompts
from mr_assets.runs.run import Run
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.worlds.letters import make_prompts


def seed_prompts(run: Run) -> dg.AssetsDefinition:
    """The asset of a run's family."""

    @dg.asset(**declare(run, "seed_prompts", kinds={"polars", "parquet"}))
    def seed_prompts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The prompts that iterations draw from: made by the small world, or read from the user's file."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            held_out: dict[str, int] = {}
            if recipe.prompts.source == "world":
                assert recipe.prompts.count is not None
                texts = make_prompts(recipe.prompts.count, seed=str(recipe.seed))
                frame = check_prompts(pl.DataFrame({"prompt": texts}))
            else:
                given = user_prompts(recipe, run.data)
                frame = to_train_on(given, recipe)
                held_out = {HELD_OUT: given.height - frame.height} if recipe.world else {}
            needed = sum(row.prompts for row in recipe.iterations)
            numbers = {"prompts": frame.height, "prompts needed by the iterations": needed, **held_out}
            return work.table(frame, numbers)

    return seed_prompts
