"""eft_dataset: evaluation fine-tuning data, conversations that end in a judgment (section 3.1)."""

import polars as pl

from mr_assets.inputs.user_files import HELD_OUT, eft_notes, user_eft
from mr_assets.method import eft_dataset as method
from mr_assets.method.numbers import eft_numbers, score_counts
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.tables import EFT_DATASET
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import score_histogram
from mr_assets.worlds.eft import make_eft
from mr_assets.worlds.letters import Imperfection


@loop_asset(kinds={"polars", "parquet"})
def eft_dataset(
    work: Materialization, ranked_replies: pl.LazyFrame | None = None, eft_judgments: pl.LazyFrame | None = None
) -> Result:
    """Judgments to finetune the seed model on: made by the small world or of people's rankings, or the user's file."""
    recipe = work.recipe
    if recipe.sft is None:
        return work.table(EFT_DATASET.empty(), {"examples": 0}, empty_because="Empty: the recipe has no SFT.")

    held_out: dict[str, int] = {}
    judge, meta_judge = judge_prompts(recipe, work.run.data)
    if ranked_replies is not None:
        dataset = method.eft_dataset(
            ranked_replies.collect(),
            None if eft_judgments is None else eft_judgments.drop("token_ids").collect(),
            judge=method.Judge(judge, recipe.judgments.scoring),
            meta_judge=method.MetaJudge(meta_judge, recipe.meta_judgments.verdicts),
            shares=method.shares_of(recipe.eft.meta_judgment_share, recipe.eft.instruction_share),
            examples=recipe.eft.examples,
            seed=recipe.seed,
        )
        section, scores = recipe.judgments, score_counts(dataset.rows, recipe.judgments.scoring)
        pictures = {"scores": score_histogram(scores, section.lowest_score, section.highest_score)}
        return work.table(dataset, eft_numbers(dataset.rows, dataset.dropped), pictures=pictures)
    if recipe.eft.source == "world":
        assert recipe.world is not None and recipe.eft.examples is not None
        imperfect = Imperfection(judge_noise=recipe.world.judge_noise, verbosity_bias=recipe.world.verbosity_bias)
        examples = make_eft(recipe.eft.examples, recipe.seed, imperfect, judge)
    else:
        examples, dropped = user_eft(recipe, work.run.data)
        held_out = {HELD_OUT: dropped} if recipe.world else {}
        for note in eft_notes(recipe, work.run.data, examples):
            work.context.log.warning(note)

    return work.table(examples, {**eft_numbers(examples), **held_out})
