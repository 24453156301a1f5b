"""The shape of a model: known ones, those of a folder, and what is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.planning.shapes import (
    KNOWN,
    known_shape,
    model_shape,
    shape_of_config,
    shape_of_folder,
    shape_of_name,
)
from mr_assets.runs.data_folder import PROJECT

SEED = PROJECT / "data" / "seeds" / "small-world"
LLAMA = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


@pytest.mark.parametrize(
    ("name", "weights"),
    [("1b", 1_235_814_400), ("3b", 3_212_749_824), ("8b", 8_030_261_248), ("70b", 70_553_706_496)],
)
def test_weights_are_those_of_llama_3(name: str, weights: int) -> None:
    """As Meta's safetensors have them."""
    assert KNOWN[name].weights == weights


def test_a_config_gives_the_shape() -> None:
    """Where the width of a head is not said, it is 4096 / 32."""
    read = shape_of_config("8b", LLAMA)
    assert read == KNOWN["8b"]
    assert shape_of_config("8b", {"text_config": LLAMA, "vision_config": {}}) == read


@pytest.mark.parametrize(
    "change",
    [{"hidden_size": None}, {"hidden_size": "4096"}, {"vocab_size": 0}, {"num_local_experts": 8}, {"head_dim": "a"}],
)
def test_what_gives_no_shape(change: dict[str, Any]) -> None:
    assert shape_of_config("8b", LLAMA | change) is None


def test_the_weights_of_the_shipped_seed() -> None:
    """As its safetensors' header has them."""
    with (SEED / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    sizes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    shape = shape_of_folder(SEED)
    assert shape is not None
    assert shape.weights == sum(size[0] * (size[1] if len(size) > 1 else 1) for size in sizes)


def test_a_token_of_the_cache_and_its_operations() -> None:
    """Keys and values of 8 heads of 128 in 32 layers: 65,536 numbers. 7.5 billion weights are multiplied with."""
    shape = KNOWN["8b"]
    assert shape.cached_values == 2 * 32 * 8 * 128
    assert shape.flops(0) == 2 * (8_030_261_248 - 128256 * 4096 - 4096)
    assert shape.flops(1000) - shape.flops(0) == 4 * 32 * 4096 * 1000


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "135m"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "8b"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "0.5b"),
        ("models/llama-3.2-1b", "1b"),
        ("a/model-of-18B", None),
        ("gpt2", None),
    ],
)
def test_the_size_in_a_name(name: str, size: str | None) -> None:
    assert shape_of_name(name) == (KNOWN[size] if size else None)


def test_where_a_shape_is_from(tmp_path: Path) -> None:
    """What a person asks for comes first, then the folder, then the name; and each says so."""
    missing = tmp_path / "Llama-8B"
    assert model_shape("seeds/small-world", SEED, "8b")[0] == KNOWN["8b"]
    shape, said = model_shape("seeds/small-world", SEED)
    assert (shape.layers, shape.name) == (5, "small-world") and str(SEED / "config.json") in said
    shape, said = model_shape("Llama-8B", missing)
    assert shape == KNOWN["8b"] and f"no folder {missing}" in said


def test_no_shape(tmp_path: Path) -> None:
    """The message names what to give."""
    with pytest.raises(UserError, match=r"shape '9b' is not known\. Name one of 135m, 0\.5b"):
        known_shape("9b")
    with pytest.raises(UserError, match=r"model\.seed = \"mine\": there is no folder .*--shape 135m"):
        model_shape("mine", tmp_path / "mine")
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(UserError, match=r"config\.json gives no shape to plan with: expected num_hidden_layers"):
        model_shape("mine", tmp_path)
