"""The shape of a model: from it follow its weights, its key-value cache and the work of a token.

    Llama 3 8B: 32 layers, width 4,096, 8 of 32 heads with keys and values, 128,256 tokens: 8.03 billion weights

Of a model folder it is read from config.json and the headers of its weight files. Where there is no folder yet, a
known shape stands for it.
"""

import json
import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.model_folder import tensor_shapes
from mr_assets.runs.data_folder import resolve

HEAD = 128  # width of a head, where nothing else is said


@dataclass(frozen=True)
class Shape:
    """A decoder: Llama, Qwen, Mistral and the like.

    name: what to call it; layers, hidden (width), intermediate (width of the feed-forward layers), heads, kv_heads
    (heads with keys and values), head (width of one), vocabulary (tokens); tied: input and output embedding are one;
    gated: a feed-forward layer has three matrices, not two; beside: weights that none of these accounts for, where the
    weight files were looked at: biases, a vision tower.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    head: int = HEAD
    gated: bool = True
    beside: int = 0

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each matrix of one layer, by the names that such models give them."""
        queries, keys = (self.hidden, self.heads * self.head), (self.hidden, self.kv_heads * self.head)
        wider, back = (self.hidden, self.intermediate), (self.intermediate, self.hidden)
        attention = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": queries[::-1]}
        return attention | ({"gate_proj": wider} if self.gated else {}) | {"up_proj": wider, "down_proj": back}

    @property
    def layer(self) -> int:
        """Weights of one layer. Biases are left out: less than 0.1% where there are any."""
        return sum(inputs * outputs for inputs, outputs in self.matrices.values()) + 2 * self.hidden

    @property
    def embedding(self) -> int:
        """Weights of the input embedding, and of the output embedding if that is one of its own."""
        return self.vocabulary * self.hidden

    @property
    def weights(self) -> int:
        """All weights of the model."""
        return self.layers * self.layer + self.embedding * (1 if self.tied else 2) + self.hidden + self.beside

    @property
    def multiplied(self) -> int:
        """The weights that every token is multiplied with: all but the input embedding, which is looked up."""
        return self.layers * self.layer + self.embedding

    def flops(self, context: float) -> float:
        """Floating-point operations of one token's forward pass, which attends to `context` tokens."""
        return 2 * self.multiplied + 4 * self.layers * self.heads * self.head * context

    @property
    def cached_values(self) -> int:
        """Numbers in the key-value cache per token."""
        return 2 * self.layers * self.kv_heads * self.head


KNOWN = {
    shape.name: shape
    for shape in (  # as their config.json say
        Shape("135m", 30, 576, 1536, 9, 3, 49152, True, 64),
        Shape("0.5b", 24, 896, 4864, 14, 2, 151936, True, 64),
        Shape("1b", 16, 2048, 8192, 32, 8, 128256, True, 64),
        Shape("1.5b", 28, 1536, 8960, 12, 2, 151936, True),
        Shape("3b", 28, 3072, 8192, 24, 8, 128256, True),
        Shape("7b", 28, 3584, 18944, 28, 4, 152064, False),
        Shape("8b", 32, 4096, 14336, 32, 8, 128256, False),
        Shape("14b", 48, 5120, 13824, 40, 8, 152064, False),
        Shape("32b", 64, 5120, 27648, 40, 8, 152064, False),
        Shape("34b", 60, 7168, 20480, 56, 8, 64000, False),
        Shape("70b", 80, 8192, 28672, 64, 8, 128256, False),
    )
}
"""By weights: those of SmolLM2 (135m), of Qwen2.5 (0.5b, 1.5b, 7b, 14b, 32b), of Yi (34b) and of Llama 3 (1b, 3b, 8b,
70b)."""

_FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "vocabulary": "vocab_size",
}
_EXPERTS = "experts"  # num_local_experts, n_routed_experts, moe_num_experts
_TIED = ("cohere", "cohere2", "ernie4_5", "gemma", "gemma2", "gemma3", "gemma3_text", "smollm3", "starcoder2")
"""Types of models that transformers takes for tied where a config.json does not say it."""
_NOT_GATED = ("apertus", "arcee", "gpt_neox", "nemotron", "persimmon", "phi", "starcoder2")
_QUANTIZED = "quantization_config"  # weights are packed: their number is not that of what is stored


