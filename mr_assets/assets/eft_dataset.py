"""eft_dataset: evaluation fine-tuning data, conversations that end in a judgment (section 3.1)."""

import dagster as dg

from mr_assets.assets.wiring import Work, declare, users_errors
from mr_assets.runs import Run
from mr_assets.userfiles import read_eft
from mr_assets.worlds.eft import make_eft


def eft_dataset(run: Run) -> dg.AssetsDefinition:
    """The asset of a run's family."""

    @dg.asset(**declare(run, "eft_dataset", kinds={"polars", "parquet"}))
    def eft_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Judgments to finetune the seed model on: made by the small world, or read from the user's file."""
        with users_errors():
            work, recipe = Work(context, run), run.recipe
            if recipe.eft.source == "world":
                frame = make_eft(recipe)
            else:
                frame = read_eft(recipe.eft.source, run.data)
            return work.table(frame, {"examples": frame.height})

    return eft_dataset
