"""What a benchmark by an endpoint's judge found, in a file of the run: never without the name of the judge.

    data/RUN/benchmarks/alpaca_eval/gpt-4o/results.json
    {"benchmark": "alpaca_eval", "judge": "gpt-4o", "rows": [{"model": "M1", "win_rate": 23.1, "win_rate_low": 20.4,
     "win_rate_high": 25.9, ...}, ...], ...}

A figure X has its 95% interval beside it, X_low and X_high, where it has one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mr_assets.files import write_json

FOLDER, FILE = "benchmarks", "results.json"


@dataclass(frozen=True)
class Results:
    """The figures of a benchmark under one judge, a row for each model.

    about: what else a reader needs to know: the endpoint, the baseline, parameters, counts, the date.
    """

    benchmark: str
    judge: str
    rows: list[dict[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        """Everything side by side, for programs."""
        return {"benchmark": self.benchmark, "judge": self.judge, "rows": self.rows, **self.about}

    def write(self, run_folder: Path) -> Path:
        """Write them to the run's folder, in place of what the same judge found before; the file."""
        path = benchmark_folder(run_folder, self.benchmark) / judge_folder(self.judge) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))
        return path


def benchmark_folder(run_folder: Path, benchmark: str) -> Path:
    """Where a benchmark's files of a run lie."""
    return run_folder / FOLDER / benchmark


def judge_folder(judge: str) -> str:
    """A judge's name as that of a folder: itself, if a folder can have it."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", judge):
        return judge
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", judge).strip("._")[:80]
    return f"{readable}-{sha256(judge.encode()).hexdigest()[:8]}"


def read_results(run_folder: Path) -> list[Results]:
    """All results that a run has, by benchmark and judge; a file that is none of ours is passed over."""
    found = []
    for path in sorted((run_folder / FOLDER).glob(f"*/*/{FILE}")):
        try:
            found.append(Results(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
    return found
