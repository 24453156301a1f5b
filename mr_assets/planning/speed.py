"""How long a stage takes on a GPU: the roofline, and what is reached of it.

Sampling is bound by two limits that hardly overlap: the operations of the prompts' and the completions' tokens, and the
reading of the weights and of the key-value cache at every step. Training is bound by operations alone: 6 per weight and
token, and 2 more where activations are computed again.
"""

from mr_assets.planning.data_sheets import SAMPLING_EFFICIENCY, TRAINING_EFFICIENCY, Gpu
from mr_assets.planning.memory import cache_bytes, kv_tokens, weight_bytes
from mr_assets.planning.shapes import Shape
from mr_assets.planning.stages import Sampling, Training
from mr_assets.sampling.settings import EngineSettings
from mr_assets.training.settings import DPOSettings, TrainingSettings

SLOWER = {"bf16": 1, "tf32": 2, "fp32": 15}
"""By how much the peak is lower than in bf16, on the data-centre GPUs."""


def running(stage: Sampling, shape: Shape, engine: EngineSettings, gpu: Gpu) -> float:
    """Completions that are sampled at a time: as many as the engine may, the cache holds, and there are."""
    context = stage.prompt + stage.answer / 2
    return max(1.0, min(engine.max_num_seqs, kv_tokens(shape, engine, gpu.memory) / context, stage.completions))


def sampling_roofline(stage: Sampling, shape: Shape, engine: EngineSettings, gpu: Gpu, *, cached: bool = True) -> float:
    """Seconds at the least, on the GPUs of all engines. cached: with a prefix cache that forgets nothing."""
    context = stage.prompt + stage.answer / 2
    at_a_time = running(stage, shape, engine, gpu)
    computed = stage.tokens_computed if cached and engine.enable_prefix_caching else stage.tokens_in
    operations = computed * shape.flops(stage.prompt / 2) + stage.tokens_out * shape.flops(context)
    read_per_step = weight_bytes(shape, engine) + at_a_time * context * cache_bytes(shape, engine)
    reading = stage.tokens_out / at_a_time * read_per_step
    one = operations / (gpu.tflops * 1e12) + reading / (gpu.bandwidth * 1e9)
    return one / (engine.tensor_parallel_size * engine.replicas)


def sampling_seconds(stage: Sampling, shape: Shape, engine: EngineSettings, gpu: Gpu) -> float:
    """Seconds that are expected."""
    return sampling_roofline(stage, shape, engine, gpu) / SAMPLING_EFFICIENCY


def training_roofline(stage: Training, shape: Shape, section: TrainingSettings, gpu: Gpu) -> float:
    """Seconds at the least. DPO adds a pass for the reference, and one for the reward margins of each kept epoch."""
    forward = shape.flops(stage.tokens / max(1, stage.examples) / 2)
    passes = stage.epochs * (4 if section.gradient_checkpointing else 3)
    if isinstance(section, DPOSettings):
        passes += 1 + (stage.epochs if section.keep_all_epochs else 1)
    peak = gpu.tflops * 1e12 / SLOWER[section.precision] * section.num_processes
    return stage.tokens * passes * forward / peak


def training_seconds(stage: Training, shape: Shape, section: TrainingSettings, gpu: Gpu) -> float:
    """Seconds that are expected."""
    return training_roofline(stage, shape, section, gpu) / TRAINING_EFFICIENCY
