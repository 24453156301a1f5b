"""sft_checkpoint: M_0, the seed model finetuned on evaluation data (sections 3.1 and A.3)."""

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.ids import model_id
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.method.sft_dataset import sft_dataset
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.tables import dropped_path
from mr_assets.wiring.checks import exempt
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.training import train_model, training_job, write_sft_dataset


@loop_asset(kinds={"pytorch", "huggingface"})
def sft_checkpoint(work: Materialization, eft_dataset: pl.LazyFrame) -> Result:
    """M_0: the seed model after SFT on EFT; the seed model itself if the recipe leaves SFT out."""
    recipe, root, out = work.recipe, work.run.data, work.run.place("sft_checkpoint")
    seed = seed_model(recipe, root)
    encode = ChatEncoder.load(seed, **recipe.model.rendering())  # also refuses a seed that is not trained
    model = seed_as_recorded(seed, work.settings)
    model.check(root)
    if recipe.sft is None:
        return work.model(model, {}, exempt("sft_checkpoint", "Not trained: the recipe has no SFT."))
    templates = judge_prompts(recipe, root)
    examples = sft_dataset(eft_dataset.collect(), encode, *templates, max_length=recipe.sft.max_length)
    data = write_sft_dataset(work, examples, out.with_name("sft_dataset.parquet"))

    job = training_job("sft", recipe.sft, root=root, model=seed, data=data, out=out, seed=recipe.seed)
    trained = train_model(work, job, model, model_id(0))

    numbers = {**trained.numbers, "examples": examples.rows.height, "examples too long": examples.dropped.height}
    shown = {"picture: training": trained.curves, "dropped examples": str(dropped_path(data))}
    return work.model(trained.model, numbers, trained.found, shown)
