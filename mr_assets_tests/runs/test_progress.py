"""How far the asset at work is: noted as long as its process works, shown with rate and time left."""

import json
import os
from dataclasses import asdict, replace

from mr_assets.processes import Worker
from mr_assets.runs.progress import Progress, forget, note, noted
from mr_assets.runs.run import Run

UNDER_WAY = Progress("responses", "2", "responses", "requests", 30, 120, 12.5, 7.2, "a run")


def test_it_is_there_until_it_is_forgotten(run: Run) -> None:
    """Of this process, with the time when it was so; other artifacts have none."""
    assert noted(run, "responses", "2") is None
    note(run, UNDER_WAY)
    found = noted(run, "responses", "2")
    assert found is not None
    assert found.at
    assert replace(found, at="", process="") == UNDER_WAY
    assert noted(run, "responses", "1") is None
    forget(run, "responses", "2")
    assert noted(run, "responses", "2") is None
    assert list(run.folder.rglob("*.json")) == []


def test_what_a_dead_process_left_or_cannot_be_read_is_none(run: Run) -> None:
    """The process has another start time than the one that noted it: it is another."""
    note(run, UNDER_WAY)
    [file] = run.folder.rglob("*.progress.json")
    dead = replace(Worker.of(os.getpid()), ticks=1).tag("a run")
    file.write_text(json.dumps(asdict(replace(UNDER_WAY, process=dead))))
    assert noted(run, "responses", "2") is None
    file.write_text("{")
    assert noted(run, "responses", "2") is None


def test_it_is_said_in_a_line() -> None:
    """30 of 120 are a quarter. Without a rate no time left is said; without figures there is no share."""
    assert UNDER_WAY.said == "responses: 30 of 120 requests, 12/s, 7 s left"
    assert UNDER_WAY.share == 0.25
    assert replace(UNDER_WAY, rate=0.52).said == "responses: 30 of 120 requests, 0.52/s, 7 s left"
    assert replace(UNDER_WAY, rate=None, seconds_left=None).said == "responses: 30 of 120 requests"
    assert replace(UNDER_WAY, total=0, done=0).share == 1.0
    starting = replace(UNDER_WAY, what="responses: as soon as the engine is ready", unit="")
    assert (starting.said, starting.share) == ("responses: as soon as the engine is ready", None)
