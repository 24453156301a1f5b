"""What sampling into shards costs beside the bare engine, over the same meta-judge requests of the small world.

    python -m mr_assets_tests.benchmarks.sampling --model data/seeds/small-world

Both run on one engine in one process, in turns of `--slice` requests (bare, shards, shards, bare, ...), so that what
else the machine does falls on both alike. Bare means: hand the engine every request, step until all are done, keep what
comes. The engine's start is in neither. Besides wall time it reports processor time, which other programs disturb less.
The share that a killed run does again is a shard's completions over all of its asset's. It is measured as well: all
requests are sampled once more, the stage is stopped past its half way, and a fresh engine goes on. Shards are those of
the default recipe for an asset of `--completions`: 400 for the 20,000 that are sampled here, 180 for 9,000, which is
about as many as its judgments.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.recipes.load import load_recipe
from mr_assets.sampling.engine import Request, Sampler, VLLMSampler
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import Progress, Sampled, sample_shards, size_of_shard
from mr_assets.templates import meta_judge_template
from mr_assets.worlds import letters
from mr_assets_tests.benchmarks.machine import spread, write_result

ENGINE = load_recipe("small_world_meta_rewarding").engine
SETTINGS = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=96)


def meta_judge_requests(encoder: ChatEncoder, count: int) -> list[Request]:
    """Ordered pairs of five judgments of one response, response after response: 20 requests share their beginning."""
    rng, template, requests = random.Random(0), meta_judge_template(), []
    for prompt in letters.make_prompts(count // 20 + 1, "benchmark"):
        response = letters.graded_response(prompt, rng.randint(0, 5), rng)
        judgments = [letters.judgment_text(prompt, response, rng.randint(0, 5), rng) for _ in range(5)]
        for a, first in enumerate(judgments):
            for b, second in enumerate(judgments):
                if a != b:
                    values = {"prompt": prompt, "response": response, "judgment_a": first, "judgment_b": second}
                    requests.append(Request(f"{prompt}.{a}-{b}", encoder.template_ids(template, values)))
    return requests[:count]


def bare(engine: Sampler, requests: list[Request]) -> int:
    """The engine alone; returns the number of sampled tokens."""
    engine.reseed(0)
    done = []
    for request in requests:
        engine.add(request, SETTINGS)
    while engine.in_flight:
        done += engine.step()
    return sum(len(c.token_ids) for _, completions in done for c in completions)


def sharded(engine: Sampler, requests: list[Request], shard_size: int) -> int:
    """The same through `sample_shards`; returns the number of sampled tokens."""
    with tempfile.TemporaryDirectory() as folder:
        return sample_shards(
            engine, requests, SETTINGS, Path(folder), signature={}, seed=0, shard_size=shard_size
        ).tokens


def timed(work: Callable[[], int]) -> tuple[float, float, int]:
    """Wall seconds, processor seconds, tokens."""
    wall, processor = time.perf_counter(), time.process_time()
    tokens = work()
    return time.perf_counter() - wall, time.process_time() - processor, tokens


def compare(engine: Sampler, requests: list[Request], size: int, completions: int) -> dict[str, Any]:
    """Both ways over all requests, in turns of `size`, with the shards of an asset of so many completions."""
    shard_size = size_of_shard(completions, 1, ENGINE.shard_size)
    sums = {"bare": [0.0, 0.0, 0.0], "shards": [0.0, 0.0, 0.0]}
    ratios = []
    for turn, start in enumerate(range(0, len(requests), size)):
        part, measured = requests[start : start + size], {}
        ways = {"bare": lambda p=part: bare(engine, p), "shards": lambda p=part: sharded(engine, p, shard_size)}
        for name in sorted(ways, reverse=turn % 2 == 1):
            measured[name] = timed(ways[name])
            sums[name] = [a + b for a, b in zip(sums[name], measured[name], strict=True)]
        # per token: the two ways draw different random numbers, so their completions differ a little in length
        ratios.append(measured["shards"][0] / measured["shards"][2] / (measured["bare"][0] / measured["bare"][2]))
        print(
            f"shards of {shard_size}: {start + len(part)}/{len(requests)} requests, wall {ratios[-1]:.3f} x", flush=True
        )
    seconds = {name: (wall / tokens, processor / tokens) for name, (wall, processor, tokens) in sums.items()}
    return {
        "completions": completions,
        "shard_size": shard_size,
        "redone_after_kill_share": round(shard_size / completions, 4),
        "wall_ratio": round(seconds["shards"][0] / seconds["bare"][0], 4),
        "processor_ratio": round(seconds["shards"][1] / seconds["bare"][1], 4),
        "wall_ratio_per_turn": spread(ratios),
        "bare_tokens_per_s": round(1 / seconds["bare"][0]),
        "shards_tokens_per_s": round(1 / seconds["shards"][0]),
        "tokens": {name: int(tokens) for name, (_, _, tokens) in sums.items()},
    }


def redone(start: Callable[[], VLLMSampler], requests: list[Request], shard_size: int) -> float:
    """The share of the requests that is sampled twice where a stage is stopped past its half way and goes on."""
    before = 0

    def stop(so_far: Progress) -> None:
        nonlocal before
        before = so_far.done
        if before >= len(requests) / 2:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:

        def sampled(on_progress: Callable[[Progress], None] | None = None) -> Sampled:
            engine = start()
            try:
                return sample_shards(
                    engine,
                    requests,
                    SETTINGS,
                    Path(folder),
                    signature={},
                    seed=0,
                    shard_size=shard_size,
                    on_progress=on_progress,
                )
            finally:
                engine.close()

        with suppress(KeyboardInterrupt):
            sampled(stop)
        return (before + sampled().sampled) / len(requests) - 1


def main() -> None:
    """Measure and write ``benchmarks/results/sampling.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/seeds/small-world"))
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--slice", type=int, default=4_000, help="requests in one turn")
    parser.add_argument("--completions", type=int, nargs="+", default=[20_000, 9_000], help="of the asset")
    parser.add_argument("--max-num-seqs", type=int, default=ENGINE.max_num_seqs)
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()

    requests = meta_judge_requests(ChatEncoder.load(args.model), args.requests)
    settings = ENGINE.model_copy(update={"max_num_seqs": args.max_num_seqs})

    def start() -> VLLMSampler:
        return VLLMSampler(args.model.resolve(), fingerprint(args.model), settings)

    engine = start()
    bare(engine, requests[: 2 * args.max_num_seqs])  # the first batches are slower
    result = {
        "requests": len(requests),
        "prompt_tokens": sum(len(r.prompt_ids) for r in requests),
        "max_num_seqs": args.max_num_seqs,
        "goal": "wall_ratio <= 1.10 and redone_after_kill_share <= 0.02",
        "by_completions_of_the_asset": [compare(engine, requests, args.slice, each) for each in args.completions],
    }
    engine.close()
    size = size_of_shard(len(requests), 1, ENGINE.shard_size)
    result["redone_after_kill_at_half_way"] = round(redone(start, requests, size), 4)
    print(result["redone_after_kill_at_half_way"], result["by_completions_of_the_asset"])
    if not args.dry:
        print(write_result("sampling", result))


if __name__ == "__main__":
    main()
