"""sft_checkpoint: M_0, the seed model finetuned on evaluation data (sections 3.1 and A.3)."""

import dagster as dg
import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.files import atomically
from mr_assets.ids import model_id
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.method.sft_dataset import sft_dataset
from mr_assets.runs.run import Run
from mr_assets.tables import dropped_path
from mr_assets.templates import judge_template
from mr_assets.wiring.checks import exempt
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.training import train_model, training_job


def sft_checkpoint(run: Run) -> dg.AssetsDefinition:
    """The asset of a run's family."""

    @dg.asset(**declare(run, "sft_checkpoint", kinds={"pytorch", "huggingface"}, gpu=True))
    def sft_checkpoint(context: dg.AssetExecutionContext, eft_dataset: pl.LazyFrame) -> dg.MaterializeResult:
        """M_0: the seed model after SFT on EFT; the seed model itself if the recipe leaves SFT out."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            seed = seed_model(recipe, run.data)
            encode = ChatEncoder.load(seed, **recipe.model.rendering())  # also refuses a seed that is not trained
            model = seed_as_recorded(seed, work.settings)
            model.check(run.data)
            if recipe.sft is None:
                found = exempt("sft_checkpoint", "Not trained: the recipe has no SFT.")
                return work.model(model, {}, found)
            out = run.path("sft_checkpoint")
            template = judge_template(run.template(recipe.judgments.template))
            made = sft_dataset(eft_dataset.collect(), encode, template, max_length=recipe.sft.max_length)
            data = out.with_name("sft_dataset.parquet")
            atomically(data, lambda p: made.rows.write_parquet(p))
            atomically(dropped_path(data), lambda p: made.dropped.write_parquet(p))
            if made.dropped.height:
                work.context.log.warning(
                    f"{made.dropped.height} EFT examples are longer than sft.max_length = {recipe.sft.max_length} "
                    f"tokens and left out; {dropped_path(data)} lists them"
                )
            job = training_job("sft", recipe.sft, root=run.data, model=seed, data=data, out=out, seed=recipe.seed)
            trained = train_model(work, job, model_id(0))
            numbers = {**trained.numbers, "examples": made.rows.height, "examples too long": made.dropped.height}
            shown = {"picture: training": trained.curves, "examples left out": str(dropped_path(data))}
            return work.model(trained.model, numbers, trained.found, shown)

    return sft_checkpoint
