"""SFT on EFT: evaluation conversations as token ids (sections 3.1 and A.3)."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

import polars as pl

from mr_assets.method.conversations import as_prompt
from mr_assets.method.dpo_dataset import Encoder
from mr_assets.tables import Selected, dropped_frame
from mr_assets.templates import Template


class CompletionEncoder(Encoder, Protocol):
    """An encoder that also knows whole answers which were not sampled here."""

    def completion_ids(self, text: str) -> Sequence[int]:
        """Ids of a whole answer with the token that ends it."""


def sft_dataset(
    eft: pl.DataFrame, encoder: CompletionEncoder, *templates: Template, max_length: int | None
) -> Selected:
    """Columns example_id, prompt_token_ids, completion_token_ids, one row per example.

    A prompt that is one of the templates filled is encoded as the sampling engine will see it. Examples longer than
    `max_length` tokens are dropped (reason too_long), never cut.
    """
    rows, dropped = [], []
    for example, prompt, completion in eft.select("example_id", "prompt", "completion").iter_rows():
        text = prompt[0]["content"] if len(prompt) == 1 else ""
        filled = ((template, template.unfill(text)) for template in templates)
        template, values = next((each for each in filled if each[1] is not None), (None, None))
        asked = encoder.template_ids(template, values) if template and values else encoder.prompt_ids(as_prompt(prompt))
        said = encoder.completion_ids(completion[0]["content"])
        if max_length is not None and len(asked) + len(said) > max_length:
            numbers = json.dumps({"tokens": len(asked) + len(said), "max_length": max_length})
            dropped.append((example, "too_long", numbers))
        else:
            rows.append((example, asked, said))
    schema: dict[str, Any] = {
        "example_id": pl.String,
        "prompt_token_ids": pl.List(pl.Int32),
        "completion_token_ids": pl.List(pl.Int32),
    }
    return Selected(pl.DataFrame(rows, schema=schema, orient="row"), dropped_frame(dropped))
