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
    return model_folder("model.seed", recipe.model.seed, recipe.model.revision, recipe.model.allow_hub, data)


def model_folder(field: str, named: str, revision: str | None, allow_hub: bool, data: Path) -> Path:
    """The folder of a model that a field of the recipe names, as `seed_model`; `revision` of a hub's."""
    folder = resolve(named, data)
    if not folder.is_dir():
        if not allow_hub:
            raise UserError(
                f"{field}: there is no folder {folder}. Name a local model folder, or, to download "
                f"{named!r} from the Hugging Face hub, set model.allow_hub to true."
            )
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model"]
        folder = Path(snapshot_download(named, revision=revision, allow_patterns=patterns))
    check_model_folder(folder)
    return folder


def seed_as_recorded(folder: Path, settings: Mapping[str, Any]) -> Model:
    """The seed model in `folder` with the content that settings name, which `Model.check` compares.

    settings: of a record or of an asset under way; of a model of a hub they name no content.
    """
    return Model(str(folder), settings.get(f"{CONTENT}model.seed") or fingerprint(folder), "seed")
