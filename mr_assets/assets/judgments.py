"""judgments: the policy scores every response N times, as the judge (section 2.1, prompt of A.1)."""

import polars as pl

from mr_assets.method.judgments import to_judge
from mr_assets.runs.artifact import Model
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judge import judged, judged_by_rewards
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"vllm", "parquet"})
def judgments(work: Materialization, prompts: pl.LazyFrame, responses: pl.LazyFrame, policy: Model) -> Result:
    """The policy judges every response N times by the rubric; the score is parsed from its own completion alone.

    Where the recipe names a reward model, that gives every response one reward in their place (section 3.5).
    """
    asked = to_judge(responses, prompts).collect()
    if work.recipe.reward_model is not None:
        return judged_by_rewards(work, asked, prompts.collect(), responses=responses)

    return judged(work, asked, responses=responses)
