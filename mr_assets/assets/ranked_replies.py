"""ranked_replies: what people replied to first prompts of Open Assistant, and how they ranked it (Yuan et al. 2024)."""

from mr_assets.inputs.open_assistant import rankings, said
from mr_assets.method.numbers import ranked_reply_numbers
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result


@loop_asset(kinds={"polars", "parquet"})
def ranked_replies(work: Materialization) -> Result:
    """The ranked replies of the file that the recipe names; a share of the prompts is held out, by which to measure."""
    found = rankings(work.recipe, work.run.data)
    work.context.log.info(said(work.recipe, found))

    return work.table(found, ranked_reply_numbers(found.rows))
