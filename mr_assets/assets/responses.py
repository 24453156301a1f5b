"""responses: K variations that the policy samples per prompt, as the actor (section 2.1)."""

import dagster as dg
import polars as pl

from mr_assets.method import responses as method
from mr_assets.method.numbers import response_numbers
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.tables import Selected
from mr_assets.wiring import pictures
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, iteration
from mr_assets.wiring.sampling import encoder, sample
from mr_assets.worlds.truth import world_numbers


def responses(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "responses", kinds={"vllm", "parquet"}, gpu=True))
    def responses(context: dg.AssetExecutionContext, prompts: pl.LazyFrame, policy: Model) -> dg.MaterializeResult:
        """The policy answers every prompt K times; identical answers stay in the table, marked, and go no further."""
        with users_errors():
            work, t = Materialization(context, run, policy), iteration(context)
            recipe = work.run.recipe
            asked, encode = prompts.collect(), encoder(work)
            made = sample(
                work,
                encode,
                (Request(i, encode.prompt_ids(text), recipe.responses.k) for i, text in asked.iter_rows()),
                asked.height,
                recipe.responses,
                {},
                n=recipe.responses.k,
            )
            frame = method.responses(made.completions, t)
            numbers = {**made.numbers, **response_numbers(frame)}
            if recipe.prompts.source == "world":
                numbers |= world_numbers(frame.join(asked, on="prompt_id"))
            return work.table(
                Selected(frame, made.dropped),
                numbers,
                beside={"prompts": asked, **work.earlier("responses")},
                pictures={"lengths": pictures.lengths({"responses": frame["response"].str.len_chars()}, "responses")},
            )

    return responses
