"""The reward model: what its folder must be, and rewards that equal transformers' own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.sampling.engine import Request
from mr_assets.sampling.reward_model import NOTHING_SAMPLED, RewardModel, check_reward_model, is_reward_model
from mr_assets.sampling.settings import RewardSettings
from mr_assets.sampling.shards import sample_shards, scan_shards
from mr_assets_tests.reward_model import SEED_MODEL, reward_model

ASKED = [("Write a b.", "a b"), ("Write c.", "It is c, as you can see here: c."), ("Write d e f.", "d e"), ("x", "")]


def test_what_the_folder_says(tmp_path: Path) -> None:
    """It reads as many tokens as its config.json says, or fewer; a language model is none."""
    folder = reward_model(tmp_path / "rm", weights=False)
    assert (check_reward_model(folder), check_reward_model(folder, 100)) == (512, 100)
    assert is_reward_model(folder) and not is_reward_model(SEED_MODEL)


@pytest.mark.parametrize(
    ("config", "longest", "said"),
    [
        (
            {"architectures": ["LlamaForCausalLM"]},
            None,
            "the architecture LlamaForCausalLM; a reward model is one",
        ),
        ({"architectures": None}, None, "names the architecture none"),
        ({"id2label": {"0": "bad", "1": "good"}}, None, "has 2 labels"),
        ({}, 513, "reward_model.max_length = 513: the model in"),
        ({"model_type": "no such model"}, None, "describes no model that can be loaded"),
    ],
)
def test_a_folder_that_is_no_reward_model(tmp_path: Path, config: Any, longest: int | None, said: str) -> None:
    """It is told before anything is loaded, with what was expected."""
    folder = reward_model(tmp_path / "rm", weights=False, **config)
    with pytest.raises(UserError, match=said):
        check_reward_model(folder, longest)


def test_a_model_that_does_not_say_how_much_it_reads_asks_for_it(tmp_path: Path) -> None:
    folder = reward_model(tmp_path / "rm", weights=False, rope_scaling={"factor": 8.0, "rope_type": "linear"})
    assert check_reward_model(folder, 1000) == 1000
    with pytest.raises(UserError, match=r"Set reward_model\.max_length"):
        check_reward_model(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("reward") / "rm")


def requests(encode: ChatEncoder) -> list[Request]:
    return [Request(str(n), encode.conversation_ids(*asked)) for n, asked in enumerate(ASKED)]


def scored(sampler: RewardModel, asked: list[Request]) -> dict[str, float]:
    """The rewards by the ids of the requests."""
    for request in asked:
        sampler.add(request, NOTHING_SAMPLED)
    found: dict[str, float] = {}
    while sampler.in_flight:
        found |= {id: float(completion.text) for id, [completion] in sampler.step()}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("padding", [0, None])
@pytest.mark.parametrize("size", [1, 3])
def test_rewards_equal_transformers_own(folder: Path, tmp_path: Path, padding: int | None, size: int) -> None:
    """One conversation at a time through its own chat template; in batches too, with a padding token and without."""
    import torch
    from transformers import AutoModelForSequenceClassification

    named = Path(shutil.copytree(folder, tmp_path / "rm"))
    said = json.loads((named / "config.json").read_text())
    (named / "config.json").write_text(json.dumps({**said, "pad_token_id": padding}))
    model = AutoModelForSequenceClassification.from_pretrained(named)
    encode = ChatEncoder.load(named)
    expected = {}
    for n, (prompt, answer) in enumerate(ASKED):
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        ids = encode.tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=False)
        with torch.inference_mode():
            expected[str(n)] = float(model(ids).logits[0, 0])
    assert len(set(expected.values())) == len(ASKED)
    sampler = RewardModel(named, "rm", RewardSettings(folder="rm", batch_size=size))
    assert scored(sampler, requests(encode)) == pytest.approx(expected, abs=1e-6)
    sampler.close()


@pytest.mark.slow
def test_a_killed_stage_goes_on_and_gives_the_same(folder: Path, tmp_path: Path) -> None:
    """With two shards, of which the second is lost: it alone is scored again. What is too long is counted."""
    encode = ChatEncoder.load(folder)
    asked = [*requests(encode), Request("long", [1] * 513)]

    def sampled() -> Any:
        sampler = RewardModel(folder, "rm", RewardSettings(folder="rm", batch_size=2))
        return sample_shards(sampler, asked, NOTHING_SAMPLED, tmp_path, signature={}, seed=0, shard_size=2)

    first = sampled()
    rows = scan_shards(first.paths).collect()
    assert ([x.id for x in first.too_long], first.sampled, rows["request_id"].to_list()) == (["long"], 4, list("0123"))
    first.paths[1].unlink()
    again = sampled()
    assert (again.reused, again.sampled) == (2, 2)
    assert scan_shards(again.paths).collect().equals(rows)


@pytest.mark.slow
def test_weights_without_the_head_are_refused(folder: Path, tmp_path: Path) -> None:
    """Those of a language model, whatever its config.json says: transformers would make the head up."""
    from safetensors.torch import load_file, save_file

    named = Path(shutil.copytree(folder, tmp_path / "rm"))
    weights = load_file(named / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, named / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks the weights score\.weight: its rewards would be by chance"):
        RewardModel(named, "rm", RewardSettings(folder="rm"))


@pytest.mark.slow
def test_a_reward_that_is_no_number_stops_the_stage(folder: Path, tmp_path: Path) -> None:
    """It never counts against a response."""
    from safetensors.torch import load_file, save_file

    named = Path(shutil.copytree(folder, tmp_path / "rm"))
    weights = load_file(named / "model.safetensors")
    save_file(weights | {"score.weight": weights["score.weight"] * float("nan")}, named / "model.safetensors")
    sampler = RewardModel(named, "rm", RewardSettings(folder="rm"))
    with pytest.raises(UserError, match="the reward nan, expected a finite number"):
        scored(sampler, requests(ChatEncoder.load(named)))
