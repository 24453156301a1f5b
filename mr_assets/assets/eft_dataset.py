"""eft_dataset: evaluation fine-tuning data, conversations that end in a judgment (section 3.1)."""

import dagster as dg

from mr_assets.inputs.user_files import HELD_OUT, eft_notes, user_eft
from mr_assets.runs.run import Run
from mr_assets.tables import EFT_DATASET
from mr_assets.templates import judge_template
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.worlds.eft import make_eft
from mr_assets.worlds.letters import Imperfection


def eft_dataset(run: Run) -> dg.AssetsDefinition:
    """The asset of a run's family."""

    @dg.asset(**declare(run, "eft_dataset", kinds={"polars", "parquet"}))
    def eft_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Judgments to finetune the seed model on: made by the small world, or read from the user's file."""
        with users_errors():
            work = Materialization(context, run)
            recipe = work.run.recipe
            if recipe.sft is None:
                return work.table(EFT_DATASET.empty(), {"examples": 0}, empty_because="Empty: the recipe has no SFT.")
            held_out: dict[str, int] = {}
            if recipe.eft.source == "world":
                assert recipe.world is not None and recipe.eft.examples is not None
                imperfect = Imperfection(
                    judge_noise=recipe.world.judge_noise, verbosity_bias=recipe.world.verbosity_bias
                )
                template = judge_template(run.template(recipe.judgments.template))
                frame = make_eft(recipe.eft.examples, recipe.seed, imperfect, template)
            else:
                frame, left_out = user_eft(recipe, run.data)
                held_out = {HELD_OUT: left_out} if recipe.world else {}
                for note in eft_notes(recipe, run.data, frame):
                    context.log.warning(note)
            return work.table(frame, {"examples": frame.height, **held_out})

    return eft_dataset
