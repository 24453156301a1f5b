"""The seed model of a recipe: a local folder, or a model of a hub that the user has allowed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.model_folder import check_model_folder
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.artifact import Model
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.settings import CONTENT


def seed_model(recipe: Recipe, data: Path) -> Path:
    """The folder of the recipe's seed model, checked; downloaded first if it is a hub name and `allow_hub` is true.

    Raises `UserError` for a folder that is missing, unreadable or no chat model in safetensors.
    """
    folder = resolve(recipe.model.seed, data)
    if not folder.is_dir():
        if not recipe.model.allow_hub:
            raise UserError(
                f"model.seed: there is no folder {folder}. Name a local model folder, or, to download "
                f"{recipe.model.seed!r} from the Hugging Face hub, set model.allow_hub to true."
            )
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model"]
        folder = Path(snapshot_download(recipe.model.seed, revision=recipe.model.revision, allow_patterns=patterns))
    check_model_folder(folder)
    return folder


def seed_as_recorded(folder: Path, settings: Mapping[str, Any]) -> Model:
    """The seed model in `folder` with the content that settings name, which `Model.check` compares.

    settings: of a record or of an asset under way; of a model of a hub they name no content.
    """
    return Model(str(folder), settings.get(f"{CONTENT}model.seed") or fingerprint(folder), "seed")