def known_shape(name: str) -> Shape:
    """The known shape of that name, such as 8b. Raises `UserError` with the list."""
    if (found := KNOWN.get(name.lower())) is None:
        raise UserError(
            f"shape {name!r} is not known.{did_you_mean(name.lower(), list(KNOWN))} Name one of {', '.join(KNOWN)}, or "
            "set model.seed to a model folder."
        )
    return found


def shape_of_name(model: str) -> Shape | None:
    """The known shape of the size in a model's name: 8b of meta-llama/Meta-Llama-3-8B-Instruct; None without one."""
    sizes = re.findall(r"(?<![0-9a-z.])([0-9]+(?:\.[0-9]+)?[bm])(?![0-9a-z])", model.lower())
    return next((KNOWN[size] for size in sizes if size in KNOWN), None)


def shape_of_other(named: str, data: Path) -> Shape | None:
    """The shape of another model that a recipe names: its folder's, or the known one of the size in its name."""
    return shape_of_folder(resolve(named, data)) or shape_of_name(named)


def shape_of_folder(folder: Path) -> Shape | None:
    """The shape that a folder gives; None if it is another kind of model, or its config.json does not say it."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    shape = shape_of_config(folder.name, said) if isinstance(said, dict) else None
    if shape is None or said.get(_QUANTIZED):
        return shape
    try:
        return _as_stored(shape, tensor_shapes(folder))
    except UserError:  # its weights are not there yet
        return shape


def _as_stored(shape: Shape, tensors: dict[str, list[int]]) -> Shape:
    """The shape with as many weights as are stored."""
    tied = shape.tied or not any(name.endswith("lm_head.weight") for name in tensors)
    gated = any("gate_" in name for name in tensors)
    stored = sum(prod(size) for name, size in tensors.items() if not (tied and name.endswith("lm_head.weight")))
    found = replace(shape, tied=tied, gated=gated)
    return replace(found, beside=stored - found.weights)


def shape_of_config(name: str, config: dict[str, Any]) -> Shape | None:
    """The shape in a config.json; None if a field is missing or no count, or if it is a mixture of experts."""
    of_text = config.get("text_config")
    config = of_text if isinstance(of_text, dict) else config
    values: dict[str, Any] = {field: config.get(key) for field, key in _FIELDS.items()}
    values["kv_heads"] = config.get("num_key_value_heads") or values["heads"]
    if any(key.endswith(_EXPERTS) and config[key] for key in config) or not all(map(_count, values.values())):
        return None
    head, kind = config.get("head_dim") or values["hidden"] // values["heads"], config.get("model_type")
    tied, gated = config.get("tie_word_embeddings", kind in _TIED) is True, kind not in _NOT_GATED
    return Shape(name, head=head, tied=tied, gated=gated, **values) if _count(head) else None


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def model_shape(seed: str, folder: Path, named: str | None = None) -> tuple[Shape, str]:
    """The shape to plan with, and where it is from, as a sentence.

    named: the shape that a person asked for. Else that of the seed model's folder; if there is none, the known shape
    of the size in the seed's name. Raises `UserError` if there is neither.
    """
    if named is not None:
        found = known_shape(named)
        return found, f"The model's shape is the known one called {found.name}."
    if folder.is_dir():
        if (read := shape_of_folder(folder)) is not None:
            return read, f"The model's shape is that of {folder / 'config.json'}."
        raise UserError(
            f"{folder / 'config.json'} gives no shape to plan with: expected {', '.join(_FIELDS.values())}, and no "
            f"mixture of experts. Name the known shape that is nearest: --shape {', '.join(KNOWN)}."
        )
    if (guessed := shape_of_name(seed)) is not None:
        return guessed, f"There is no folder {folder}: the shape is the known one called {guessed.name}, by its name."
    raise UserError(
        f"model.seed = {shown(seed)}: there is no folder {folder}, and its name has no known size. Name a model folder "
        f"(--set model.seed=...) or a shape: --shape {', '.join(KNOWN)}."
    )
