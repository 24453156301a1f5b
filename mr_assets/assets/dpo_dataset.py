"""dpo_dataset: what the next model is trained on, actor pairs and, in judge iterations, judge pairs (section 3.1)."""

import dagster as dg
import polars as pl

from mr_assets.errors import UserError
from mr_assets.method import dpo_dataset as method
from mr_assets.method.numbers import dpo_dataset_numbers
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.runs.settings import prompts_differ
from mr_assets.templates import judge_template
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.sampling import encoder


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


def dpo_dataset(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "dpo_dataset", kinds={"polars", "parquet"}))
    def dpo_dataset(
        context: dg.AssetExecutionContext,
        prompts: pl.LazyFrame,
        responses: pl.LazyFrame,
        judgments: pl.LazyFrame,
        actor_pairs: pl.LazyFrame,
        elo_pairs: pl.LazyFrame,
        policy: Model,
    ) -> dg.MaterializeResult:
        """Preference pairs as conversations, with the very token ids that the engine saw and sampled."""
        with users_errors():
            work = Materialization(context, run, policy)
            _expect_same_prompts(work)
            recipe = work.run.recipe
            actor, judge = actor_pairs.collect(), elo_pairs.collect()
            made = method.dpo_dataset(
                actor,
                judge,
                responses,
                judgments,
                prompts,
                judge_template=judge_template(run.template(recipe.judgments.template)),
                encoder=encoder(work),
                judge_share_cap=recipe.switches.judge_share_cap,
                max_length=recipe.dpo.max_length,
                seed=recipe.seed,
            )
            return work.table(made, dpo_dataset_numbers(made.rows), beside={"actor_pairs": actor, "elo_pairs": judge})

    return dpo_dataset
