"""held_out_responses: what each model answers to prompts that nothing is trained on, per model."""

import polars as pl

from mr_assets.inputs.held_out_prompts import held_out_prompts
from mr_assets.method import conversations
from mr_assets.method import held_out_responses as method
from mr_assets.sampling.engine import Request
from mr_assets.tables import Selected
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of
from mr_assets.wiring.pictures import lengths
from mr_assets.wiring.sampling import encoder, sample
from mr_assets.worlds.truth import checker


@loop_asset(kinds={"vllm", "parquet"})
def held_out_responses(work: Materialization) -> Result:
    """The model answers every held-out prompt K times, as the actor does. Seed prompts are dropped."""
    work.policy, section = model_of(work), work.recipe.held_out
    assert section is not None
    encode, ranked, trained = encoder(work), work.upstream("ranked_replies"), work.upstream("seed_prompts")
    given = held_out_prompts(work.recipe, work.run.data, None if ranked is None else ranked.collect())
    assert trained is not None, "every recipe has seed prompts"
    asked, dropped = method.untrained(given, trained.collect())
    answered = zip(asked["prompt_id"], conversations.asked(asked), strict=True)
    requests = (Request(i, encode.prompt_ids(prompt), section.per_prompt) for i, prompt in answered)

    samples = sample(work, encode, requests, asked.height, work.recipe.responses, n=section.per_prompt)
    rows = method.held_out_responses(samples.completions, asked, checker(work.recipe))

    numbers = samples.numbers | method.held_out_response_numbers(rows)
    return work.table(
        Selected(rows, pl.concat([dropped, samples.dropped])),
        numbers,
        pictures={"lengths": lengths({"responses": rows["response"].str.len_chars()}, "responses")},
    )
