"""eft_judgments: the seed model scores every ranked reply N times (Yuan et al. 2024, section 3.1)."""

import polars as pl

from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.method.ranked_replies import in_parts
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judge import judged
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"vllm", "parquet"})
def eft_judgments(work: Materialization, ranked_replies: pl.LazyFrame) -> Result:
    """The seed model judges every ranked reply that is not held out N times, as the judge of the loop does."""
    work.policy = seed_as_recorded(seed_model(work.recipe, work.run.data), work.settings)
    replies, _ = in_parts(ranked_replies.collect())

    return judged(work, replies, ranked_replies=replies)
