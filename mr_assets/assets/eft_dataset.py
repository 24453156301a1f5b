"""eft_dataset: evaluation fine-tuning data, conversations that end in a judgment (section 3.1)."""

from collections.abc import Mapping
from typing import NamedTuple

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
    if work.recipe.sft is None:
        return work.table(EFT_DATASET.empty(), {"examples": 0}, empty_because="Empty: the recipe has no SFT.")

    if ranked_replies is not None:
        examples = _of_rankings(work, ranked_replies, eft_judgments)
    elif work.recipe.eft.source == "world":
        examples = _of_the_world(work)
    else:
        examples = _of_a_file(work)

    numbers = {**eft_numbers(examples.rows, examples.dropped), **examples.held_out}
    return work.table(examples.rows, numbers, examples.dropped, pictures=examples.pictures)


class _Examples(NamedTuple):
    """The examples; what was dropped, of rankings; how many rows of a file are held out; pictures."""

    rows: pl.DataFrame
    dropped: pl.DataFrame | None = None
    held_out: Mapping[str, int] = {}
    pictures: Mapping[str, str] = {}


def _of_rankings(work: Materialization, replies: pl.LazyFrame, judgments: pl.LazyFrame | None) -> _Examples:
    recipe, (judge, meta_judge) = work.recipe, judge_prompts(work.recipe, work.run.data)
    examples, dropped = method.eft_dataset(
        replies.collect(),
        None if judgments is None else judgments.drop("token_ids").collect(),
        judge=method.Judge(judge, recipe.judgments.scoring),
        meta_judge=method.MetaJudge(meta_judge, recipe.meta_judgments.verdicts),
        shares=method.shares_of(recipe.eft.meta_judgment_share, recipe.eft.instruction_share),
        examples=recipe.eft.examples,
        seed=recipe.seed,
    )
    section, scores = recipe.judgments, score_counts(examples, recipe.judgments.scoring)
    pictures = {"scores": score_histogram(scores, section.lowest_score, section.highest_score)}
    return _Examples(examples, dropped, pictures=pictures)


def _of_the_world(work: Materialization) -> _Examples:
    recipe, world = work.recipe, work.recipe.world
    assert world is not None and recipe.eft.examples is not None
    imperfect = Imperfection(judge_noise=world.judge_noise, verbosity_bias=world.verbosity_bias)
    return _Examples(make_eft(recipe.eft.examples, recipe.seed, imperfect, judge_prompts(recipe, work.run.data).judge))


def _of_a_file(work: Materialization) -> _Examples:
    examples, held_out = user_eft(work.recipe, work.run.data)
    for note in eft_notes(work.recipe, work.run.data, examples):
        work.context.log.warning(note)
    return _Examples(examples, held_out={HELD_OUT: held_out} if work.recipe.world else {})
