"""Runs that are killed at random points, cancelled or started by `mr run`: seen, redone, and nothing lost or left."""

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from mr_assets.loop import LOOP
from mr_assets.processes import TAG, Worker, processes_of
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.record import remove_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save
from mr_assets.tables import dropped_path
from mr_assets.training.margins import MARGINS
from mr_assets_tests.real_run import alive, descendants, printed, started, wait_for
from mr_assets_tests.tiny import tiny_recipe
from mr_assets_tests.ui.fake_trainer import SAVED_EVERY, STEPS
from mr_assets_tests.ui.server import MODULE, serving

pytestmark = pytest.mark.slow

SEED = 20240728
A_MINUTE = 60
SHARD = 2  # completions: one request of K = 4 responses or of N = 3 judgments, or two battles
SETS = (
    "prompts.count=96",
    "iterations.all={prompts: 24, rho: 0.0, keep_epoch: 3, judge_training: true}",
    f"engine.shard_size={SHARD}",
    "evaluation=null",
)
SLOW = {"MR_FAKE_SECONDS": "0.015", "MR_FAKE_STEP_SECONDS": "0.25", "MR_FAKE_WRITE_SECONDS": "0.15"}


class Place:
    """A data folder and its server, which can be killed and started again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.asked: Counter[Any] = Counter()
        self.stack = ExitStack()
        self.server = self.stack.enter_context(serving(data))

    def run(self, name: str) -> Run:
        """A run of one iteration that the UI shows after the next start."""
        run = Run(name, with_iterations(tiny_recipe(*SETS), 1), self.data)
        save(run)
        return run

    def kill_everything(self, run_id: str) -> None:
        """Webserver, daemon, code server and run, at once, as when the machine loses its memory; then start again."""
        ui = self.server.process
        for each in [*map(psutil.Process, processes_of(run_id)), *descendants(ui), psutil.Process(ui.pid)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.restart()

    def worker(self, run_id: str) -> Worker:
        """The leading process of a run. Its tag is hidden from clients of the webserver."""
        with dg.DagsterInstance.from_config(str(self.data / ".dagster")) as instance:
            run = instance.get_run_by_id(run_id)
        worker = Worker.from_tag(run.tags.get(TAG), run_id) if run else None
        assert worker is not None
        return worker

    def restart(self) -> None:
        """Start the UI again. Only then is what is left of the former one ended here."""
        former, self.stack = self.stack, ExitStack()
        self.server = self.stack.enter_context(serving(self.data))
        former.close()

    def lines(self, name: str) -> list[str]:
        """What the engine or the trainer noted."""
        path = self.data / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def forget(self) -> None:
        """Begin new notes."""
        for name in ("requests", "steps"):
            (self.data / f"{name}.log").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("kills") / "data"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("whole", "killed", "cancelled", "watched", "typed", "multi"):
            save(Run(name, with_iterations(tiny_recipe(*SETS), 1), data))
        patch.delenv("MR_EXECUTOR", raising=False)
        for name, value in SLOW.items():
            patch.setenv(name, value)
        place = Place(data)
        yield place
        place.stack.close()


@pytest.fixture(scope="module")
def whole(place: Place) -> Run:
    """An iteration that nobody disturbed; what it asked of the engine is kept."""
    run = place.run("whole")
    place.server.once(run)
    place.forget()
    assert place.server.ended(place.server.launch(run, LOOP.per("iteration"), "1")).status == "SUCCESS"
    place.asked = Counter(place.lines("requests"))
    return run


def writing(run: Run) -> bool:
    """Whether a table lies half-written beside its place."""
    return any(run.folder.glob("*/.tmp-*"))


def same_tables(one: Run, other: Run) -> None:
    """Row by row; and the models, too. No temporary file, shard or workspace is left."""
    for asset in LOOP.per("iteration"):
        assert state(one, asset, "1") == state(other, asset, "1") == "done"
        tables = [run.folder / asset / "1.parquet" for run in (one, other)]
        for paths in (tables, [dropped_path(path) for path in tables]):
            assert paths[0].exists() == paths[1].exists()
            if paths[0].exists():
                assert_frame_equal(*map(pl.read_parquet, paths))
        assert one.record(asset, "1").version == other.record(asset, "1").version  # type: ignore[union-attr]
    assert_frame_equal(*(pl.read_parquet(run.path("checkpoints", "1") / MARGINS) for run in (one, other)))
    left = [p for run in (one, other) for p in run.folder.rglob("*") if p.name.startswith((".tmp", ".shards"))]
    assert left == []
    assert not list(other.folder.rglob("*.training"))


def test_killed_at_random_points_it_ends_as_if_it_had_not_been(place: Place, whole: Run) -> None:
    """Seen as failed within a minute; re-executed from failure it redoes a shard, or the steps since a checkpoint.

    Of 2% of the iteration's requests, and of a shard, no more is sampled again per kill.
    """
    rng, run = random.Random(SEED), place.run("killed")
    place.forget()
    total = sum(place.asked.values())
    run_id = place.server.launch(run, LOOP.per("iteration"), "1")
    kills: list[tuple[str, str]] = []
    for what, whom in (
        ("sampling", "run"),
        ("writing", "run"),
        ("sampling", "everything"),
        ("sampling", "run"),
        ("writing", "everything"),
        ("training", "run"),
        ("training", "everything"),
    ):
        asked, trained = len(place.lines("requests")), len(place.lines("steps"))
        share, steps = rng.randrange(total // 16, total // 6), rng.randrange(1, STEPS // 2)
        reached: dict[str, Callable[[], bool]] = {
            "sampling": lambda: len(place.lines("requests")) >= asked + share,  # noqa: B023
            "training": lambda: len(place.lines("steps")) >= trained + steps,  # noqa: B023
            "writing": lambda: writing(run),
        }
        place.server.wait_for(lambda: place.server.run(run_id).status == "STARTED", A_MINUTE)  # noqa: B023
        worker = place.worker(run_id)  # now: a table is soon written
        wait_for(reached[what], A_MINUTE * 2, place.server.process)
        kills.append((what, f"{whom} after {len(place.lines('requests'))} requests, {len(place.lines('steps'))} steps"))
        if whom == "everything":
            place.kill_everything(run_id)
        else:
            os.kill(worker.pid, signal.SIGKILL)
        failed = place.server.ended(run_id, A_MINUTE)
        assert failed.status == "FAILURE", kills
        assert processes_of(run_id) == [], kills
        assert "Re-execute the Dagster run from failure" in place.server.said(run_id)[0]
        run_id = place.server.reexecute(run_id)
    assert place.server.ended(run_id).status == "SUCCESS", kills
    same_tables(whole, run)
    again = Counter(place.lines("requests")) - place.asked
    # the next asset's first shard may be under way when a kill aimed at a table's write lands
    may_redo = sum(what != "training" for what, _ in kills)
    assert sum(again.values()) <= may_redo * min(SHARD, total // 50), kills
    assert Counter(place.lines("requests")).keys() == place.asked.keys()
    assert len(place.lines("steps")) - STEPS <= 2 * (SAVED_EVERY - 1), kills


def test_cancelling_ends_everything_and_blocks_nothing(place: Place, whole: Run) -> None:
    """While it samples and while it trains: cancelled in seconds, its processes are gone, and the next run goes on."""
    run = place.run("cancelled")
    for name in ("requests", "steps"):
        place.forget()
        run_id = place.server.launch(run, LOOP.per("iteration"), "1")
        wait_for(lambda: len(place.lines(name)) >= 3, A_MINUTE * 2, place.server.process)  # noqa: B023
        processes = [psutil.Process(pid) for pid in processes_of(run_id)]
        trainer = ["-m", "mr_assets_tests.ui.fake_trainer"]
        assert [p for p in processes if p.cmdline()[1:3] == trainer], (
            "one that trains, or waits while the engine samples"
        )
        place.server.cancel(run_id)
        assert place.server.ended(run_id, A_MINUTE).status == "CANCELED"
        wait_for(lambda: not alive(processes), A_MINUTE)  # noqa: B023
    assert state(run, "judgments", "1") == "done"
    assert state(run, "checkpoints", "1") == "missing"
    assert place.server.ended(place.server.launch(run, ("checkpoints",), "1")).status == "SUCCESS"
    same_tables(whole, run)


def test_a_killed_ui_is_replaced_and_its_run_goes_on(place: Place, whole: Run) -> None:
    """`mr ui` alone was killed: its code server and daemon go with it, and the run ends as if nothing had been."""
    run = place.run("watched")
    place.forget()
    run_id = place.server.launch(run, LOOP.per("iteration"), "1")
    wait_for(lambda: len(place.lines("requests")) >= 3, A_MINUTE * 2, place.server.process)
    mine = set(map(psutil.Process, processes_of(run_id)))
    left = [p for p in descendants(place.server.process) if p not in mine]
    place.server.process.kill()
    place.server.process.wait()
    wait_for(lambda: not alive(left), A_MINUTE)
    place.restart()
    assert place.server.ended(run_id).status == "SUCCESS"
    [trainer] = {int(line.split()[-1]) for line in place.lines("steps")}
    assert trainer in {p.pid for p in mine}, "the one that waited while the engine sampled"
    same_tables(whole, run)


def test_a_second_ui_is_refused(place: Place) -> None:
    """Two daemons would start every run twice."""
    with started(place.data, "ui", "--port", "1", module=MODULE) as second:
        assert second.wait(A_MINUTE) == 1
        assert f"is up already, in process {place.server.process.pid}" in " ".join(printed(second).split())


def test_a_killed_command_is_seen_and_redone_in_the_ui(place: Place, whole: Run) -> None:
    """`mr run` was killed: the daemon sees it within a minute, and its run can be re-executed like any other."""
    run = place.run("typed")
    place.forget()
    with started(place.data, "run", "small_world_meta_rewarding", "--name", "typed", module=MODULE) as command:
        wait_for(lambda: len(place.lines("requests")) >= 5, A_MINUTE * 2, command)
        [mine] = [r for r in place.server.runs() if r.tags.get("mr/run") == "typed"]
        command.kill()
        command.wait()
        assert place.server.ended(mine.id, A_MINUTE).status == "FAILURE"
    assert place.server.ended(place.server.reexecute(mine.id)).status == "SUCCESS"
    same_tables(whole, run)


def test_steps_in_processes_of_their_own(place: Place, whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MR_EXECUTOR=multiprocess: the same tables; and a step does not go on when its run was killed.

    The shortest way from what is sampled to what is trained; the other steps, each of which takes seconds to begin, are
    there.
    """
    monkeypatch.setenv("MR_EXECUTOR", "multiprocess")
    run = Run("multi", whole.recipe, whole.data)
    shutil.copytree(whole.folder, run.folder, dirs_exist_ok=True)
    again = ("responses", "judgments", "actor_pairs", "dpo_dataset", "checkpoints")
    for asset in again:
        remove_record(run.record_path(asset, "1"))
    run = place.run("multi")
    place.kill_everything("none")
    place.forget()
    run_id = place.server.launch(run, again, "1")
    wait_for(lambda: len(place.lines("requests")) >= 5, A_MINUTE * 2, place.server.process)
    worker = place.worker(run_id)
    orphans: list[Any] = [psutil.Process(pid) for pid in processes_of(run_id) if pid != worker.pid]
    commands = [orphan.cmdline() for orphan in orphans]
    assert any("--multiprocessing-fork" in command for command in commands), "a step has a process"
    assert not any("mr_assets_tests.ui.fake_trainer" in command for command in commands), "no trainer waits in vain"
    os.kill(worker.pid, signal.SIGKILL)
    assert place.server.ended(run_id, A_MINUTE).status == "FAILURE"
    assert not alive(orphans)
    assert place.server.ended(place.server.reexecute(run_id)).status == "SUCCESS"
    same_tables(whole, run)
