"""dpo_dataset: what the next model is trained on, actor pairs and, in judge iterations, judge pairs (section 3.1)."""

import polars as pl

from mr_assets.errors import UserError
from mr_assets.method import dpo_dataset as method
from mr_assets.method.numbers import dpo_dataset_numbers
from mr_assets.runs.artifact import Model
from mr_assets.runs.settings import prompts_differ
from mr_assets.templates import judge_template
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.sampling import encoder


@loop_asset(kinds={"polars", "parquet"})
def dpo_dataset(
    work: Materialization,
    prompts: pl.LazyFrame,
    responses: pl.LazyFrame,
    judgments: pl.LazyFrame,
    actor_pairs: pl.LazyFrame,
    elo_pairs: pl.LazyFrame,
    policy: Model,
) -> Result:
    """Preference pairs as conversations, with the same token ids that the engine saw and sampled."""
    _expect_same_prompts(work)
    recipe = work.recipe

    dataset = method.dpo_dataset(
        actor_pairs,
        elo_pairs,
        responses,
        judgments,
        prompts,
        judge_template=judge_template(work.run.template(recipe.judgments.template)),
        encoder=encoder(work),
        judge_share_cap=recipe.switches.judge_share_cap,
        judge_pairs=recipe.switches.judge_pairs,
        max_length=recipe.dpo.max_length,
        seed=recipe.seed,
    )

    pairs = {"actor_pairs": actor_pairs, "elo_pairs": elo_pairs}
    return work.table(dataset, dpo_dataset_numbers(dataset.rows), beside=pairs)


def _expect_same_prompts(work: Materialization) -> None:
    """Raise `UserError` if responses or judgments were sampled from other prompts than would be trained on now."""
    for asset in ("responses", "judgments"):
        record = work.run.record(asset, work.partition)
        if record and (differ := prompts_differ(asset, record.settings, work.settings)):
            raise UserError(
                f"{asset} of iteration {work.partition} were sampled with another {' and '.join(differ)} than the "
                f"recipe now has, so that training would see other prompts than the engine did. Materialize {asset} "
                "again, or set the recipe back."
            )
