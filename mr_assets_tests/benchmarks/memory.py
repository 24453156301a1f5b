"""The peak memory of the process that makes a sampling asset, at ten times the requests.

    python -m mr_assets_tests.benchmarks.memory
    python -m mr_assets_tests.benchmarks.memory --engine vllm

Each sampling asset of an iteration is made as `mr run` does it, in a process of its own, on `--prompts` prompts and on
ten times as many. Engine and trainer are the tests' fakes, which answer as the small world's model would: an engine's
memory is its own and does not depend on the number of requests, and what is measured is all the rest (requests,
shards, the table). Python and its libraries are in every peak; so the growth is given, too, beside the table's size in
memory.

With the real engine the definitions are the product's, and the policy is the small world's seed model: nothing is
trained. On a CPU the engine is in the process that makes the asset, so that its memory is in the peak as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.orchestration import code_server, steps
from mr_assets.orchestration.instance import instance
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import named_runs, save
from mr_assets_tests.benchmarks.machine import peak_rss_bytes, write_result
from mr_assets_tests.tiny import CHANCE, tiny_recipe

SEED = Path(__file__).parents[2] / "data" / "seeds" / "small-world"
SAMPLING = ("responses", "judgments", "meta_judgments")


def run_of(prompts: int, data: Path, engine: str) -> Run:
    """One iteration on so many prompts; K = 4, N = 5."""
    row = f"iterations.all={{prompts: {prompts}, rho: 0.0, keep_epoch: 3, judge_training: true}}"
    policy = ("sft=null", f"model.seed={SEED}") if engine == "vllm" else ()
    recipe = tiny_recipe(
        row, f"prompts.count={prompts}", "prompts.disjoint=false", "judgments.n=5", "evaluation=null", CHANCE, *policy
    )
    return Run("memory", with_iterations(recipe, 1), data)


def materialize(data: Path, assets: tuple[str, ...], engine: str) -> None:
    """Make assets of the run that lies there; print this process's peak in bytes."""
    if engine == "fake":
        code_server.MODULE = "mr_assets_tests.ui.location"
    run = named_runs(data, "memory")["memory"]
    with instance() as dagster:
        partition = "1" if LOOP[assets[0]].per == "iteration" else None
        steps.launch(run, steps.Step("benchmark", assets, partition), dagster)
    print(json.dumps({"peak": peak_rss_bytes()}))


def peak(data: Path, engine: str, *assets: str) -> int:
    """The peak of a process that makes the assets, bytes."""
    command = [sys.executable, "-m", __spec__.name, "--engine", engine, "--data", str(data), "--assets", *assets]
    settings = {"MR_DATA": str(data), "MR_EXECUTOR": "in_process", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{assets}: {(done.stdout + done.stderr)[-3000:]}")
    found: int = json.loads(done.stdout.splitlines()[-1])["peak"]
    return found


def measured(prompts: int, engine: str) -> dict[str, dict[str, Any]]:
    """Requests, peak and the table's size in memory, by sampling asset."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        run = run_of(prompts, data, engine)
        save(run)
        make = partial(peak, data, engine)
        make(*run.loop.per("family"))
        make("policy", "prompts")
        for asset in SAMPLING:
            if asset == "meta_judgments":
                make("selected_responses")
            bytes_ = make(asset)
            record = run.record(asset, "1")
            assert record is not None
            table = pl.read_parquet(run.path(asset, "1"), glob=False).estimated_size()
            found[asset] = {"requests": record.numbers["requests"], "peak_mb": round(bytes_ / 1e6, 1)}
            found[asset] |= {"table_mb": round(table / 1e6, 1)}
            print(prompts, asset, found[asset], flush=True)
    return found


def main() -> None:
    """Measure and write ``benchmarks/results/memory.json``, or ``memory_vllm.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--engine", choices=("fake", "vllm"), default="fake")
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--assets", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.data:
        materialize(args.data, tuple(args.assets), args.engine)
        return
    few, many = measured(args.prompts, args.engine), measured(10 * args.prompts, args.engine)
    by_asset = {
        asset: {
            "few": few[asset],
            "many": many[asset],
            "peak_ratio": round(many[asset]["peak_mb"] / few[asset]["peak_mb"], 3),
            "growth_mb": round(many[asset]["peak_mb"] - few[asset]["peak_mb"], 1),
        }
        for asset in SAMPLING
    }
    result = {"prompts": args.prompts, "engine": args.engine, "goal": "peak_ratio <= 1.2", "by_asset": by_asset}
    print(result)
    if not args.dry:
        print(write_result("memory" if args.engine == "fake" else "memory_vllm", result))


if __name__ == "__main__":
    main()
