"""seed_prompts: what every iteration draws its prompts from (section 3.1: 20,000 prompts)."""

import polars as pl

from mr_assets.inputs.prompt_sources import user_prompts
from mr_assets.inputs.user_files import HELD_OUT, to_train_on
from mr_assets.method.prompts import check_prompts
from mr_assets.method.ranked_replies import without_held_out
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.worlds.letters import make_prompts


@loop_asset(kinds={"polars", "parquet"})
def seed_prompts(
    work: Materialization,
    ranked_replies: pl.LazyFrame | None = None,
    generated_prompts: pl.LazyFrame | None = None,
) -> Result:
    """The prompts that iterations draw from: made by the small world or a model, or the user's file or folder."""
    recipe = work.recipe
    held_out: dict[str, int] = {}

    if generated_prompts is not None:
        prompts = check_prompts(generated_prompts.select("prompt").collect())
    elif recipe.prompts.source == "world":
        assert recipe.prompts.count is not None
        texts = make_prompts(recipe.prompts.count, seed=str(recipe.seed))
        prompts = check_prompts(pl.DataFrame({"prompt": texts}))
    else:
        given = user_prompts(recipe, work.run.data)
        prompts = to_train_on(given, recipe)
        held_out = {HELD_OUT: given.height - prompts.height} if recipe.world else {}

    if ranked_replies is not None:
        free = without_held_out(prompts, ranked_replies.collect())
        held_out[HELD_OUT] = held_out.get(HELD_OUT, 0) + prompts.height - free.height
        prompts = free
    needed = sum(row.prompts for row in recipe.iterations)
    numbers = {"prompts": prompts.height, "prompts needed by the iterations": needed, **held_out}
    return work.table(prompts, numbers)
