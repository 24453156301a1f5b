"""What a recipe says of sampling: how completions are drawn, and how the engine runs."""

from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field

from mr_assets.section import SPEED, Count, File, Positive, Section, speed_fields

Quantization = Literal[  # vLLM 0.32.0's; a test compares
    "awq",
    "auto_awq",
    "fp8",
    "fbgemm_fp8",
    "fp_quant",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "modelopt_mixed",
    "auto_gptq",
    "gptq",
    "gptq_marlin",
    "awq_marlin",
    "humming",
    "compressed-tensors",
    "experts_int8",
    "quark",
    "moe_wna16",
    "torchao",
    "inc",
    "mxfp4",
    "gpt_oss_mxfp4",
    "deepseek_v4_fp8",
    "online",
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "nvfp4_per_token",
    "mxfp8",
]
KVCacheType = Literal[
    "auto",
    "float16",
    "bfloat16",
    "fp8",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp8_inc",
    "fp8_ds_mla",
    "nvfp4_ds_mla",
    "turboquant_k8v4",
    "turboquant_4bit_nc",
    "turboquant_k3v4_nc",
    "turboquant_3bit_nc",
    "ultraquant_4bit",
    "int4_per_token_head",
    "int8_per_token_head",
    "fp8_per_token_head",
    "nvfp4",
    "nvfp4_4over6",
]


class SamplingSettings(Section):
    """How completions are drawn. Temperature 0 takes the likeliest token (top_p is then without effect)."""

    temperature: Annotated[float, Field(ge=0, le=2)] = Field(description="sampling temperature (section 3.1: 0.8)")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(description="nucleus sampling mass (section 3.1: 0.95)")
    max_tokens: Count = Field(description="tokens at which a completion is cut off (paper: silent)")


class ChoiceSettings(SamplingSettings):
    """How one of a few texts is chosen to go on with, and nothing else.

    choices: the texts. weighed: the token ids of the choices, one for each, where none is to be drawn: the text of such
    a completion is the probability of each, as a JSON list.
    """

    choices: tuple[str, ...] = Field(description="what may follow")
    weighed: tuple[int, ...] = Field(default=(), description="the token of each choice; empty draws one")


def for_engine(settings: SamplingSettings) -> SamplingSettings:
    """What the engine takes of settings: a section of the recipe may say more."""
    if isinstance(settings, ChoiceSettings):
        return settings
    return SamplingSettings(**settings.model_dump(include=set(SamplingSettings.model_fields)))


class EngineSettings(Section):
    """How vLLM samples."""

    max_model_len: Count = Field(
        description="context: tokens of prompt and completion together; what does not fit is skipped and counted"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        description="type of weights and activations; changes the samples"
    )
    quantization: Quantization | None = Field(
        default=None, description="vLLM's method, for example fp8; changes the samples"
    )
    kv_cache_dtype: KVCacheType = Field(default="auto", description="type of the key-value cache; changes the samples")
    max_num_seqs: Annotated[Count, SPEED] = Field(description="completions sampled at a time")
    max_num_batched_tokens: Annotated[Count | None, SPEED] = Field(
        default=None, description="tokens per step; null is vLLM's choice for offline batches"
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1), SPEED] = Field(
        description="share of a GPU's memory, CUDA only"
    )
    cpu_kv_cache_gib: Annotated[Positive, SPEED] = Field(description="key-value cache in GiB, CPU only")
    cpu_threads: Annotated[Count | None, SPEED] = Field(
        default=None,
        description="threads of the engine, CPU only; null is one for a model of less than 64 MiB, which gains little "
        "by more, and else the cores that the process may use",
    )
    cpu_top_k_first: Count | None = Field(
        default=None,
        description="CPU only: look for the nucleus (top_p) among so many of the likeliest tokens first, and sort the "
        "whole vocabulary only where it is larger; null always sorts. Ties at its border may fall otherwise: changes "
        "the samples",
    )
    enforce_eager: Annotated[bool | None, SPEED] = Field(
        description="no compilation; null is eager on the CPU and compiled on CUDA"
    )
    tensor_parallel_size: Annotated[Count, SPEED] = Field(description="GPUs that share one model")
    replicas: Annotated[Count, SPEED] = Field(
        default=1, description="engines, each with the whole model on GPUs of its own; they share out the shards"
    )
    own_process: Annotated[bool | None, SPEED] = Field(
        default=None,
        description="whether an engine is in a process of its own; null is so on CUDA, and with two replicas or more",
    )
    enable_prefix_caching: Annotated[bool, SPEED] = Field(
        default=True, description="compute a common beginning of prompts once"
    )
    shard_size: Annotated[Count, SPEED] = Field(
        description="completions per shard at most, but at least one request's, on CUDA one prompt's: what a killed "
        "run may have to do again. A shard is 2% of its asset's completions; of a small asset 60 completions or 30 "
        "requests"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="further vLLM engine arguments by vLLM's names; they count as changing samples",
    )

    @property
    def other_ranks(self) -> dict[str, int]:
        """What `extra` says of pipeline and prefill ranks, by its key: each tensor parallel rank has so many."""
        keys = ("pipeline_parallel_size", "prefill_context_parallel_size")
        return {key: size for key in keys if isinstance(size := self.extra.get(key), int) and size > 0}

    @property
    def pipeline_ranks(self) -> int:
        """GPUs, of each tensor parallel rank, that share the layers out."""
        return self.other_ranks.get("pipeline_parallel_size", 1)

    @property
    def gpus(self) -> int:
        """GPUs that share one model: tensor parallel ranks, times pipeline and prefill ranks."""
        return self.tensor_parallel_size * prod(self.other_ranks.values())

    def in_own_process(self, device: str) -> bool:
        """Whether engines on that device, "cpu" or "cuda", are in processes of their own."""
        return device != "cpu" or self.replicas > 1 if self.own_process is None else self.own_process

    def signature(self, device: str) -> dict[str, Any]:
        """The settings that shape a completion on that device. The context decides which requests there are, no more.

        `cpu_top_k_first` is there where it is in force alone: what was sampled without it is what it was.
        """
        found = self.model_dump(exclude={*speed_fields(EngineSettings), "max_model_len", "cpu_top_k_first"})
        first = {"cpu_top_k_first": self.cpu_top_k_first} if self.cpu_top_k_first and device == "cpu" else {}
        return found | first


class RewardSettings(Section):
    """A reward model that scores the responses in place of the judge (section 3.5: Starling-RM-34B)."""

    folder: File = Field(
        description="a Hugging Face model for sequence classification with one label and a chat template: a folder "
        "(absolute or under the data folder), or a hub name"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="type of its weights; auto is as they were saved. Changes the rewards"
    )
    max_length: Count | None = Field(
        default=None,
        description="tokens of prompt and response together that it reads; longer ones are skipped and counted; null "
        "is as many as it can",
    )
    batch_size: Annotated[Count, SPEED] = Field(default=16, description="responses that it reads at a time")
