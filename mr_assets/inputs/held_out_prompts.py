"""The prompts that nothing is trained on and every model answers, as a recipe names them (`held_out.source`).

world         the small world's, of which neither seed prompts nor EFT data have any
rankings      the first prompts of eft.source that are held out
FILE          of prompts, as prompts.source names one; those that the loop trains on are dropped
"""

from pathlib import Path

import polars as pl

from mr_assets.errors import UserError
from mr_assets.inputs.prompt_sources import read_prompts
from mr_assets.method.conversations import with_turns
from mr_assets.method.prompts import check_prompts
from mr_assets.method.ranked_replies import held_out_prompts as held_out_of
from mr_assets.recipes.recipe import RANKINGS, Recipe
from mr_assets.worlds.letters import make_prompts

WHAT = "held-out prompts"


def held_out_prompts(recipe: Recipe, data: Path, ranked_replies: pl.DataFrame | None) -> pl.DataFrame:
    """The held-out prompts of a recipe that has the section: prompt_id, prompt, and turns if it has conversations.

    ranked_replies: rows of `RANKED_REPLIES`, where the recipe takes them from there. Raises `UserError` for a file that
    cannot be used, and where there are fewer prompts than the recipe says.
    """
    section = recipe.held_out
    assert section is not None
    if section.source == "world":
        assert section.prompts is not None, "a recipe without it is refused"
        found = pl.DataFrame({"prompt": make_prompts(section.prompts, seed="held out", held_out=True)})
    elif section.source == RANKINGS:
        assert ranked_replies is not None, "a recipe without them is refused"
        found = pl.DataFrame({"prompt": held_out_of(ranked_replies)})
    else:
        found = with_turns(read_prompts(section.source, recipe.prompts.column, data))
    prompts = check_prompts(found, f"{WHAT} of {section.source}")
    if section.prompts is not None and prompts.height < section.prompts:
        raise UserError(
            f"held_out.prompts = {section.prompts}: {section.source} has {prompts.height} prompts. Lower it, or name "
            "a larger file."
        )
    return prompts.head(section.prompts) if section.prompts is not None else prompts
