"""What a GPU holds, against what was computed by hand for the paper's setting."""

import pytest

from mr_assets.planning.memory import (
    engine_memory,
    kv_tokens,
    optimizer_bytes,
    trained_weights,
    training_memory,
    weight_bytes,
)
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.recipe import Recipe

SHAPE = KNOWN["8b"]


def gigabytes(parts: object) -> dict[str, int]:
    assert isinstance(parts, dict)
    return {name: round(count / 1e9) for name, count in parts.items()}


def test_dpo_of_8b_on_one_card(paper: Recipe) -> None:
    """32 weights + 32 gradients + 19 optimizer + 14 copies + 9 layer inputs + 8 for the rest = 114 GB.

    The optimizer has 2 bytes of each of 8.03 billion weights, and 8 of the 0.53 billion of the input embedding.
    """
    memory = training_memory(SHAPE, paper.dpo)
    assert gigabytes(memory.parts) == {
        "weights": 32,
        "gradients": 32,
        "optimizer": 19,
        "bf16 copies": 14,
        "layer inputs": 9,
        "one layer": 5,
        "CUDA": 3,
    }
    assert round(memory.needed / 1e9) == 114
    assert round(memory.least / 1e9) == 97


def test_several_processes(paper: Recipe) -> None:
    """Data parallelism adds a second copy of the gradients; FSDP shares out all but what is unpacked at a time."""
    dpo = paper.dpo.model_copy(update={"num_processes": 8, "optimizer": "adamw_torch"})
    plain, sharded = training_memory(SHAPE, dpo).parts, training_memory(SHAPE, dpo, sharded=True).parts
    assert plain["buckets of data parallelism"] == plain["gradients"] == 4 * SHAPE.weights
    assert sharded["weights"] == sharded["gradients"] == sharded["optimizer"] / 2 == 4 * SHAPE.weights / 8
    assert "buckets of data parallelism" not in sharded
    embeddings = 2 * 128256 * 4096 + 4096
    assert sharded["unpacked weights"] == 4 * (embeddings + 2 * SHAPE.layer)


def test_adapters_alone_have_gradients_and_an_optimizer(paper: Recipe) -> None:
    """Rank 16 in each of 32 layers: q and o 4096 + 4096, k and v 4096 + 1024, the other three 4096 + 14336 each."""
    dpo = paper.dpo.model_copy(update={"lora_r": 16, "num_processes": 2})
    parts = training_memory(SHAPE, dpo).parts
    adapters = 32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18432)
    assert parts["gradients"] == parts["buckets of data parallelism"] == 4 * adapters
    assert parts["optimizer"] == 2 * adapters
    assert parts["weights"] == 4 * SHAPE.weights
    assert parts["bf16 copies"] == 2 * SHAPE.layer  # of what gets no gradient, nothing is kept from pass to pass
    whole = training_memory(SHAPE, dpo.model_copy(update={"gradient_checkpointing": False})).parts
    assert whole["bf16 copies"] == 2 * 32 * SHAPE.layer  # until the pass went back


def test_adapters_of_the_matrices_that_are_named(paper: Recipe) -> None:
    """q 4096 + 4096 and v 4096 + 1024, of rank 16 in 32 layers; of a name that is no matrix's nothing is known."""
    dpo = paper.dpo.model_copy(update={"lora_r": 16, "lora_target_modules": "q_proj, v_proj,other"})
    assert trained_weights(SHAPE, dpo) == 32 * 16 * (8192 + 5120)
    assert optimizer_bytes(SHAPE, dpo) == 2 * 32 * 16 * (8192 + 5120)


@pytest.mark.parametrize(
    ("field", "value", "less"),
    [
        ("micro_batch_size", 1, True),
        ("max_length", 2048, True),
        ("optimizer", "adamw_torch", False),
        ("gradient_checkpointing", False, False),
        ("precision", "fp32", True),
    ],
)
def test_what_takes_more_and_less(paper: Recipe, field: str, value: object, less: bool) -> None:
    """fp32 has no bf16 copies of the weights."""
    changed = training_memory(SHAPE, paper.dpo.model_copy(update={field: value}))
    assert (changed.needed < training_memory(SHAPE, paper.dpo).needed) is less


def test_the_engines_cache(paper: Recipe) -> None:
    """0.9 x 141 GB less 16 GB of weights and 3 GB of CUDA, at 131,072 bytes a token: 822,750 tokens."""
    assert kv_tokens(SHAPE, paper.engine, 141) == pytest.approx((0.9 * 141e9 - 2 * SHAPE.weights - 3e9) / 131_072)
    assert kv_tokens(SHAPE, paper.engine, 16) == 0
    two = paper.engine.model_copy(update={"tensor_parallel_size": 2})
    assert kv_tokens(SHAPE, two, 24) == pytest.approx((0.9 * 24e9 - SHAPE.weights - 3e9) / 65_536)
    assert engine_memory(SHAPE, paper.engine).parts["cache of one completion"] == 131_072 * 8192
    staged = engine_memory(SHAPE, two.model_copy(update={"extra": {"pipeline_parallel_size": 4}})).certain
    assert staged == {"weights": 2 * SHAPE.weights / 8, "cache of one completion": 131_072 * 8192 / 8}


@pytest.mark.parametrize(
    ("quantization", "dtype", "size"),
    [(None, "bfloat16", 2), (None, "float32", 4), ("fp8", "bfloat16", 1), ("gptq_marlin", "bfloat16", 0.5)],
)
def test_quantized_weights(paper: Recipe, quantization: str | None, dtype: str, size: float) -> None:
    engine = paper.engine.model_copy(update={"quantization": quantization, "dtype": dtype})
    assert weight_bytes(SHAPE, engine) == size * SHAPE.weights
