"""What the prefix cache has of judging and meta-judging, against the most that it could have; and what it saves.

    python -m mr_assets_tests.benchmarks.prefix_cache

Requests with the beginnings and lengths that the paper's have (a judge prompt of 835 tokens, 7 responses to a prompt,
each judged 11 times; 110 meta-judge prompts of 1,111 tokens for one response), on a tiny model with random weights. The
ceiling is computed from the very prompts: of each completion, the whole blocks that a completion before it has, while
the last token is always computed. It is a cache's that forgets nothing; ours begins empty at each shard on a CPU,
where shards are what makes a resumed table the same. The tokens that are computed are the engine's own count. The same
requests without the cache are the comparison of time. Shards are those of an asset of `--completions`.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mr_assets.files import fingerprint
from mr_assets.planning.stages import samplings
from mr_assets.sampling.engine import Request, VLLMSampler
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import sample_shards, size_of_shard
from mr_assets_tests.benchmarks.gpu import ON_CPU, ON_GPU, requests_of
from mr_assets_tests.benchmarks.machine import write_result
from mr_assets_tests.llama3_shape import make_model_of_shape

BLOCK = 32  # tokens, on a CPU: see `vllm_arguments`
SETTINGS = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=16)
KINDS = ("judgments", "meta_judgments")


def paper_requests(asset: str, prompts: int) -> list[Request]:
    """Those of so many prompts, as the paper's recipe asks for them."""
    recipe = ON_GPU.recipe
    row = recipe.iterations[0].model_copy(update={"prompts": prompts})
    small = recipe.model_copy(update={"iterations": [row]})
    stage = next(s for s in samplings(small, ON_GPU.lengths, 1, {}) if s.asset == asset)
    return requests_of(stage, prompts, recipe, ON_GPU.lengths)


def ceiling(requests: Sequence[Request], block: int = BLOCK) -> float:
    """The share of prompt tokens that a cache which forgets nothing has, in whole blocks.

    Two equal prompts of 5 tokens and blocks of 2: 4 of 10 tokens. Of a prompt of 4 tokens it has one block at most,
    since the last token is computed to sample from.
    """
    seen: set[int] = set()
    tokens = cached = 0
    for request in requests:
        prefixes, so_far = [], 0
        for end in range(block, len(request.prompt_ids) + 1, block):
            so_far = hash((so_far, *request.prompt_ids[end - block : end]))
            prefixes.append(so_far)
        known = next((i for i, prefix in enumerate(prefixes) if prefix not in seen), len(prefixes))
        most = (len(request.prompt_ids) - 1) // block
        seen.update(prefixes)
        tokens += request.n * len(request.prompt_ids)
        cached += block * (min(known, most) + (request.n - 1) * most)
    return cached / tokens


def sampled(engine: VLLMSampler, requests: list[Request], shard_size: int) -> dict[str, float]:
    """The requests through shards, as an asset samples them: seconds, and what the engine says of its cache."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = sample_shards(engine, requests, SETTINGS, Path(folder), signature={}, seed=0, shard_size=shard_size)
        seconds = time.perf_counter() - began
    asked = sum(request.n * len(request.prompt_ids) for request in requests)
    return {
        "seconds": round(seconds, 2),
        "hit_rate": round(done.stats.hit_rate or 0.0, 4),
        "prompt_tokens": asked,
        "prompt_tokens_computed": asked - done.stats.cached_tokens,
    }


def main() -> None:
    """Measure and write ``benchmarks/results/prefix_cache.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=8, help="of meta-judging; twice as many of judging")
    parser.add_argument("--completions", type=int, default=9_000, help="of an asset, for the size of its shards")
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()

    engine_settings = ON_CPU.recipe.engine.model_copy(update={"max_num_seqs": 128, "cpu_kv_cache_gib": 1.0})
    kinds = {asset: paper_requests(asset, args.prompts * (2 if asset == "judgments" else 1)) for asset in KINDS}
    found: dict[str, dict[str, Any]] = {kind: {"ceiling": round(ceiling(kinds[kind]), 4)} for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        model = make_model_of_shape(Path(folder) / "model", ON_CPU.large, "cpu")
        for cached in (True, False):
            settings = engine_settings.model_copy(update={"enable_prefix_caching": cached})
            engine = VLLMSampler(model, fingerprint(model), settings)
            for kind, requests in kinds.items():
                size = size_of_shard(args.completions // requests[0].n, requests[0].n, settings.shard_size)
                found[kind] |= {"shard_size": size, "cached" if cached else "without": sampled(engine, requests, size)}
                print(kind, found[kind], flush=True)
            engine.close()
    for each in found.values():
        each["hit_rate_of_ceiling"] = round(each["cached"]["hit_rate"] / each["ceiling"], 4)
        each["computed_of_asked"] = round(each["cached"]["prompt_tokens_computed"] / each["cached"]["prompt_tokens"], 4)
        each["times_faster"] = round(each["without"]["seconds"] / each["cached"]["seconds"], 2)
    result = {
        "goal": "hit_rate_of_ceiling >= 0.97, computed_of_asked of both kinds together <= 0.25",
        "requests": {kind: len(requests) for kind, requests in kinds.items()},
        "computed_of_asked": round(
            sum(each["cached"]["prompt_tokens_computed"] for each in found.values())
            / sum(each["cached"]["prompt_tokens"] for each in found.values()),
            4,
        ),
        **found,
    }
    print(result)
    if not args.dry:
        print(write_result("prefix_cache", result))


if __name__ == "__main__":
    main()
