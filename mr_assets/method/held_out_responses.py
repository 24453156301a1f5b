"""Responses to prompts that nothing is trained on: what a model answers, and what that is worth where it is known.

held_out.3f1c09aa72be.r0    sample 0 of that prompt; the same id for every model
"""

from collections.abc import Callable

import polars as pl

from mr_assets.ids import response_ids
from mr_assets.method import Frame
from mr_assets.method.bootstrap import mean_with_interval
from mr_assets.method.dropped import dropped
from mr_assets.method.numbers import Numbers
from mr_assets.method.ranked_replies import same
from mr_assets.tables import HELD_OUT_RESPONSES, Selected

HELD_OUT = "held_out"
"""What stands in an id in place of the iteration."""


def untrained(prompts: pl.DataFrame, seed_prompts: pl.DataFrame) -> Selected:
    """The prompts that are no seed prompts, whatever case and white space they have; the others are dropped.

    prompts: prompt_id, prompt; seed_prompts: prompt.
    """
    trained = {same(text) for text in seed_prompts["prompt"]}
    on = pl.Series([same(text) in trained for text in prompts["prompt"]], dtype=pl.Boolean)
    return Selected(prompts.filter(~on), dropped(prompts.filter(on), "prompt_id", "trained_on", ["prompt"]))


def held_out_responses(
    completions: Frame, prompts: pl.DataFrame, worth: Callable[[str, str], float | None] | None = None
) -> pl.DataFrame:
    """The responses, columns of `HELD_OUT_RESPONSES`, in the order of completions.

    completions: request_id (of the prompt), sample, text, finish_reason; prompts: prompt_id, prompt. worth: the truth
    of a world: prompt and response to a score, None for a prompt that is none of its.
    """
    rows = (
        completions.lazy()
        .select(
            response_id=response_ids(HELD_OUT, "request_id", "sample"),
            prompt_id="request_id",
            k=pl.col("sample").cast(pl.Int32),
            response="text",
            finish_reason="finish_reason",
        )
        .collect()
        .join(prompts.select("prompt_id", "prompt"), on="prompt_id", maintain_order="left")
    )
    true = [worth(p, r) if worth else None for p, r in rows.select("prompt", "response").iter_rows()]
    return rows.with_columns(true_score=pl.Series(true, dtype=pl.Float64)).select(list(HELD_OUT_RESPONSES.columns))


def held_out_response_numbers(responses: Frame) -> Numbers:
    """Columns in: prompt_id, response, finish_reason, true_score. Means with 95% intervals over prompts."""
    rows = responses.lazy().select("prompt_id", "finish_reason", "true_score", chars=pl.col("response").str.len_chars())
    given = rows.collect()
    numbers: Numbers = {
        "prompts": given["prompt_id"].n_unique(),
        "responses": given.height,
        "cut off": int((given["finish_reason"] == "length").sum()),
    }
    numbers |= mean_with_interval("characters", given, "chars")
    if given["true_score"].count():
        numbers |= mean_with_interval("true_score", given, "true_score")
    return numbers
