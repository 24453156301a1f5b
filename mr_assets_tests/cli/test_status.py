"""`mr status`: every artifact with its state, what runs, what failed; and the same as it changes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from mr_assets.cli.status import statuses
from mr_assets.loop import LOOP
from mr_assets.orchestration.instance import instance
from mr_assets.processes import TAG, Worker
from mr_assets.runs.progress import Progress, note
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Mr, as_json, said, worked
from mr_assets_tests.tiny import complete, tiny_run


def test_status_shows_every_artifact(mr: Mr, launched: Run) -> None:
    """One row per asset, one column per iteration: the last model is missing, the first pairs are stale."""
    complete(launched, "judgments", "1", version="v2")
    rows = {line.split()[1]: line for line in worked(mr("status", "tiny")).splitlines() if line.startswith("│")}
    assert set(LOOP.per("iteration")) <= set(rows)
    assert rows["judgments"].count("done") == 2
    assert rows["actor_pairs"].count("stale") == 1
    assert rows["actor_pairs"].count("done") == 1
    assert rows["checkpoints"].count("done") == 1
    assert rows[f"{launched.family}/sft_checkpoint"].count("done") == 1
    assert worked(mr("status")).count("tiny: Meta-Rewarding") == 1


def test_a_model_without_its_weights_is_pruned(mr: Mr, done: Run) -> None:
    """It counts as done: nothing is damaged, and nothing is made again."""
    record = done.record("checkpoints", "1")
    assert record is not None
    write_record(done.record_path("checkpoints", "1"), replace(record, pruned="2026-11-29T12:00:00+00:00"))
    shown = said(mr("status", "tiny"))
    [row] = [line.split("│") for line in shown.splitlines() if "│ checkpoints" in line]
    assert [cell.strip() for cell in row[3:5]] == ["pruned", "done"]
    assert "checkpoints of iteration 1: since 2026-11-29" in shown
    assert "damaged" not in shown
    found = {(a["asset"], a["partition"]): a for a in as_json(mr("status", "tiny", "--json"))["artifacts"]}
    assert found["checkpoints", "1"]["state"] == "done"
    assert found["checkpoints", "1"]["pruned"] == "2026-11-29T12:00:00+00:00"
    assert found["checkpoints", "2"]["pruned"] is None


RANGE = {"dagster/partition": "2"}


def test_status_has_a_star_where_something_behind_is_stale(mr: Mr, done: Run) -> None:
    complete(done, "judgments", "1", version="v2")
    rows = {line.split()[1]: line for line in said(mr("status", "tiny")).splitlines() if line.startswith("│")}
    assert rows["actor_pairs"].count("stale") == 1
    assert rows["checkpoints"].count("done *") == 2
    assert "*" not in rows["judgments"].split("│")[3]
    found = {(a["asset"], a["partition"]): a for a in as_json(mr("status", "tiny", "--json"))["artifacts"]}
    assert found["actor_pairs", "1"]["state"] == "stale"
    assert found["checkpoints", "2"]["stale"] == "comes of dpo_dataset of iteration 1, which is stale"


def dagster_run(run: Run, status: dg.DagsterRunStatus, worker: Worker, *assets: str) -> str:
    run_id = str(uuid4())
    with instance() as history:
        create_run_for_test(
            history,
            run_id=run_id,
            status=status,
            asset_selection=frozenset(dg.AssetKey([run.namespace(each), each]) for each in assets),
            tags={TAG: worker.tag(run_id), **RANGE},
        )
    return run_id


def test_status_names_a_dagster_run_that_died(mr: Mr, data: Path, dagster_home: Path) -> None:
    """Which artifact, which Dagster run, when, and the first line of why."""
    run = tiny_run(data)
    save(run)
    dead = dagster_run(run, dg.DagsterRunStatus.STARTED, replace(Worker.of(os.getpid()), ticks=1), "responses")
    shown = said(mr("status", "tiny"))
    assert "failed, and not made since" in shown
    [line] = [line for line in shown.splitlines() if line.startswith("  responses, iteration 2: ")]
    assert "has ended without a word" in line
    assert f"Dagster run {dead}" in line
    assert re.search(r"\d\d:\d\d", line)
    found = {(a["asset"], a["partition"]): a for a in as_json(mr("status", "tiny", "--json"))["artifacts"]}
    assert found["responses", "2"]["state"] == "failed"
    assert found["responses", "2"]["attempt"]["dagster_run"] == dead
    complete(run, "responses", "2")
    record = run.record("responses", "2")
    assert record is not None
    write_record(run.record_path("responses", "2"), replace(record, created="2999-01-01T00:00:00+00:00"))
    assert "failed" not in said(mr("status", "tiny"))  # it was made since


@pytest.mark.slow
def test_status_shows_how_far_a_run_is(mr: Mr, data: Path, dagster_home: Path) -> None:
    """Share, rate and time left of a process that is there; nothing of one that is not, or of another Dagster run."""
    run = tiny_run(data)
    save(run)
    me = dagster_run(run, dg.DagsterRunStatus.STARTED, Worker.of(os.getpid()), "responses")
    progress = Progress("responses", "2", "responses", "requests", 30, 120, 12.5, 7.2, me)
    note(run, progress)
    shown = said(mr("status", "tiny"))
    assert "  responses, iteration 2: 25%, 30 of 120 requests, 12/s, 7 s left (since " in shown
    assert f"Dagster run {me}" in shown
    [status] = statuses([run])
    assert status.state(("responses", "2")) == "running"
    found = status.as_json()["artifacts"]
    [at_work] = [a["progress"] for a in found if a["progress"]]
    assert (at_work["share"], at_work["rate"], at_work["seconds_left"]) == (0.25, 12.5, 7.2)
    note(run, replace(progress, what="responses: 120 requests, as soon as the engine is ready", unit=""))
    assert "  responses, iteration 2: 120 requests, as soon as the engine is ready (" in said(mr("status", "tiny"))
    note(run, replace(progress, dagster_run="another"))
    assert "25%" not in said(mr("status", "tiny"))
    file = data / "tiny" / "responses" / ".2.progress.json"
    left_behind = replace(progress, process=replace(Worker.of(os.getpid()), ticks=1).tag(me))
    file.write_text(json.dumps(asdict(left_behind)))
    assert "25%" not in said(mr("status", "tiny"))
    elsewhere = replace(Worker.of(os.getpid()), host="gpu-07")  # its process id says nothing here
    file.write_text(json.dumps(asdict(replace(progress, process=elsewhere.tag(me)))))
    with instance() as dagster:
        dagster.add_run_tags(me, {TAG: elsewhere.tag(me)})
    assert "25%, 30 of 120 requests, 12/s, 7 s left (since " in (shown := said(mr("status", "tiny")))
    assert f"Dagster run {me} on host gpu-07)" in shown


def test_watching_in_a_pipe_prints_what_changes(mr: Mr, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states as often as they change, and nothing else; Ctrl-C is how it ends."""
    run = tiny_run(data)
    save(run)
    assert "do not go together" in mr("status", "--watch", "--json").output
    meanwhile: list[Callable[[], object]] = [lambda: complete(run, "prompts", "1"), lambda: "nothing"]

    def sleep(seconds: float) -> None:
        if not meanwhile:
            raise KeyboardInterrupt
        meanwhile.pop(0)()

    monkeypatch.setattr("mr_assets.cli.terminal.time", SimpleNamespace(sleep=sleep))
    *blocks, rest = said(mr("status", "tiny", "--watch")).split("\n\n")
    assert rest == ""
    assert ["done" in block for block in blocks] == [False, True]


@pytest.mark.slow
def test_watching_a_terminal_leaves_only_the_last_state_there(done: Run) -> None:
    """It has a screen of its own meanwhile, however small the terminal is."""
    reading, writing = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "LINES": "10", "COLUMNS": "80"}
    command = [sys.executable, "-m", "mr_assets.cli", "status", "tiny", "--watch"]
    with subprocess.Popen(command, stdout=writing, stderr=writing, env=environment) as watching:
        os.close(writing)
        shown = b""
        while shown.count(b"tiny: ") < 2:
            shown += os.read(reading, 65536)
        watching.send_signal(signal.SIGINT)
        with suppress(OSError):  # the other end is closed
            while part := os.read(reading, 65536):
                shown += part
    assert watching.returncode == 0
    own, left = shown.decode().split("\x1b[?1049h")[1].split("\x1b[?1049l")
    assert left.count("tiny: ") == 1
    assert all(frame.count("\n") < 10 for frame in own.split("\x1b[H"))
