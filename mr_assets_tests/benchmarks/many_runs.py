"""How the UI and the commands bear many runs in one data folder: 200 finished runs of four iterations each.

    python -m mr_assets_tests.benchmarks.many_runs [--runs 200] [--repeats 3]

One run is made with the fake engine and the fake trainer; the others are copies of it under other names, each with a
beta of its own, with records that say so. A table or a tensor is one file that all of them share. Of `mr ui`: seconds
from its start until GraphQL lists the assets of every run, and of all its processes by then the CPU seconds and the
proportional set size. Every command is a fresh process, from the interpreter's start to its end, with warm file caches.
Where the machine is busy, CPU seconds say more.
"""

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import psutil
import pytest

from mr_assets.orchestration.steps import steps
from mr_assets.recipes.load import load_recipe, with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.real_run import free_port
from mr_assets_tests.tiny import CHANCE, NAME, SMALL
from mr_assets_tests.whole_runs.test_loop import messages, new_world

GOAL = {"mr ui answers": {"s": 15}, "mr status RUN": {"s": 2}}
ASSETS = "{ assetNodes { groupName } }"
WORKSPACE = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
TEMPLATE = "run_000"


def make_runs(data: Path, count: int, iterations: int = 4) -> list[Run]:
    """`count` finished runs of one family, run_000 and on, of five prompts an iteration; they have no Dagster runs."""
    recipe = with_iterations(load_recipe(NAME, (*SMALL, CHANCE)), iterations)
    first = Run(TEMPLATE, recipe, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        patch.setattr(logging.root.manager, "disable", logging.WARNING)  # Dagster's own lines
        world = new_world(patch, data)
        world.run = first
        for step in steps(first):
            result = world.materialize(step)
            assert result.success, messages(result)
    save(first)
    return [first, *(copy(first, f"run_{n:03}", round(recipe.dpo.beta + n / 10_000, 4)) for n in range(1, count))]


def copy(run: Run, name: str, beta: float) -> Run:
    """The finished run under another name, as if trained with another beta."""
    dpo = run.recipe.dpo.model_copy(update={"beta": beta})
    made = replace(run, name=name, recipe=run.recipe.model_copy(update={"dpo": dpo}))
    for path in run.folder.rglob("*"):
        place = made.folder / path.relative_to(run.folder)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".json" and '"asset":' in (text := path.read_text(encoding="utf-8")):
            record = json.loads(text)
            if record["model"]:
                record["model"]["path"] = record["model"]["path"].replace(f"{run.name}/", f"{name}/")
            if "dpo" in record["settings"]:
                record["settings"]["dpo"]["beta"] = beta
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(record), encoding="utf-8")
        elif path.name != "recipe.yaml":
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
    save(made)
    return made


def timed(data: Path, *command: str) -> tuple[float, float]:
    """Seconds of a whole process, and its CPU seconds."""
    start, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    environment = {**os.environ, "MR_DATA": str(data)}
    subprocess.run([sys.executable, "-m", "mr_assets.cli", *command], check=True, capture_output=True, env=environment)
    after = getrusage(RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ui(data: Path, groups: int) -> dict[str, float]:
    """Seconds until `mr ui` answers with the assets of `groups` groups or more, and MB of all its processes."""
    port, start = free_port(), time.perf_counter()
    command = [sys.executable, "-m", "mr_assets.cli", "ui", "--port", str(port), "--pages-port", str(free_port())]
    environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"} | {"MR_DATA": str(data)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        first = None
        while True:
            with contextlib.suppress(OSError):
                asked(port, "{ version }")
                first = first or time.perf_counter() - start
                if len({node["groupName"] for node in asked(port, ASSETS)["assetNodes"]}) >= groups:
                    break
            assert process.poll() is None, "mr ui has ended"
            assert time.perf_counter() < start + 600, "mr ui does not answer"
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        memory = sum(each.memory_full_info().pss for each in family) / 1e6
        used = [each.cpu_times() for each in family]
        cpu = sum(each.user + each.system for each in used)
        return {"first answer s": first, "s": seconds, "CPU s": cpu, "MB": memory, "processes": len(family)}
    finally:
        process.terminate()
        process.wait()


def asked(port: int, query: str) -> Any:
    """The data of a GraphQL answer."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["data"]


def main() -> None:
    """Measure, print a table, write ``benchmarks/results/many_runs.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        made = make_runs(data, given.runs)
        ready = [ui(data, len(made)) for _ in range(given.repeats)]
        figures: dict[str, dict[str, Any]] = {
            "mr ui answers": {
                name: spread([each[name] for each in ready]) for name in ("first answer s", "s", "CPU s", "MB")
            }
            | {"processes": ready[0]["processes"]}
        }
        commands = {"mr status RUN": ("status", made[-1].name), "mr status": ("status",), "mr runs": ("runs",)}
        commands |= {"mr report RUN": ("report", made[-1].name)}
        for name, command in commands.items():
            seconds, cpu = zip(*(timed(data, *command) for _ in range(given.repeats)), strict=True)
            figures[name] = {"s": spread(list(seconds)), "CPU s": spread(list(cpu))}
    for name, found in figures.items():
        print(f"{name:20} {found} goal {GOAL.get(name, 'none')}")
    path = write_result("many_runs", {"goal": GOAL, "runs": given.runs, "figures": figures})
    print(f"written to {path}")


if __name__ == "__main__":
    main()
