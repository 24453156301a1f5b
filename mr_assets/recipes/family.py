"""Families: runs whose seed prompts, EFT data and M_0 are the same share them under one name.

The base recipe named like the family defines the plain name; a run that changes anything that shapes those three
artifacts (another ``seed``, another SFT) gets a hash of its settings too: ``small_world`` becomes
``small_world_5f0c1e``.
"""

import json
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any

from mr_assets.judging import ONLY_JUDGMENTS, PAPERS
from mr_assets.recipes.recipe import GENERATED, SPEED_FIELDS, Iteration, Recipe
from mr_assets.recipes.validation import validated
from mr_assets.recipes.yaml_files import FOLDER, OF_FILE, read_recipe

ADDED_TO_PROMPTS = ("split", "generator")
"""Fields of the section that earlier versions did not have: where they are null, a family keeps its name."""


def family_name(recipe: Recipe) -> str:
    """Namespace of the three shared artifacts: the family, with a hash of the settings if it is not the plain one.

    It is compared with the shipped base of the family's name as it is now; where there is none, the hash is there.
    """
    settings = family_settings(recipe)
    base = FOLDER / f"{recipe.family}.yaml"
    if base.is_file() and settings == _base_settings(base):
        return recipe.family
    return f"{recipe.family}_{blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=3).hexdigest()}"


def family_settings(recipe: Recipe) -> dict[str, Any]:
    """The part of a recipe that shapes seed_prompts, eft_dataset and sft_checkpoint, as JSON.

    The judge template belongs to it, as EFT examples are written with it; where they are made of rankings, words and
    scale, and how the seed model judges. What only decides where a model may come from, how prompts are dealt out
    later, or speed and memory does not.
    """
    fields = {name: True for name in ("seed", "model", "world", "prompts", "eft", "sft")}
    left_out = {"model": {"allow_hub"}, "prompts": {"disjoint"}, **SPEED_FIELDS}
    left_out["prompts"] |= {name for name in ADDED_TO_PROMPTS if getattr(recipe.prompts, name) is None}
    left_out["eft"] = {name for name, value in ONLY_JUDGMENTS.items() if getattr(recipe.eft, name) == value}
    settings = recipe.model_dump(mode="json", include=fields, exclude=left_out)
    if recipe.prompts.source == GENERATED:
        settings["generation"] = recipe.generation.model_dump(mode="json", exclude=SPEED_FIELDS["generation"])
    if recipe.eft.rankings and recipe.eft.meta_judgment_share:
        settings["meta_judge_template"] = recipe.meta_judgments.template
    if recipe.sft and recipe.eft.rankings:
        settings |= {path: attrgetter(path)(recipe) for path in PAPERS}
    if recipe.seed_judges:
        settings |= recipe.model_dump(mode="json", include={"judgments", "engine"}, exclude=SPEED_FIELDS)
    return {**settings, "judge_template": recipe.judgments.template}


def _base_settings(path: Path) -> dict[str, Any]:
    """`family_settings` of a base recipe, which need not have all that a run needs: title and rows are put in."""
    row = Iteration(
        prompts=1, rho=0.0, max_chosen_chars=None, judge_training=False, max_chosen_judgment_chars=None, keep_epoch=1
    )
    raw = {"title": "base", "description": "", "iterations": [row], **read_recipe(path)}
    return family_settings(validated({name: raw[name] for name in raw if name not in OF_FILE}, f"recipe {path.stem}"))
