"""A backfill of thirty iterations, launched as the UI does: in order, one at a time, and whether it slows down.

    python -m mr_assets_tests.benchmarks.backfill

The real webserver, daemon and run launcher; engine and trainer are the tests' fakes, which take no time. The iterations
are given in a random order. Of each Dagster run its seconds, and those from the end of the one before to its start.
"""

import argparse
import os
import random
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.tiny import CHANCE, tiny_recipe
from mr_assets_tests.ui.server import serving


def main() -> None:
    """Measure and write ``benchmarks/results/backfill.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()

    os.environ.pop("MR_EXECUTOR", None)
    row = "iterations.all={prompts: 3, rho: 0.0, keep_epoch: 3, judge_training: false}"
    recipe = tiny_recipe(f"prompts.count={3 * max(args.iterations, 4)}", row, "evaluation=null", CHANCE)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        run = Run("backfill", with_iterations(recipe, args.iterations), data)
        save(run)
        keys = run.iterations
        random.Random(0).shuffle(keys)
        with serving(data) as server:
            server.once(run)
            began = time.monotonic()
            backfill = server.backfill(run, keys, LOOP.per("iteration"))
            runs = sorted(server.backfill_ended(backfill, 60 * args.iterations + 300), key=lambda r: r.start or 0)
            whole = time.monotonic() - began
    order = [r.partition for r in runs]
    if order != run.iterations or {r.status for r in runs} != {"SUCCESS"}:
        raise UserError(f"expected {run.iterations}, each a success; came {[(r.partition, r.status) for r in runs]}")
    took = [(r.end or 0.0) - (r.start or 0.0) for r in runs]
    between = [(after.start or 0.0) - (before.end or 0.0) for before, after in pairwise(runs)]
    assert min(between) >= 0, "two Dagster runs of a backfill overlap"
    result = {
        "iterations": args.iterations,
        "in_order_one_at_a_time": True,
        "seconds": round(whole, 1),
        "seconds_of_a_run": spread(took),
        "seconds_between_runs": spread(between),
        "last_five_to_first_five": round(sum(took[-5:]) / sum(took[:5]), 3),
    }
    print(result)
    if not args.dry:
        print(write_result("backfill", result))


if __name__ == "__main__":
    main()
