"""What a stage holds in a GPU's memory, in bytes, by what holds it.

    dpo, 8B on one GPU: weights 32.1 GB, gradients 32.1, optimizer 19.2, bf16 copies 14.0, layer inputs 8.6, one layer
    5.0, CUDA 3.0: 114.0 in all

Weights, gradients and optimizer are certain; activations are for rows of max_length and come close to it only then.
There are no logits of a whole batch among them: TRL's DPO and SFT work out log-probabilities in chunks of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mr_assets.planning.shapes import Shape
from mr_assets.sampling.settings import EngineSettings, RewardSettings
from mr_assets.training.settings import DPOSettings, TrainingSettings

CUDA = 3e9
"""Of every process: CUDA's context, its libraries' buffers, memory that is torn into pieces."""
OPTIMIZER_BYTES = {"adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2}
"""Per weight: two moments, in fp32 or in 8 bits. The trainer leaves those of an input embedding in fp32."""
DTYPE_BYTES = {"auto": 2, "bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Memory:
    """What one GPU holds. certain: the parts that do not depend on the data; estimated: the others."""

    certain: Mapping[str, float]
    estimated: Mapping[str, float]

    @property
    def least(self) -> float:
        """Bytes without which it cannot begin."""
        return sum(self.certain.values())

    @property
    def needed(self) -> float:
        """Bytes at the most."""
        return self.least + sum(self.estimated.values())

    @property
    def parts(self) -> dict[str, float]:
        """Bytes of everything."""
        return {**self.certain, **self.estimated}


# ----------------------------------------------------------------------------------------------------------- sampling


def reward_memory(shape: Shape, settings: RewardSettings) -> Memory:
    """Of a reward model, on all GPUs together: it is shared out among them where one is too small."""
    return Memory({"weights": shape.weights * DTYPE_BYTES[settings.dtype]}, {"CUDA": CUDA})


def weight_bytes(shape: Shape, engine: EngineSettings) -> float:
    """Of the engine's weights, on all of its GPUs together. Quantized ones by what their method's name says."""
    return shape.weights * _value_bytes(engine.quantization or "auto", DTYPE_BYTES[engine.dtype])


def cache_bytes(shape: Shape, engine: EngineSettings) -> float:
    """Of the key-value cache per token, on all of the engine's GPUs together."""
    return shape.cached_values * _value_bytes(engine.kv_cache_dtype, DTYPE_BYTES[engine.dtype])


def _value_bytes(name: str, plain: float) -> float:
    """Bytes of a number in a format that is named like nvfp4, int8_per_token_head, awq; `plain` if it says nothing."""
    if any(part in name for part in ("fp4", "4bit", "int4", "awq", "gptq")):
        return 0.5
    return 1.0 if any(part in name for part in ("fp8", "int8", "experts_int8")) else plain


def _weights_each(shape: Shape, engine: EngineSettings) -> float:
    """Bytes of the weights on each of the engine's GPUs."""
    return weight_bytes(shape, engine) / (engine.tensor_parallel_size * engine.pipeline_ranks)


def _cache_each(shape: Shape, engine: EngineSettings) -> float:
    """Bytes of the key-value cache per token on each of the engine's GPUs: a head is on one, or a copy on several."""
    return cache_bytes(shape, engine) / (min(engine.tensor_parallel_size, shape.kv_heads) * engine.pipeline_ranks)


def kv_room(shape: Shape, engine: EngineSettings, gigabytes: float) -> float:
    """Bytes that each of the engine's GPUs, of so many GB, has left for the key-value cache; negative if none."""
    return engine.gpu_memory_utilization * gigabytes * 1e9 - _weights_each(shape, engine) - CUDA


def kv_tokens(shape: Shape, engine: EngineSettings, gigabytes: float) -> float:
    """Tokens that the key-value cache of one engine holds."""
    return max(0.0, kv_room(shape, engine, gigabytes) / _cache_each(shape, engine))


def engine_memory(shape: Shape, engine: EngineSettings) -> Memory:
    """What one GPU needs for an engine that samples one completion at a time; more memory means more at a time."""
    longest = {"cache of one completion": _cache_each(shape, engine) * engine.max_model_len}
    return Memory({"weights": _weights_each(shape, engine), **longest}, {"CUDA": CUDA})


# ----------------------------------------------------------------------------------------------------------- training


def trained_weights(shape: Shape, section: TrainingSettings) -> int:
    """The weights that a training changes: all, or LoRA's adapters.

    An adapter of a matrix has r x (inputs + outputs). Of `lora_target_modules` that are none of a layer's matrices
    nothing is known here; they count for nothing.
    """
    if section.lora_r is None:
        return shape.weights
    matrices = shape.matrices
    sizes = [sum(matrices[name]) for name in section.lora_targets or matrices if name in matrices]
    return shape.layers * section.lora_r * sum(sizes)


def optimizer_bytes(shape: Shape, section: TrainingSettings) -> float:
    """Of the optimizer's state, on all GPUs together and in a checkpoint to resume from."""
    in_full = shape.embedding if section.lora_r is None else 0  # the input embedding
    each = OPTIMIZER_BYTES[section.optimizer]
    return each * (trained_weights(shape, section) - in_full) + OPTIMIZER_BYTES["adamw_torch"] * in_full


def host_memory(shape: Shape, section: TrainingSettings, *, sharded: bool = False) -> float:
    """Bytes of the host's memory without which a training cannot begin: every process loads the whole model, in fp32.

    Before FSDP shares it out, DPO's reference is loaded beside it.
    """
    models = 2 if sharded and isinstance(section, DPOSettings) else 1
    return 4.0 * shape.weights * models * section.num_processes


def training_memory(shape: Shape, section: TrainingSettings, *, sharded: bool = False) -> Memory:
    """What one GPU holds while it trains. sharded: FSDP, which shares weights, gradients and optimizer out.

    Weights and gradients are fp32. A step under bf16 keeps bf16 copies of the weights that are trained; of others, and
    with FSDP, of what is used at a time. Plain data parallelism keeps a second copy of the gradients.
    """
    n, trained = section.num_processes if sharded else 1, trained_weights(shape, section)
    sequences = section.micro_batch_size * (2 if isinstance(section, DPOSettings) else 1)
    tokens = sequences * section.max_length
    certain = {
        "weights": 4 * shape.weights / n,
        "gradients": 4 * trained / n,
        "optimizer": optimizer_bytes(shape, section) / n,
    }
    if sharded:  # one layer and the one that is fetched ahead, and the embeddings
        certain["unpacked weights"] = 4 * (2 * shape.layer + shape.weights - shape.layers * shape.layer)
    elif section.num_processes > 1:
        certain["buckets of data parallelism"] = 4 * trained
    if section.precision == "bf16":
        # Autocast keeps its copy of what gets a gradient; a pass keeps that of what is frozen, until it went back.
        one_at_a_time = sharded or (section.lora_r is not None and section.gradient_checkpointing)
        certain["bf16 copies"] = 2 * shape.layer * (1 if one_at_a_time else shape.layers)
    layer = tokens * (3 * shape.intermediate + 8 * shape.hidden) * 4
    if section.gradient_checkpointing:
        estimated = {"layer inputs": tokens * shape.layers * shape.hidden * 4.0, "one layer": layer * 1.0}
    else:
        estimated = {"activations": layer * shape.layers * (0.5 if section.precision == "bf16" else 1.0)}
    return Memory(certain, {**estimated, "CUDA": CUDA})
