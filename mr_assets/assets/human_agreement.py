"""human_agreement: whether each model's judge ranks held-out replies as people did, per model (Table 7)."""

import polars as pl

from mr_assets.ids import drawn_prompts
from mr_assets.method.human_agreement import agreement_numbers, with_agreement
from mr_assets.method.ranked_replies import in_parts
from mr_assets.tables import HUMAN_AGREEMENT
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judged import scores_of
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of
from mr_assets.wiring.sampling import encoder
from mr_assets.worlds.held_out import ranked


@loop_asset(kinds={"vllm", "parquet"})
def human_agreement(work: Materialization) -> Result:
    """Agreement of the judge with people's ranks of replies that are held out, or with a world's truth."""
    work.policy, section = model_of(work), work.recipe.human_agreement
    assert section is not None
    replies = _ranked(work, section.prompts)

    asked = list(replies.select("prompt", "response").iter_rows())
    scores = scores_of(work, encoder(work), asked, n=section.n or work.recipe.judgments.n)

    given = [said or None for said in scores]
    judged = with_agreement(replies.with_columns(scores=pl.Series(given, dtype=pl.List(pl.Float64))))
    return work.table(judged.select(list(HUMAN_AGREEMENT.whole_schema)), agreement_numbers(judged))


def _ranked(work: Materialization, prompts: int | None) -> pl.DataFrame:
    """The replies that people ranked and nothing is trained on, or a world's, of the first so many prompts."""
    if work.recipe.eft.rankings is None:
        assert prompts is not None, "a recipe without it is refused"
        replies = ranked(prompts)
    else:
        given = work.upstream("ranked_replies")
        assert given is not None
        _, replies = in_parts(given.collect())
    replies = replies.with_columns(prompt_id=drawn_prompts("response_id"))
    if prompts is None:
        return replies
    return replies.filter(pl.col("prompt_id").is_in(replies["prompt_id"].unique().sort().head(prompts).implode()))
