"""responses: K variations that the policy samples per prompt, as the actor (section 2.1)."""

import polars as pl

from mr_assets.method import conversations
from mr_assets.method import responses as method
from mr_assets.method.numbers import response_numbers
from mr_assets.runs.artifact import Model
from mr_assets.sampling.engine import Request
from mr_assets.tables import Selected
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import lengths
from mr_assets.wiring.sampling import encoder, sample
from mr_assets.worlds.truth import world_numbers


@loop_asset(kinds={"vllm", "parquet"})
def responses(work: Materialization, prompts: pl.LazyFrame, policy: Model) -> Result:
    """The policy answers every prompt K times. Identical responses stay in the table, marked, and are not judged."""
    section, encode = work.recipe.responses, encoder(work)
    asked = prompts.collect()
    given = zip(asked["prompt_id"], conversations.asked(asked), strict=True)
    requests = (Request(i, encode.prompt_ids(prompt), section.k) for i, prompt in given)

    samples = sample(work, encode, requests, asked.height, section, n=section.k)
    rows = method.responses(samples.completions, work.iteration)

    numbers = samples.numbers | response_numbers(rows)
    if work.recipe.prompts.source == "world":
        numbers |= world_numbers(rows.join(asked, on="prompt_id"))
    return work.table(
        Selected(rows, samples.dropped),
        numbers,
        beside={"prompts": asked, **work.earlier("responses")},
        pictures={"lengths": lengths({"responses": rows["response"].str.len_chars()}, "responses")},
    )
