"""eft_dataset: evaluation fine-tuning data, conversations that end in a judgment (section 3.1)."""

from mr_assets.inputs.user_files import HELD_OUT, eft_notes, user_eft
from mr_assets.tables import EFT_DATASET
from mr_assets.templates import judge_template
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.worlds.eft import make_eft
from mr_assets.worlds.letters import Imperfection


@loop_asset(kinds={"polars", "parquet"})
def eft_dataset(work: Materialization) -> Result:
    """Judgments to finetune the seed model on: made by the small world, or read from the user's file."""
    recipe = work.recipe
    if recipe.sft is None:
        return work.table(EFT_DATASET.empty(), {"examples": 0}, empty_because="Empty: the recipe has no SFT.")

    held_out: dict[str, int] = {}
    if recipe.eft.source == "world":
        assert recipe.world is not None and recipe.eft.examples is not None
        imperfect = Imperfection(judge_noise=recipe.world.judge_noise, verbosity_bias=recipe.world.verbosity_bias)
        template = judge_template(work.run.template(recipe.judgments.template))
        examples = make_eft(recipe.eft.examples, recipe.seed, imperfect, template)
    else:
        examples, dropped = user_eft(recipe, work.run.data)
        held_out = {HELD_OUT: dropped} if recipe.world else {}
        for note in eft_notes(recipe, work.run.data, examples):
            work.context.log.warning(note)

    return work.table(examples, {"examples": examples.height, **held_out})
