"""What an engine's start takes, and so what three starts in an iteration cost over one.

    python -m mr_assets_tests.benchmarks.engine_starts

Each start is in a process of its own, as a step of the multiprocess executor or a job of a Ray cluster has it: from the
process's beginning until vLLM is imported, and from then until the engine can take a request. A turn is three such
processes one after the other, and then one; the difference is what an iteration would save that had one engine.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from mr_assets.recipes.load import load_recipe
from mr_assets_tests.benchmarks.machine import spread, write_result

ENGINE = load_recipe("small_world_meta_rewarding").engine
IN_AN_ITERATION = 3  # responses, judgments, meta-judgments


def start(model: Path) -> tuple[float, float]:
    """In this process: seconds until vLLM is imported, and until the engine is ready after that."""
    began = time.monotonic()
    import vllm  # noqa: F401

    from mr_assets.sampling.engine import VLLMSampler

    imported = time.monotonic()
    engine = VLLMSampler(model, "benchmark", ENGINE)
    ready = time.monotonic()
    engine.close()
    return imported - began, ready - imported


def timed(model: Path) -> tuple[float, float, float]:
    """A process that starts one engine: its seconds as a whole, and those that it says of itself."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--model", str(model), "--once"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported, ready = map(float, done.stdout.splitlines()[-1].split())
    return time.monotonic() - began, imported, ready


def main() -> None:
    """Measure and write ``benchmarks/results/engine_starts.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/seeds/small-world"))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(*start(args.model.resolve()))
        return
    three, one, starts = [], [], []
    for _ in range(args.turns):
        found = [timed(args.model) for _ in range(IN_AN_ITERATION + 1)]
        three.append(sum(whole for whole, _, _ in found[:IN_AN_ITERATION]))
        one.append(found[-1][0])
        starts += found
        print(f"three starts {three[-1]:.1f} s, one {one[-1]:.1f} s", flush=True)
    result = {
        "model": args.model.name,
        "seconds_of_a_process": spread([whole for whole, _, _ in starts]),
        "seconds_until_vllm_is_imported": spread([imported for _, imported, _ in starts]),
        "seconds_until_the_engine_is_ready_then": spread([ready for _, _, ready in starts]),
        "three_starts": spread(three),
        "one_start": spread(one),
        "saved_per_iteration": spread([a - b for a, b in zip(three, one, strict=True)]),
    }
    print(result)
    if not args.dry:
        print(write_result("engine_starts", result))


if __name__ == "__main__":
    main()
