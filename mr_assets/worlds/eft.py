"""Evaluation fine-tuning data of the small world: judgments that err less than the seed model's."""

from itertools import islice

import polars as pl

from mr_assets.tables import EFT_DATASET
from mr_assets.templates import Template
from mr_assets.worlds.letters import Imperfection, judged_examples


def make_eft(count: int, seed: int, imperfection: Imperfection, template: Template) -> pl.DataFrame:
    """`count` judged responses as conversations (columns of `EFT_DATASET`), the same for the same arguments."""
    rows = [
        (
            str(i),
            [{"role": "user", "content": template.fill({"prompt": prompt, "response": response})}],
            [{"role": "assistant", "content": judgment}],
        )
        for i, (prompt, response, judgment, _) in enumerate(islice(judged_examples(f"eft {seed}", imperfection), count))
    ]
    return pl.DataFrame(rows, schema=EFT_DATASET.schema, orient="row")
