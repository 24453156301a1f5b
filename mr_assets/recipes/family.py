"""Families: runs whose seed prompts, EFT data and M_0 are the same share them under one name.

The base recipe named like the family defines the plain name; a run that changes anything that shapes those three
artifacts (another ``seed``, another SFT) gets a hash of its settings too: ``small_world`` becomes
``small_world_5f0c1e``.
"""

import json
from collections import ChainMap
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mr_assets.judging import ONLY_JUDGMENTS, PAPERS
from mr_assets.loop import LOOP
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.recipes.validation import validated
from mr_assets.recipes.yaml_files import FOLDER, OF_FILE, read_recipe

SPELT = {
    "judgments.template": "judge_template",
    "meta_judgments.template": "meta_judge_template",
    **{path: path for path in PAPERS},
}
"""What has no section in the settings of a family, and how it is called there."""
ADDED: dict[str, dict[str, Any]] = {"prompts": {"split": None, "generator": None}, "eft": ONLY_JUDGMENTS}
"""Fields that earlier versions did not have, and their values then: with these a family keeps its name."""


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
    """What shapes the artifacts that a family shares, as their rows of the loop say, as JSON.

    It has the form, and leaves out the values, with which families are named from the first version on.
    """
    shaping = ChainMap(*(shaping_settings(recipe, asset, None) for asset in LOOP.of(recipe).per("family")))
    found: dict[str, Any] = {}
    for path, value in sorted(shaping.items(), key=lambda item: "." not in item[0]):  # a whole section has its fields
        section, _, field = path.partition(".")
        if path in SPELT:
            found[SPELT[path]] = value
        elif field:
            found.setdefault(section, {})[field] = value
        else:
            found[path] = value
    for section, added in ADDED.items():
        found[section] = {name: value for name, value in found[section].items() if (name, value) not in added.items()}
    if not recipe.eft.rankings and recipe.meta_judgments.template is None:
        found.pop(SPELT["meta_judgments.template"], None)
    return found


def _base_settings(path: Path) -> dict[str, Any]:
    """`family_settings` of a base recipe, which need not have all that a run needs: title and rows are put in."""
    row = Iteration(
        prompts=1, rho=0.0, max_chosen_chars=None, judge_training=False, max_chosen_judgment_chars=None, keep_epoch=1
    )
    raw = {"title": "base", "description": "", "iterations": [row], **read_recipe(path)}
    return family_settings(validated({name: raw[name] for name in raw if name not in OF_FILE}, f"recipe {path.stem}"))
