"""The recipe's fields that shape an artifact, by their paths, as its row of the loop names them.

shaping_settings(recipe, "actor_pairs", "2")     {"seed": 0, "iteration.rho": 0.32, "switches.cut_off": ..., ...}

What only changes speed or memory is not among them.
"""

from collections.abc import Mapping
from typing import Any

from mr_assets.loop import LOOP, iteration_of
from mr_assets.recipes.recipe import SPEED_FIELDS, Recipe

JUDGE_SIDE_OFF = {"iteration.judge_training": False}


def shaping_settings(recipe: Recipe, asset: str, partition: str | None) -> dict[str, Any]:
    """The recipe's fields that shape an artifact, by their paths.

    Of the judge's side, if the iteration does not train the judge, only that flag counts.
    """
    t = iteration_of(asset, partition)
    if LOOP[asset].side == "judge" and not recipe.row(t).judge_training:
        return dict(JUDGE_SIDE_OFF)
    data = recipe.model_dump(mode="json", exclude=SPEED_FIELDS)
    data["row"] = {**data["iterations"][t - 1], "learning_rate": recipe.learning_rate(t)}
    data["prompts_until"] = [row["prompts"] for row in data["iterations"][:t]]
    return {path.replace("row.", "iteration."): _at(data, path) for path in LOOP[asset].shaping(recipe)}


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value[part] if value is not None else None
    return value
