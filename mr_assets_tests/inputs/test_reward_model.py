"""A reward model is looked at before anything is launched."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.reward_model import check_rewards, reward_model_folder
from mr_assets.sampling.settings import RewardSettings
from mr_assets_tests.reward_model import reward_model
from mr_assets_tests.tiny import tiny_recipe

RM = RewardSettings(folder="rm")


def test_its_folder_is_found_in_the_data_folder(tmp_path: Path) -> None:
    """A missing one is told by the field that names it."""
    with pytest.raises(UserError, match=r"^reward_model\.folder: there is no folder .*/rm\. Name a local model folder"):
        reward_model_folder(tiny_recipe(), RM, tmp_path)
    with pytest.raises(UserError, match=r"^win_rates\.judge: there is no folder"):
        check_rewards(tiny_recipe(), RM, tmp_path, "win_rates.judge")
    folder = reward_model(tmp_path / "rm", weights=False)
    assert reward_model_folder(tiny_recipe(), RM, tmp_path) == folder


def test_what_would_stop_it_later_is_told(tmp_path: Path) -> None:
    """A whole one passes. It reads 512 tokens, is a classifier, and its chat template shows the answer."""
    folder = reward_model(tmp_path / "rm", weights=False)
    check_rewards(tiny_recipe(), RM, tmp_path)
    with pytest.raises(UserError, match=r"reward_model\.max_length = 513: the model in .* reads 512 tokens at most"):
        check_rewards(tiny_recipe(), RewardSettings(folder="rm", max_length=513), tmp_path)
    reward_model(folder, weights=False, architectures=["LlamaForCausalLM"])
    with pytest.raises(UserError, match="names the architecture LlamaForCausalLM"):
        check_rewards(tiny_recipe(), RM, tmp_path)
    reward_model(folder, weights=False)
    (folder / "chat_template.jinja").write_text("<|user|>{{ messages[0]['content'] }}<|end|><|assistant|>")
    with pytest.raises(UserError, match="chat template"):
        check_rewards(tiny_recipe(), RM, tmp_path)


def test_a_hubs_is_looked_at_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is here already; nothing is downloaded for the check."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    recipe = tiny_recipe("model.allow_hub=true")
    check_rewards(recipe, RewardSettings(folder="me/rm"), tmp_path)
    reward_model(tmp_path / "me" / "rm", weights=False, architectures=["LlamaForCausalLM"])
    with pytest.raises(UserError, match="names the architecture LlamaForCausalLM"):
        check_rewards(recipe, RewardSettings(folder="me/rm"), tmp_path)
