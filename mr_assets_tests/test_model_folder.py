"""What a model folder must hold, told before anything is started on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.model_folder import check_model_folder, tensor_shapes


def tensors(size: int = 4) -> bytes:
    """A safetensors file with one tensor of `size` bytes: 8 bytes of length, the header, the data."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    (tmp_path / "config.json").write_text('{"vocab_size": 8}')
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "model.safetensors").write_bytes(tensors())
    return tmp_path


def test_a_whole_folder_passes(folder: Path) -> None:
    """One file of weights, or an index and its shards; the template in a file or in the tokenizer's configuration."""
    check_model_folder(folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-00001-of-00001.safetensors"}}')
    check_model_folder(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "found none"),
        ("tokenizer.json", "tokenizer.json"),
        ("chat_template.jinja", "no chat template"),
    ],
)
def test_what_is_missing_is_named(folder: Path, missing: str, message: str) -> None:
    """Each part that lacks is an error of its own."""
    (folder / missing).unlink()
    with pytest.raises(UserError, match=message):
        check_model_folder(folder)


def test_tensors_are_those_of_all_files(folder: Path) -> None:
    """By their names; none of a file that is not whole."""
    assert tensor_shapes(folder) == {"w": [4]}
    (folder / "model.safetensors").write_bytes(tensors()[:-1])
    with pytest.raises(UserError, match="bytes, expected"):
        tensor_shapes(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Also when it looks like a hub's name."""
    with pytest.raises(UserError, match="does not exist"):
        check_model_folder(tmp_path / "meta-llama")


def test_pickled_weights_are_refused(folder: Path) -> None:
    """A .bin file may run code when it is loaded."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="may run code"):
        check_model_folder(folder)


@pytest.mark.parametrize(
    "content",
    [
        tensors()[:-1],
        tensors() + b"x",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4\n",
        b"",
    ],
    ids=["cut off", "too long", "git lfs pointer", "empty"],
)
def test_broken_weights_are_refused(folder: Path, content: Any) -> None:
    """8 + header + 4 bytes of data are expected, no more and no less."""
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        check_model_folder(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    """The index names it, the folder lacks it."""
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-2.safetensors"}}')
    with pytest.raises(UserError, match=r"lacks model-2\.safetensors"):
        check_model_folder(folder)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "[]", "expected a JSON object, found list"),
        ("config.json", DEEP, "cannot be read as JSON"),
        ("config.json", '{"vocab_size": "many"}', 'vocab_size is "many", expected a number of tokens'),
        ("config.json", '{"text_config": {"vocab_size": -1}}', "vocab_size is -1"),
        ("tokenizer_config.json", "3", "expected a JSON object, found int"),
        ("tokenizer_config.json", "{", "cannot be read as JSON"),
        ("tokenizer.json", "null", "expected a JSON object, found NoneType"),
        ("generation_config.json", "[1]", "expected a JSON object, found list"),
        ("generation_config.json", '{"eos_token_id": "</s>"}', 'eos_token_id is "</s>", expected a token id or a list'),
        ("generation_config.json", '{"eos_token_id": [1, null]}', "eos_token_id is [1, null]"),
        ("model.safetensors.index.json", '{"weight_map": ["model.safetensors"]}', "weight_map is "),
        ("model.safetensors.index.json", '{"weight_map": {"w": 3}}', "weight_map is "),
        ("model.safetensors.index.json", '{"weight_map": {"w": "../model.safetensors"}}', "weight_map is "),
        ("model.safetensors.index.json", '{"weight_map": {}}', "weight_map is {}"),
        ("model.safetensors.index.json", "{}", "weight_map is null"),
        ("model.safetensors.index.json", '"x"', "expected a JSON object, found str"),
    ],
)
def test_malformed_json_is_one_message(folder: Path, name: str, content: Any, message: str) -> None:
    """The file, what was expected and what came."""
    (folder / name).write_text(content)
    with pytest.raises(UserError) as error:
        check_model_folder(folder)
    assert message in str(error.value)
    assert str(folder / name) in str(error.value)


@pytest.mark.parametrize("header", [b"[]", b'{"w": 3}', b'{"w": {"data_offsets": []}}', b"[" * 100_000, b"{}"])
def test_a_header_of_another_shape_is_refused(folder: Path, header: Any) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match="is not a safetensors file"):
        check_model_folder(folder)


@pytest.mark.parametrize("ends", ["7", "[7, 8]", "null"])
def test_end_tokens_of_a_generation_config(folder: Path, ends: Any) -> None:
    """One, several or none."""
    (folder / "generation_config.json").write_text(f'{{"eos_token_id": {ends}}}')
    check_model_folder(folder)
