"""How fast a lineage is found at the paper's scale: `mr trace` as a whole process, `mr pairs`, `mr verify`, the pages.

    python -m mr_assets_tests.benchmarks.lineage [--prompts 5000] [--repeats 5]

One iteration of synthetic tables (see `data_side`) as a run: 35,000 responses, 385,000 judgments, 550,000
meta-judgments. Every command is a fresh process, from the interpreter's start to its end, with warm file caches. The
rows come in the order of the prompts' ids, as in a run. What a lookup reads is counted from the files: the ids of the
row groups whose bounds do not exclude the prompt, and of the other columns the row groups that have rows of it. Pages
are asked of one `mr explore`, from the request to the last byte, once each before any is timed; its memory is the
process's highest resident set, after all of them, four at a time as well.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from mr_assets.files import write_json
from mr_assets.loop import LOOP
from mr_assets.method.dpo_dataset import dpo_dataset
from mr_assets.recipes.load import load_recipe, with_iterations
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import settings_of
from mr_assets.runs.stored import save
from mr_assets.tables import (
    TABLES,
    dropped_frame,
    dropped_path,
    version_of,
)
from mr_assets.templates import judge_template
from mr_assets.training.margins import MARGINS, margins_table
from mr_assets_tests.benchmarks.data_side import FewTokens, make, scan
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.real_run import free_port

GOAL = {
    "mr trace, any id": {"s": 1.5},
    "page of a pair, once warm": {"s": 0.3},
    "first page of the list, once warm": {"s": 0.3},
    "memory of the server": {"MB": 500},
}
ROWS_OF_A_GROUP = 20_000  # as the IO manager writes


def make_run(folder: Path, prompts: int) -> Run:
    """A run whose first iteration is the synthetic one, with a record for everything."""
    raw = folder / "raw"
    raw.mkdir()
    make(raw, prompts)
    run = Run("paper", with_iterations(load_recipe("llama_3_8b_meta_rewarding"), 1), folder / "data")
    for asset in LOOP.per("iteration"):
        if asset in TABLES and asset != "dpo_dataset":
            _write(run, asset, scan(raw, asset))
    tables = [
        pl.scan_parquet(run.path(a, "1")) for a in ("actor_pairs", "elo_pairs", "responses", "judgments", "prompts")
    ]
    made = dpo_dataset(*tables, judge_template=judge_template(), encoder=FewTokens(), max_length=None, seed=1)
    _write(run, "dpo_dataset", made.rows.lazy())
    pairs, model = made.rows["pair_id"], run.path("checkpoints", "1")
    model.mkdir(parents=True)
    margins_table(pairs.to_list(), [0.5] * len(pairs), [-0.25] * len(pairs)).write_parquet(model / MARGINS)
    for asset, t in [*((a, None) for a in run.loop.per("family")), *((a, "1") for a in LOOP.per("iteration"))]:
        _record(run, asset, t)
    save(run)
    return run


def _write(run: Run, asset: str, rows: pl.LazyFrame) -> None:
    """A table with all of its columns; what the synthetic one lacks is null."""
    there, schema = rows.collect_schema().names(), TABLES[asset].schema
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in there]
    path = run.path(asset, "1")
    path.parent.mkdir(parents=True)
    whole = rows.with_columns(lacking).select(list(schema)).cast(schema)
    whole.sink_parquet(path, row_group_size=ROWS_OF_A_GROUP, maintain_order=True)
    place = dropped_path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    dropped_frame().write_parquet(place)


def _record(run: Run, asset: str, t: str | None) -> None:
    path, model, rows, version = run.path(asset, t), None, None, "a version"
    if LOOP[asset].holds != "table":
        name = "M1" if asset == "checkpoints" else "M0"
        model = {"path": f"models/{name}", "fingerprint": version, "name": name}
    elif path.is_file():
        table = pl.scan_parquet(path)
        version, rows = version_of(table), table.select(pl.len()).collect().item()
    settings, inputs = settings_of(run, asset, t), run.inputs(asset, t)
    record = Record(asset, t, version, "a run", "2024-07-28", 1.0, settings, inputs, rows=rows, model=model)
    write_json(run.record_path(asset, t), asdict(record))


def ids(run: Run) -> dict[str, str]:
    """One id of each kind, of a prompt somewhere in the middle."""
    rng = random.Random(0)
    found = {}
    tables = {"pair of the actor": "actor_pairs", "pair of the judge": "elo_pairs", "prompt": "prompts"}
    tables |= {"response": "responses", "judgment": "judgments", "battle": "meta_judgments"}
    for kind, asset in tables.items():
        column = pl.scan_parquet(run.path(asset, "1")).select(pl.first()).collect().to_series()
        found[kind] = column[rng.randrange(len(column))]
    return {**found, "model": "M1"}


def groups_with(run: Run, asset: str, prompt: str) -> dict[str, float]:
    """How much of a table a lookup reads: row groups whose ids and whose other columns it reads, share of the bytes."""
    file = pq.ParquetFile(run.path(asset, "1"))
    key = pl.scan_parquet(run.path(asset, "1")).select(pl.first()).collect().to_series()
    having = {place // ROWS_OF_A_GROUP for place in key.str.contains(f".{prompt}.", literal=True).arg_true()}
    low, high, within, read, size = f"1.{prompt}.", f"1.{prompt}/", 0, 0, 0
    for n in range(file.num_row_groups):
        columns = [file.metadata.row_group(n).column(c) for c in range(file.metadata.num_columns)]
        size += sum(column.total_compressed_size for column in columns)
        bounds = columns[0].statistics
        if bounds is None or not bounds.has_min_max or (bounds.min < high and bounds.max >= low):
            within += 1
            read += columns[0].total_compressed_size
        if n in having:
            others = [column for column in columns[1:] if "token_ids" not in column.path_in_schema]
            read += sum(column.total_compressed_size for column in others)
    return {
        "row groups": file.num_row_groups,
        "of these read: ids": within,
        "of these read: the rest": len(having),
        "share of the bytes read": round(read / size, 4),
    }


def timed(run: Run, *command: str) -> float:
    """Seconds of a whole process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mr_assets.cli", *command],
        check=command[0] != "verify",
        stdout=subprocess.DEVNULL,
        env={**os.environ, "MR_DATA": str(run.data)},
    )
    return time.perf_counter() - start


