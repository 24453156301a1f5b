"""What a model folder must hold before an engine or a trainer is started on it.

    config.json
    model.safetensors                 or model.safetensors.index.json and the shards that it names
    tokenizer.json, tokenizer_config.json
    chat_template.jinja               or a chat_template inside tokenizer_config.json

Looking takes milliseconds and needs neither torch nor transformers, so that a wrong path is told at once.
"""

import json
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError, shown

AGAIN = "Copy the model folder again."


def check_model_folder(folder: Path) -> None:
    """Raise `UserError` if `folder` is not a complete Hugging Face model folder with a chat template.

    Weights are read from safetensors alone: a pickled ``.bin`` can run code when it is loaded. Each weight file's
    header is checked against the file's size, which shows a broken copy and a Git LFS pointer.
    """
    if not folder.is_dir():
        raise UserError(f"model folder {folder} does not exist. Name a local folder with config.json and safetensors.")
    _json(folder / "config.json")
    vocabulary_size(folder)
    _check_generation_config(folder / "generation_config.json")
    for weights in _weight_files(folder):
        _check_safetensors(weights)
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"model folder {folder} has no tokenizer.json. Save the model's fast tokenizer beside it.")
    _json(folder / "tokenizer.json")
    tokenizer = folder / "tokenizer_config.json"
    template = folder / "chat_template.jinja"
    given = _json(tokenizer) if tokenizer.is_file() or not template.is_file() else {}
    if not template.is_file() and not given.get("chat_template"):
        raise UserError(
            f"model folder {folder} has no chat template: expected chat_template.jinja or a chat_template in "
            "tokenizer_config.json. Take an instruction-tuned model, or add the template of its family."
        )


def vocabulary_size(folder: Path) -> int | None:
    """How many tokens the model has an embedding for, if its config.json says so."""
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    of_text = config.get("text_config")
    size = (of_text if isinstance(of_text, dict) else config).get("vocab_size")
    if size is not None and not _is_count(size):
        raise UserError(f"{folder / 'config.json'}: vocab_size is {shown(size)}, expected a number of tokens. {AGAIN}")
    return size


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of each tensor that the weight files hold, by its name; raises `UserError` if one is not whole."""
    return {name: shape for path in _weight_files(folder) for name, shape in _check_safetensors(path).items()}


def architectures(folder: Path) -> list[str]:
    """The classes of transformers that config.json names for the model."""
    named = _json(folder / "config.json").get("architectures")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def most_positions(folder: Path) -> int | None:
    """How many tokens the model reads at most, as config.json and tokenizer_config.json say; None if they do not.

    Where the positions are scaled (a factor of RoPE), the engine alone knows.
    """
    config = _json(folder / "config.json")
    of_text = config.get("text_config")
    config = of_text if isinstance(of_text, dict) else config
    if any(
        isinstance(rope := config.get(key), dict) and "factor" in rope for key in ("rope_scaling", "rope_parameters")
    ):
        return None
    tokenizer = _json(path) if (path := folder / "tokenizer_config.json").is_file() else {}
    said = (*map(config.get, ("max_position_embeddings", "n_positions")), tokenizer.get("model_max_length"))
    return min((count for count in said if isinstance(count, int) and count > 0), default=None)


def _check_generation_config(path: Path) -> None:
    ends = _json(path).get("eos_token_id") if path.is_file() else None
    if ends is not None and not all(map(_is_count, ends if isinstance(ends, list) else [ends])):
        raise UserError(f"{path}: eos_token_id is {shown(ends)}, expected a token id or a list of them. {AGAIN}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = _json(index).get("weight_map")
        files = list(named.values()) if isinstance(named, dict) else []
        if not files or not all(isinstance(file, str) and Path(file).name == file for file in files):
            raise UserError(
                f"{index}: weight_map is {shown(named)}, expected the file in this folder of each weight. {AGAIN}"
            )
        return [folder / name for name in sorted(set(files))]
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    pickles = sorted(p.name for p in folder.glob("*.bin"))
    found = f"found only {', '.join(pickles[:3])}, which may run code when loaded" if pickles else "found none"
    raise UserError(
        f"model folder {folder}: expected model.safetensors, {found}. "
        "Convert the model with save_pretrained, which writes safetensors."
    )


def _check_safetensors(path: Path) -> dict[str, list[int]]:
    """Raise `UserError` if this is no whole safetensors file; else the shapes of its tensors.

    It is 8 bytes (length of the header), the header (JSON) and the tensors that it describes.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 100_000_000 else {}
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: [int(size) for size in entry["shape"]] for name, entry in tensors.items()}
        expected = 8 + length + max(entry["data_offsets"][1] for entry in tensors.values())
        came = path.stat().st_size
    except FileNotFoundError as error:
        raise UserError(f"model folder {path.parent} lacks {path.name}. Copy the folder again.") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is not a safetensors file ({error}). Copy the model folder again.") from error
    if expected != came:
        raise UserError(f"{path} has {came:,} bytes, expected {expected:,}. Copy the model folder again.")
    return shapes


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}. Name a complete model folder.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}. Name a complete model folder.")
    return value
