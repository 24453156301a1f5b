"""The judge of win rates is looked at before anything is launched."""

import json
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.win_rates import check_judge, judge_folder
from mr_assets.recipes.recipe import WinRates
from mr_assets_tests.reward_model import reward_model
from mr_assets_tests.tiny import model_folder, tiny_recipe


def configure(folder: Path, **said: object) -> None:
    """What a model's config.json says besides."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


def check(data: Path, judge: str, *sets: str) -> None:
    check_judge(tiny_recipe(*sets), WinRates(judge=judge), data)


def test_another_language_model_judges(tmp_path: Path) -> None:
    """By its folder, absolute or in the data folder."""
    folder = model_folder(tmp_path / "other")
    assert judge_folder(tiny_recipe(), "other", tmp_path) == folder
    check(tmp_path, "other")
    check(tmp_path / "elsewhere", str(folder))
    with pytest.raises(UserError, match=r"^win_rates\.judge: there is no folder"):
        check(tmp_path, "nowhere")


def test_a_reward_model_has_to_be_named_as_one(tmp_path: Path) -> None:
    """And what is named as one has to be one."""
    reward_model(tmp_path / "rm", weights=False)
    with pytest.raises(UserError) as error:
        check(tmp_path, "rm")
    assert str(error.value) == (
        "win_rates.judge = rm: that is a reward model, which writes no judgments. Write reward_model:rm."
    )
    check(tmp_path, "reward_model:rm")
    model_folder(tmp_path / "other")
    with pytest.raises(UserError, match="a reward model is one for sequence classification"):
        check(tmp_path, "reward_model:other")
    with pytest.raises(UserError, match=r"^win_rates\.judge: there is no folder"):
        check(tmp_path, "reward_model:nowhere")


@pytest.mark.parametrize("judge", ["seed", "world"])
def test_the_seed_model_and_the_truth_need_no_folder(tmp_path: Path, judge: str) -> None:
    check(tmp_path, judge, "model.seed=nowhere")


def test_the_context_is_one_that_the_judge_has(tmp_path: Path) -> None:
    """Of the tiny run's engine it is 512 tokens."""
    folder = model_folder(tmp_path / "other")
    configure(folder, max_position_embeddings=512)
    check(tmp_path, "other")
    configure(folder, max_position_embeddings=511)
    with pytest.raises(UserError) as error:
        check(tmp_path, "other")
    assert str(error.value) == (
        f"engine.max_model_len = 512: the judge of win rates in {folder} reads 511 tokens at most. Lower "
        "engine.max_model_len, or name another judge."
    )
    check(tmp_path, "other", "engine.max_model_len=511")


def test_the_judges_tokenizer_and_template_suit_the_recipe(tmp_path: Path) -> None:
    """An expectation over the scale needs a token for each number; a chat template has to say who is to answer."""
    folder = model_folder(tmp_path / "other")
    ten = ["judgments.score_line=expectation", "judgments.highest_score=10", "world=null", "prompts.source=p.txt"]
    ten += ["prompts.count=null", "eft.source=e.jsonl", "evaluation=null", "judgments.template=judge.txt"]
    (tmp_path / "judge.txt").write_text("Rate {response} to {prompt} from 0 to 10.\nScore: <number>")
    with pytest.raises(UserError, match="writes 10 in several tokens"):
        check(tmp_path, "other", *ten)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}")
    with pytest.raises(UserError, match="what is sampled is not what a conversation says"):
        check(tmp_path, "other")


def test_a_hubs_judge_is_looked_at_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is here already; nothing is downloaded for the check."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    check(tmp_path, "me/other", "model.allow_hub=true")
    reward_model(tmp_path / "me" / "other", weights=False)
    with pytest.raises(UserError, match=r"Write reward_model:me/other\."):
        check(tmp_path, "me/other", "model.allow_hub=true")
