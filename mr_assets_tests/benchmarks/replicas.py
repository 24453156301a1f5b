"""What two engines sample in the time of one: `engine.replicas`, over the same meta-judge requests of the small world.

    python -m mr_assets_tests.benchmarks.replicas --model data/seeds/small-world

One engine in a process of its own, and two of them, are started beside each other and asked in turns of `--slice`
requests (one, two, two, one, ...), so that what else the machine does falls on both alike. While one is asked, the
others wait and compute nothing. The engines' start is in neither. The ratio is of tokens per second: 2 would be two
whole engines' worth, on a machine that has a core for each and for the process that hands out the shards; where two
engines share the cores that one has, a ratio near 1 is all that there can be.
"""

import argparse
import tempfile
import time
from pathlib import Path

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.sampling.engine import Request
from mr_assets.sampling.replicas import Replicas
from mr_assets.sampling.shards import Sampled, sample_shards
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.benchmarks.sampling import ENGINE, SETTINGS, meta_judge_requests


def sampled(engines: Replicas, requests: list[Request], shard_size: int) -> tuple[float, Sampled]:
    """Seconds, and what was sampled in them."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        stage = sample_shards(engines, requests, SETTINGS, Path(folder), signature={}, seed=0, shard_size=shard_size)
        return time.perf_counter() - began, stage


def main() -> None:
    """Measure and write ``benchmarks/results/replicas.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/seeds/small-world"))
    parser.add_argument("--requests", type=int, default=16_000)
    parser.add_argument("--slice", type=int, default=4_000, help="requests in one turn")
    parser.add_argument("--shard-size", type=int, default=ENGINE.shard_size, help="completions")
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()

    requests = meta_judge_requests(ChatEncoder.load(args.model), args.requests)
    engines = {}
    for count in (1, 2):
        settings = ENGINE.model_copy(update={"replicas": count, "own_process": True})
        engines[count] = Replicas(args.model.resolve(), fingerprint(args.model), settings)
        sampled(
            engines[count], requests[: 2 * count * args.shard_size], args.shard_size
        )  # the first batches are slower
    ratios, speeds = [], {1: [0.0, 0.0], 2: [0.0, 0.0]}
    for turn, start in enumerate(range(0, len(requests), args.slice)):
        part, per_second = requests[start : start + args.slice], {}
        for count in sorted(engines, reverse=turn % 2 == 1):
            seconds, stage = sampled(engines[count], part, args.shard_size)
            per_second[count] = stage.tokens / seconds
            speeds[count] = [speeds[count][0] + stage.tokens, speeds[count][1] + seconds]
        ratios.append(per_second[2] / per_second[1])
        print(f"{start + len(part)}/{len(requests)} requests, two engines sample {ratios[-1]:.3f} x", flush=True)
    for each in engines.values():
        each.close()
    (one, of_one), (two, of_two) = speeds[1], speeds[2]
    result = {
        "requests": len(requests),
        "shard_size": args.shard_size,
        "ratio": round(two / of_two / (one / of_one), 4),
        "ratio_per_turn": spread(ratios),
        "one_tokens_per_s": round(one / of_one),
        "two_tokens_per_s": round(two / of_two),
    }
    print(result)
    if not args.dry:
        print(write_result("replicas", result))


if __name__ == "__main__":
    main()