def pages(run: Run, found: dict[str, str], repeats: int) -> dict[str, dict[str, Any]]:
    """Seconds per page of a server that is warm, and its peak memory."""
    port = free_port()
    addresses = {f"page, {kind}": f"/runs/paper/{identity}" for kind, identity in found.items()}
    addresses |= {
        "list, first page": "/runs/paper",
        "list, last page": "/runs/paper?page=200",
        "list, sorted by Elo gap": "/runs/paper?sort=elo_gap",
        "list, score gap from 1 on": "/runs/paper?score_gap=1..",
        "list, text": "/runs/paper?text=the",
    }
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "MR_DATA": str(run.data)}, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        server.stderr.readline()
        for path in addresses.values():
            fetched(port, path)
        figures = {n: {"s": spread([fetched(port, path) for _ in range(repeats)])} for n, path in addresses.items()}
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda path: fetched(port, path), [*addresses.values()] * 2))
        peak = next(x for x in Path(f"/proc/{server.pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
        return {**figures, "memory of the server": {"MB": round(int(peak.split()[1]) / 1000)}}
    finally:
        server.kill()
        server.communicate()


def fetched(port: int, path: str) -> float:
    """Seconds until a page is there."""
    start = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        answer.read()
    return time.perf_counter() - start


def main() -> None:
    """Measure, print a table, write ``benchmarks/results/lineage.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_run(args.make, args.prompts)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mr_assets_tests.benchmarks.lineage", "--make", folder]
        subprocess.run([*command, "--prompts", str(args.prompts)], check=True)
        run = Run("paper", with_iterations(load_recipe("llama_3_8b_meta_rewarding"), 1), Path(folder) / "data")
        found = ids(run)
        commands: dict[str, tuple[str, ...]]
        commands = {f"mr trace, {kind}": ("trace", identity) for kind, identity in found.items()}
        commands |= {
            "mr trace --full, prompt": ("trace", "--full", found["prompt"]),
            "mr pairs": ("pairs", "paper"),
            "mr pairs --text": ("pairs", "paper", "--text", "the"),
            "mr pairs --sort": ("pairs", "paper", "--kind", "judge", "--elo-gap", "1..", "--sort", "elo_gap"),
        }
        figures: dict[str, dict[str, Any]] = {}
        for name, command_line in commands.items():
            timed(run, *command_line)  # warm caches
            figures[name] = {"s": spread([timed(run, *command_line) for _ in range(args.repeats)])}
        figures["mr verify"] = {"s": spread([timed(run, "verify", "paper")])}
        figures |= pages(run, found, 4 * args.repeats)
        read = {a: groups_with(run, a, found["prompt"]) for a in ("responses", "judgments", "meta_judgments")}
    for name, figure in figures.items():
        if s := figure.get("s"):
            print(f"{name:<28} {s['min']:>7.3f} {s['median']:>7.3f} {s['max']:>7.3f} s")
    print(f"{'memory of the server':<28} {figures['memory of the server']['MB']:>7} MB")
    print("goals: mr trace 1.5 s; a pair's page and the list's first page 0.3 s; 500 MB")
    print(json.dumps(read))
    result = {
        "what": "a lineage as a whole process, one iteration at the paper's scale",
        "goal": GOAL,
        "prompts": args.prompts,
        "commands": figures,
        "read": read,
        "polars_threads": pl.thread_pool_size(),
        "load_average_1min_after": round(os.getloadavg()[0], 2),
    }
    print(write_result("lineage", result))


if __name__ == "__main__":
    main()
