"""The shape of a model: known ones, those of a folder, and what is none."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.planning.shapes import (
    KNOWN,
    Shape,
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
    """Where the width of a head is not said, it is 4096 / 32; whether it is tied goes by its type then."""
    read = shape_of_config("8b", LLAMA | {"model_type": "llama"})
    assert read == KNOWN["8b"]
    assert shape_of_config("8b", {"text_config": LLAMA, "vision_config": {}}) == read


@pytest.mark.parametrize(
    "change",
    [
        *({"hidden_size": None}, {"hidden_size": "4096"}, {"vocab_size": 0}, {"head_dim": "a"}),
        *({"num_local_experts": 8}, {"n_routed_experts": 64}, {"moe_num_experts": 64}),
    ],
)
def test_what_gives_no_shape(change: dict[str, Any]) -> None:
    assert shape_of_config("8b", LLAMA | change) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "smollm3", "cohere2", "nemotron", "starcoder2", "phi"],
)
def test_weights_are_those_of_transformers(kind: str) -> None:
    """Of a model of each type whose config.json does not say whether it is tied, within 1%: biases are left out."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = LLAMA | {"num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 1536, "vocab_size": 8000}
    sizes |= {"head_dim": 16, "num_attention_heads": 32}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, pad_token_id=0))
    true = sum(weights.numel() for weights in {id(w): w for w in model.parameters()}.values())
    shape = shape_of_config(kind, sizes | {"model_type": kind})
    assert shape is not None and shape.weights == pytest.approx(true, rel=0.01)


def test_as_many_weights_as_are_stored(tmp_path: Path) -> None:
    """The files count where they are there: an output embedding of its own, no gates, and what else there is.

    An output embedding that is stored though it is the input embedding is not counted. A config.json that says nothing
    of its weights, or weights that are packed, are counted by the shape.
    """
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    plain = shape_of_folder(tmp_path)
    assert plain == Shape(tmp_path.name, 1, 8, 16, 2, 1, 10, False, 4)
    store(tmp_path, {"embed": [10, 8], "lm_head.weight": [10, 8], "mlp.up_proj": [16, 8], "visual": [100]})
    found = shape_of_folder(tmp_path)
    assert found is not None and (found.tied, found.gated, found.weights) == (False, False, 80 + 80 + 128 + 100)
    store(tmp_path, {"embed": [10, 8], "mlp.gate_proj": [16, 8]})
    found = shape_of_folder(tmp_path)
    assert found is not None and (found.tied, found.gated, found.weights) == (True, True, 80 + 128)
    store(tmp_path, {"embed": [10, 8], "lm_head.weight": [10, 8]})
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"tie_word_embeddings": True}))
    found = shape_of_folder(tmp_path)
    assert found is not None and (found.tied, found.weights) == (True, 80)
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"quantization_config": {"bits": 4}}))
    assert shape_of_folder(tmp_path) == plain


SMALL = {
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
}


def store(folder: Path, shapes: dict[str, list[int]]) -> None:
    """A file of weights of zeros, of one byte each."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [end, end + prod(shape)]}
        end += prod(shape)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


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
