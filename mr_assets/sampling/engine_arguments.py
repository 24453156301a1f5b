"""The vLLM engine arguments that ``engine.extra`` of a recipe may name: those of speed, memory and precision alone.

What decides the model, its code, tokenizer, chat, seeds, adapters or logits is the product's, and so is what another
field of the recipe says. `ALLOWED` has vLLM's names (0.32.0); a test compares them with vLLM's own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mr_assets.errors import did_you_mean
from mr_assets.sampling.settings import EngineSettings

ALLOWED = frozenset(
    (
        *("async_scheduling", "attention_backend", "cpu_offload_gb", "cudagraph_capture_sizes"),
        *("dbo_decode_token_threshold", "dbo_prefill_token_threshold", "decode_context_parallel_size"),
        *("disable_cascade_attn", "disable_custom_all_reduce", "disable_hybrid_kv_cache_manager"),
        *("enable_chunked_prefill", "enable_dbo", "enable_expert_parallel", "enable_flashinfer_autotune"),
        *("expert_placement_strategy", "kv_cache_dtype_skip_layers", "language_model_only", "linear_backend"),
        *("long_prefill_token_threshold", "mamba_block_size", "mamba_cache_dtype", "mamba_cache_mode"),
        *("mamba_ssm_cache_dtype", "max_cudagraph_capture_size", "max_logprobs", "max_num_scheduled_tokens"),
        *("max_parallel_loading_workers", "moe_backend", "num_gpu_blocks_override", "numa_bind", "numa_bind_cpus"),
        *("numa_bind_nodes", "offload_backend", "offload_group_size", "offload_num_in_group"),
        *("offload_prefetch_step", "optimization_level", "performance_mode", "pipeline_parallel_size"),
        *("prefill_context_parallel_size", "prefix_caching_hash_algo", "safetensors_load_strategy"),
        *("safetensors_prefetch_block_size", "safetensors_prefetch_num_threads", "scheduler_reserve_full_isl"),
        *("skip_mm_profiling", "ubatch_size", "use_fp64_gumbel"),
    )
)
OURS = {  # what the recipe says in a field of its own
    "model": "model.seed",
    "revision": "model.revision",
    "seed": "seed",
    "kv_cache_memory_bytes": "engine.cpu_kv_cache_gib",
    **{name: f"engine.{name}" for name in EngineSettings.model_fields},
}


def refused(extra: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every key of ``engine.extra`` that may not be there."""
    for name in map(str, extra):
        if name in ALLOWED:
            continue
        key = f"engine.extra.{name if len(name) <= 60 else name[:57] + '...'}"
        if name in OURS:
            yield f"{key}: the recipe's own {OURS[name]} says this; set that instead"
        else:
            hint = did_you_mean(name[:60], sorted(ALLOWED))
            yield (
                f"{key}: not an engine argument of speed, memory or precision, which alone may stand here; what "
                f"decides model, code, tokenizer, seeds or logits is not for extra. Take it out.{hint}"
            )
