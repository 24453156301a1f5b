"""What the prefix cache has of judging and meta-judging, against the most that it could have; and what it saves.

    python -m mr_assets_tests.benchmarks.prefix_cache --model data/seeds/small-world

Requests of the small world as the loop makes them: K responses to a prompt, each judged N times, and all ordered pairs
of N judgments of one response. The ceiling is computed from the very prompts: of each completion, the whole blocks that
a completion before it has, the last token always being computed. It is that of a cache which forgets nothing; ours
begins anew at each shard on a CPU, where shards are what makes a resumed table the same. The tokens that are computed
are the engine's own count. The same requests without the cache are the comparison of time.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.sampling.engine import Request, VLLMSampler
from mr_assets.sampling.shards import sample_shards, size_of_shard
from mr_assets.templates import judge_template
from mr_assets.worlds import letters
from mr_assets_tests.benchmarks.machine import write_result
from mr_assets_tests.benchmarks.sampling import ENGINE, SETTINGS, meta_judge_requests

BLOCK = 32  # tokens, on a CPU: see `vllm_arguments`
K, N = 4, 5


def judge_requests(encoder: ChatEncoder, count: int) -> list[Request]:
    """K responses to each prompt, side by side, each to be judged N times."""
    rng, template, requests = random.Random(0), judge_template(), []
    for prompt in letters.make_prompts(count // K + 1, "benchmark"):
        for r in range(K):
            values = {"prompt": prompt, "response": letters.graded_response(prompt, rng.randint(0, 5), rng)}
            requests.append(Request(f"{prompt}.{r}", encoder.template_ids(template, values), N))
    return requests[:count]


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


def sampled(engine: VLLMSampler, requests: list[Request]) -> dict[str, float]:
    """The requests through shards, as an asset samples them: seconds, and what the engine says of its cache."""
    size = size_of_shard(len(requests), requests[0].n, ENGINE.shard_size)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = sample_shards(engine, requests, SETTINGS, Path(folder), signature={}, seed=0, shard_size=size)
        seconds = time.perf_counter() - began
    asked = sum(request.n * len(request.prompt_ids) for request in requests)
    return {
        "seconds": round(seconds, 2),
        "hit_rate": round(done.stats.hit_rate or 0.0, 4),
        "prompt_tokens": asked,
        "prompt_tokens_computed": asked - done.stats.cached_tokens,
        "shard_size": size,
    }


def main() -> None:
    """Measure and write ``benchmarks/results/prefix_cache.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/seeds/small-world"))
    parser.add_argument("--requests", type=int, default=4_000, help="of each kind")
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()

    encoder = ChatEncoder.load(args.model)
    kinds = {
        "judging": judge_requests(encoder, args.requests),
        "meta_judging": meta_judge_requests(encoder, args.requests),
    }
    found: dict[str, dict[str, Any]] = {kind: {"ceiling": round(ceiling(kinds[kind]), 4)} for kind in kinds}
    for cached in (True, False):
        settings = ENGINE.model_copy(update={"enable_prefix_caching": cached})
        engine = VLLMSampler(args.model.resolve(), fingerprint(args.model), settings)
        for kind, requests in kinds.items():
            found[kind]["cached" if cached else "without"] = sampled(engine, requests)
            print(kind, found[kind], flush=True)
        engine.close()
    for each in found.values():
        each["hit_rate_of_ceiling"] = round(each["cached"]["hit_rate"] / each["ceiling"], 4)
        each["computed_of_asked"] = round(each["cached"]["prompt_tokens_computed"] / each["cached"]["prompt_tokens"], 4)
        each["times_faster"] = round(each["without"]["seconds"] / each["cached"]["seconds"], 2)
    result = {
        "requests": args.requests,
        "goal": "hit_rate_of_ceiling >= 0.97 and, of both kinds together, computed_of_asked <= 0.25",
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
