"""The reward model of a recipe: a local folder, or a model of a hub that the user has allowed."""

from pathlib import Path

from mr_assets.chat import ChatEncoder
from mr_assets.inputs.seed_model import model_folder
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.sampling.reward_model import check_reward_model
from mr_assets.sampling.settings import RewardSettings

FIELD = "reward_model.folder"


def reward_model_folder(recipe: Recipe, settings: RewardSettings, data: Path, field: str = FIELD) -> Path:
    """Its folder, which `field` names; downloaded first if that is a hub name and `model.allow_hub` is true.

    Raises as `seed_model` does.
    """
    return model_folder(field, settings.folder, None, recipe.model.allow_hub, data)


def check_rewards(recipe: Recipe, settings: RewardSettings, data: Path, field: str = FIELD) -> None:
    """Raise `UserError` for what would stop a reward model later: folder, weights, labels, chat template, length.

    One of a hub that is not here yet is looked at when it is used.
    """
    if recipe.model.allow_hub and not resolve(settings.folder, data).is_dir():
        return
    folder = reward_model_folder(recipe, settings, data, field)
    check_reward_model(folder, settings.max_length)
    ChatEncoder.load(folder, date=recipe.model.date).conversation_ids("Who wrote Hamlet?", "Shakespeare.")
