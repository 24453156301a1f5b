"""probe_judgments: every model's judge on the same responses, the seed model's to held-out prompts, per model."""

import polars as pl

from mr_assets.method.responses import mark_duplicates
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judge import judged
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of


@loop_asset(kinds={"vllm", "parquet"})
def probe_judgments(work: Materialization) -> Result:
    """The model judges the seed model's responses to the held-out prompts. Identical ones are judged once."""
    work.policy, section = model_of(work), work.recipe.probe
    assert section is not None
    responses = work.upstream("held_out_responses", "the seed")
    assert responses is not None, "a recipe without it is refused"
    asked = mark_duplicates(responses.collect()).filter(pl.col("duplicate_of").is_null())

    return judged(work, asked, section.per_response, held_out_responses=responses)
