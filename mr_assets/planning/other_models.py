"""The models beside the loop's own that a recipe runs: reward models, another judge of win rates, another generator.

others(recipe)     Other("win_rates", "win_rates.judge", "models/judge-7b", None)
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mr_assets.recipes.recipe import Recipe
from mr_assets.sampling.settings import RewardSettings


@dataclass(frozen=True)
class Other:
    """A model that the loop does not train.

    asset: what it makes; field: what names it in the recipe; folder: its folder, or a hub's name; rewards: the settings
    of a reward model, None for one that an engine samples from.
    """

    asset: str
    field: str
    folder: str
    rewards: RewardSettings | None = None


def others(recipe: Recipe) -> Iterator[Other]:
    """All of a recipe's."""
    if recipe.reward_model is not None:
        yield Other("judgments", "reward_model", recipe.reward_model.folder, recipe.reward_model)
    if (section := recipe.win_rates) is not None:
        if section.reward_model is not None:
            rewards = RewardSettings(folder=section.reward_model)
            yield Other("win_rates", "win_rates.judge", section.reward_model, rewards)
        elif section.folder is not None:
            yield Other("win_rates", "win_rates.judge", section.folder)
    if recipe.prompts.generator is not None and not recipe.prompts.by_endpoint:
        yield Other("generated_prompts", "prompts.generator", recipe.prompts.generator)
