"""How far the asset at work is: a small file beside it, as long as a process works on it.

    data/beta_02/judgments/.2.progress.json
    {"asset": "judgments", "partition": "2", "what": "judgments", "unit": "requests", "done": 3200, "total": 7350,
     "rate": 10662.0, "seconds_left": 10.1, "tokens": 83200, "part": 0.436, "at": "2026-07-28T12:04:31+00:00",
     "dagster_run": "3f1c...", "process": "..."}

It names the process that writes it, so that what a killed one left behind is not taken for progress.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mr_assets.files import atomically
from mr_assets.processes import Worker
from mr_assets.runs.run import Run


class Sampled(NamedTuple):
    """Tokens of an asset that is sampled: how many, per second, the seconds left at that speed, the share from 0 to 1.

    A request is done when all of it is; its tokens come one by one.
    """

    tokens: int
    per_second: float
    seconds_left: float | None
    share: float | None


@dataclass(frozen=True)
class Progress:
    """What a process has done of an asset.

    what: the part of the asset at work; unit: "" while there are no figures yet; rate: units per second of this
    process, None while it is not known; seconds_left: None like the rate; tokens: sampled by this process, None where
    nothing is sampled, else the rate is tokens per second; part: what is done of all, from 0 to 1, where the units do
    not tell it well; at: when this was so, as ISO time; process: as `Worker.tag` writes it.
    """

    asset: str
    partition: str | None
    what: str
    unit: str
    done: int
    total: int
    rate: float | None
    seconds_left: float | None
    dagster_run: str
    tokens: int | None = None
    part: float | None = None
    at: str = ""
    process: str = ""

    @property
    def said(self) -> str:
        """As a line: "judgments: 3,200 of 7,350 requests, 83,200 tokens, 10,662 tokens/s, 10 s left"."""
        if not self.unit:
            return self.what
        line = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}"
        line += "" if self.tokens is None else f", {self.tokens:,} tokens"
        if self.rate is None or self.seconds_left is None:
            return line
        shown = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        return f"{line}, {shown}{'' if self.tokens is None else ' tokens'}/s, {self.seconds_left:.0f} s left"

    @property
    def share(self) -> float | None:
        """From 0 to 1; None while there are no figures yet."""
        if not self.unit:
            return None
        if self.part is not None:
            return self.part
        return self.done / self.total if self.total else 1.0


def note(run: Run, progress: Progress) -> None:
    """Write how far this process is with an artifact."""
    process = Worker.of(os.getpid()).tag(progress.dagster_run)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps(asdict(replace(progress, at=now, process=process)))
    atomically(_path(run, progress.asset, progress.partition), lambda path: path.write_text(text, encoding="utf-8"))


def forget(run: Run, asset: str, partition: str | None) -> None:
    """The artifact is made, or given up."""
    _path(run, asset, partition).unlink(missing_ok=True)


def noted(run: Run, asset: str, partition: str | None) -> Progress | None:
    """How far an artifact is; None if no process works on it now, or has nothing to say yet.

    Of another machine's process it is what that one noted last, at the time `at`.
    """
    with suppress(OSError, ValueError, TypeError):
        found = Progress(**json.loads(_path(run, asset, partition).read_text(encoding="utf-8")))
        worker = Worker.from_tag(found.process, found.dagster_run)
        if worker is not None and not worker.gone:
            return found
    return None


def _path(run: Run, asset: str, partition: str | None) -> Path:
    return run.place(asset, partition).parent / f".{partition or asset}.progress.json"
