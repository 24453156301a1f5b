"""How the pages bear many runs and many readers: 200 finished runs in one data folder, 50 clients at a time.

    python -m mr_assets_tests.benchmarks.pages [--runs 200] [--clients 50] [--seconds 20]

The runs are those of `many_runs`. Of one `mr explore`: the first page, the very first time and once warm; then clients
that ask, one page after the other, for the first page, lists, pairs and models of several runs, and the 99th of 100
answers by the time that they take. Memory is the process's highest resident set. CPU seconds are the server's; of the
first page, those since it was started.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from mr_assets_tests.benchmarks.lineage import fetched
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.benchmarks.many_runs import make_runs
from mr_assets_tests.real_run import free_port

GOAL = {"first page, once warm": {"s": 0.3}, "99th of 100 answers": {"s": 1.0}, "memory of the server": {"MB": 500}}


def addresses(data: Path, names: list[str]) -> list[str]:
    """The first page, and of each run its lists, some of its pairs, and its models."""
    found = ["/"]
    for name in names:
        pairs = pl.read_parquet(data / name / "actor_pairs" / "1.parquet")["pair_id"].to_list()
        lists = ("", "?sort=score_gap", "?text=letters", "?truth=contradicts", "/dropped")
        found += [f"/runs/{name}{each}" for each in lists] + [f"/runs/{name}/{each}" for each in [*pairs, "M1", "M2"]]
    return found


def load(port: int, paths: list[str], clients: int, seconds: float) -> list[float]:
    """Seconds of every answer that `clients` got, each asking for one page after the other."""
    until, took = time.monotonic() + seconds, []

    def client(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < until:
            took.append(fetched(port, rng.choice(paths)))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def cpu(pid: int) -> float:
    """The CPU seconds of a process so far."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def measured(data: Path, names: list[str], clients: int, seconds: float) -> dict[str, dict[str, object]]:
    """The figures of one server."""
    port = free_port()
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "MR_DATA": str(data)}, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        server.stderr.readline()
        first, first_cpu = fetched(port, "/"), cpu(server.pid)
        warm = [fetched(port, "/") for _ in range(10)]
        warm_cpu = (cpu(server.pid) - first_cpu) / len(warm)
        before = cpu(server.pid)
        took = load(port, addresses(data, names), clients, seconds)
        load_cpu = cpu(server.pid) - before
        peak = next(x for x in Path(f"/proc/{server.pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    finally:
        server.kill()
        server.communicate()
    return {
        "first page, the first time": {"s": round(first, 3), "CPU s": round(first_cpu, 3)},
        "first page, once warm": {"s": spread(warm), "CPU s": round(warm_cpu, 3)},
        "99th of 100 answers": {
            "s": round(float(np.quantile(took, 0.99)), 3),
            "answers": len(took),
            "CPU s of all": round(load_cpu, 1),
        },
        "median answer": {"s": round(float(np.median(took)), 3)},
        "memory of the server": {"MB": round(int(peak.split()[1]) / 1000)},
    }


def main() -> None:
    """Measure, print a table, write ``benchmarks/results/pages.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--data", type=Path, help="a data folder of such runs, in place of new ones")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder) / "data"
        if given.data is None:
            make_runs(data, given.runs)
        names = sorted(path.parent.name for path in data.glob("*/recipe.yaml"))
        figures = measured(data, names[:5], given.clients, given.seconds)
    for name, found in figures.items():
        print(f"{name:28} {found} goal {GOAL.get(name, 'none')}")
    print(write_result("pages", {"goal": GOAL, "runs": len(names), "clients": given.clients, "figures": figures}))


if __name__ == "__main__":
    main()
