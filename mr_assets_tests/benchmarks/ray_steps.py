"""What it costs to begin a step: in the Dagster run's process, in a process of its own, as a job of a Ray cluster.

    mr cluster -- python -m mr_assets_tests.benchmarks.ray_steps

Three assets of an iteration (policy, prompts, responses) are made in each way, in turns, so that what else the machine
does falls on all alike. Engine and trainer are fakes that take no time: what is left is the beginning of processes, the
imports, and Dagster. A step's start is from when it was handed over until it begins, as Dagster's history has it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from mr_assets.addresses import RAY
from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.orchestration import code_server, steps
from mr_assets.orchestration.instance import instance
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.tiny import tiny_recipe

ASSETS = ("policy", "prompts", "responses")
WAYS = ("in_process", "multiprocess", "ray")
HANDED_OVER, BEGUN = dg.DagsterEventType.STEP_WORKER_STARTING, dg.DagsterEventType.STEP_START


def tiny(data: Path) -> Run:
    """A run of one iteration without an evaluation."""
    return Run("tiny", with_iterations(tiny_recipe("evaluation=null"), 1), data)


def materialize(data: Path, assets: tuple[str, ...]) -> None:
    """Make these assets of the run, by the fake engine and trainer, with the executor that MR_EXECUTOR names."""
    code_server.MODULE = "mr_assets_tests.ui.location"
    with instance() as dagster:
        partition = "1" if LOOP[assets[0]].per == "iteration" else None
        steps.launch(tiny(data), steps.Step("benchmark", assets, partition), dagster)


def timed(way: str, data: Path, assets: tuple[str, ...] = ASSETS) -> float:
    """Seconds from the start of the command that makes the assets in one way until its end."""
    command = [sys.executable, "-m", __spec__.name, "--data", str(data), "--assets", *assets]
    settings = {"MR_DATA": str(data), "MR_EXECUTOR": way, "PYTHONPATH": str(Path(__file__).parents[2])}
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{way}: {(done.stdout + done.stderr)[-3000:]}")
    return time.monotonic() - began


def starts(data: Path) -> list[float]:
    """Seconds from when each step of the newest Dagster run was handed over until it began."""
    os.environ["MR_DATA"] = str(data)
    with instance() as dagster:
        [newest] = dagster.get_runs(limit=1)
        events = [(e.dagster_event, e.timestamp) for e in dagster.all_logs(newest.run_id, of_type={HANDED_OVER, BEGUN})]
    at = {kind: {e.step_key: t for e, t in events if e and e.event_type == kind} for kind in (HANDED_OVER, BEGUN)}
    return [at[BEGUN][step] - handed for step, handed in at[HANDED_OVER].items()]


def main() -> None:
    """Measure and write ``benchmarks/results/ray_steps.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--assets", nargs="+", default=ASSETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.data:
        return materialize(args.data, tuple(args.assets))
    if RAY not in os.environ:
        raise SystemExit("Run it on a cluster: mr cluster -- python -m mr_assets_tests.benchmarks.ray_steps")

    whole: dict[str, list[float]] = {way: [] for way in WAYS}
    of_steps: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        run = tiny(data)
        save(run)
        timed("in_process", data, run.loop.per("family"))
        for turn in range(args.turns):
            for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                whole[way].append(timed(way, data))
                of_steps[way] += starts(data)
                print(f"{way}: {whole[way][-1]:.1f} s, steps began after {spread(of_steps[way] or [0])}", flush=True)
    ratios = {way: [a / b for a, b in zip(whole[way], whole["in_process"], strict=True)] for way in WAYS}
    result = {
        "what": f"{', '.join(ASSETS)} of an iteration, engine and trainer are fakes",
        "by_way": {
            way: {
                "seconds": spread(whole[way]),
                "times_in_process": spread(ratios[way]),
                "seconds_until_a_step_begins": spread(of_steps[way]) if of_steps[way] else None,
            }
            for way in WAYS
        },
    }
    print(result["by_way"])
    if not args.dry:
        print(write_result("ray_steps", result))
    return None


if __name__ == "__main__":
    main()
