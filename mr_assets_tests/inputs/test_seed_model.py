"""The seed model's folder: where it is looked for, when it is downloaded, and the content that is recorded of it."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.inputs.seed_model import model_folder as folder_of_field
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.runs.artifact import Model
from mr_assets_tests.tiny import model_folder, tiny_recipe


def test_the_seed_model_is_found_in_the_data_folder(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "mine")
    assert seed_model(tiny_recipe("model.seed=models/mine"), tmp_path) == folder
    assert seed_model(tiny_recipe(f"model.seed={folder}"), tmp_path / "elsewhere") == folder


def test_the_field_that_names_no_folder_is_told(tmp_path: Path) -> None:
    """Nothing is downloaded unless it is allowed; what looks like a hub's name may be a typing error."""
    with pytest.raises(UserError) as error:
        folder_of_field("prompts.generator", "me/mine", None, False, tmp_path)
    assert str(error.value) == (
        f"prompts.generator: there is no folder {tmp_path / 'me/mine'}. Name a local model folder, or, to download "
        "'me/mine' from the Hugging Face hub, set model.allow_hub to true."
    )


def test_a_hubs_model_is_downloaded_where_that_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the revision that the recipe names, without pickled weights; and not where there is a folder of its name."""
    asked: list[tuple[Any, ...]] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, any(pattern.endswith(".bin") for pattern in allow_patterns)))
        return str(model_folder(tmp_path / "cache"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    recipe = tiny_recipe("model.seed=me/mine", "model.revision=abc", "model.allow_hub=true")
    assert seed_model(recipe, tmp_path) == tmp_path / "cache"
    assert asked == [("me/mine", "abc", False)]
    here = model_folder(tmp_path / "me" / "mine")
    assert seed_model(recipe, tmp_path) == here
    assert len(asked) == 1


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"found only pytorch_model\.bin"):
        seed_model(tiny_recipe("model.seed=mine"), tmp_path)


def test_its_content_is_the_recorded_one(tmp_path: Path) -> None:
    """So that another content in its place is found. Where settings name none, as of a hub's, it is that of now."""
    folder = model_folder(tmp_path / "mine")
    noted = seed_as_recorded(folder, {"content of model.seed": "f00d", "model.seed": "mine"})
    assert noted == Model(str(folder), "f00d", "seed")
    assert seed_as_recorded(folder, {"model.seed": "mine"}) == Model(str(folder), fingerprint(folder), "seed")
