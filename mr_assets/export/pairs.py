"""Preference pairs that were trained on, for TRL and as whole conversations, with their scores and ids.

    trl         prompt [{"role": "user", ...}]    chosen [{"role": "assistant", ...}]    rejected [...]
    messages    chosen [{"role": "user", ...}, {"role": "assistant", ...}]               rejected [...]

TRL renders the texts again, through the model's chat template. What was cut off at max_tokens then ends in an end token
that the policy never sampled; the token ids that this project trained on stand beside.
"""

import polars as pl

from mr_assets.lineage.pairs import pairs
from mr_assets.lineage.rows import read
from mr_assets.runs.run import Run

ABOUT = (
    *("pair_id", "kind", "prompt_id", "chosen_id", "rejected_id"),
    *("score_gap", "elo_gap", "length_gap", "reward_margin", "true_gap"),
)
TOKENS = ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids")


def pairs_for_trl(run: Run, t: str) -> pl.DataFrame:
    """One row per pair of iteration t's DPO dataset: prompt, chosen, rejected (messages), `ABOUT` and `TOKENS`."""
    dataset = read(run, "dpo_dataset", t)
    about = pairs(run, [t]).select("pair_id", *(name for name in ABOUT if name not in ("pair_id", "kind")))
    rows = dataset.join(about, on="pair_id", how="left", maintain_order="left")
    return rows.select("prompt", "chosen", "rejected", *ABOUT, *TOKENS)


def pairs_as_messages(rows: pl.DataFrame) -> pl.DataFrame:
    """The same with whole conversations: chosen and rejected begin with the prompt's turns."""
    whole = [pl.concat_list("prompt", side).alias(side) for side in ("chosen", "rejected")]
    return rows.select(*whole, *ABOUT)
