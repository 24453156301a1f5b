"""Processes of a run: told apart from all others, and ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from mr_assets import processes
from mr_assets.processes import MARK, Worker, end_group, end_processes, processes_of

# starts a child in a session of its own, as training is, and says its id
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@contextmanager
def family(run_id: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process of a run, and its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], env={**os.environ, MARK: run_id}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    try:
        yield process, child
    finally:
        end_processes(run_id)
        process.communicate()


def test_a_worker_is_alive_until_it_ends() -> None:
    """Also while nobody has waited for it, when its process id is still taken."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    worker = Worker.of(process.pid)
    assert worker.here and worker.alive
    process.kill()
    until = time.monotonic() + 10
    while worker.alive and time.monotonic() < until:
        time.sleep(0.01)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert not worker.alive
    process.wait()
    assert not worker.alive


@pytest.mark.parametrize("other", [{"ticks": 1}, {"boot": "an earlier one"}])
def test_a_process_id_that_is_used_again_is_another_worker(other: dict[str, Any]) -> None:
    """Started at another time, or before the machine was."""
    me = Worker.of(os.getpid())
    assert me.alive
    assert not replace(me, **other).alive


def test_a_tag_says_it_all() -> None:
    me = Worker.of(os.getpid())
    assert Worker.from_tag(me.tag("run-1"), "run-1") == me
    other = replace(me, host="gpu-07")
    assert not other.here


def test_of_another_host_nothing_is_known() -> None:
    """Its process ids are not ours: the one that has this id here says nothing of it, nor does that there is none."""
    me = Worker.of(os.getpid())
    gone, other = replace(me, ticks=1), replace(me, host="gpu-07", ticks=1)
    assert (me.gone, gone.gone, other.gone) == (False, True, False)
    assert (gone.said, other.said) == (f"process {me.pid}", f"process {me.pid} on host gpu-07")


@pytest.mark.parametrize(
    "tag", [None, "", "run-1", "run-1/gpu-07/x/y/z", "run-1/gpu-07/1/boot", "run-0/gpu-07/1/boot/9"]
)
def test_a_tag_that_names_no_process_of_a_run(tag: str | None) -> None:
    """Nor does one that a re-executed run has inherited."""
    assert Worker.from_tag(tag, "run-1") is None


def test_all_processes_of_a_run_are_ended_and_no_other() -> None:
    """The child is in a session of its own, and its parent is gone: it is found all the same."""
    with family("run-1") as (first, child), family("run-2") as (second, other):
        assert set(processes_of("run-1")) == {first.pid, child.pid}
        first.kill()
        first.wait()
        end_processes("run-1")
        assert processes_of("run-1") == []
        assert second.poll() is None and other.is_running()


def test_one_that_has_ended_is_not_found() -> None:
    """Also while nobody has waited for it; nor is its group waited for."""
    run_id = str(uuid4())
    with subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: run_id}, start_new_session=True) as process:
        assert processes_of(run_id) == [process.pid]
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert processes_of(run_id) == []
        began = time.monotonic()
        end_group(process.pid, seconds=60)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("why", [psutil.AccessDenied(1), psutil.NoSuchProcess(1), OSError()])
def test_one_that_cannot_be_looked_at_is_passed_over(monkeypatch: pytest.MonkeyPatch, why: Exception) -> None:
    """Another person's, or one that ends meanwhile."""
    read = psutil.Process.environ

    def environ(process: psutil.Process) -> dict[str, str]:
        if process.pid == os.getppid():
            raise why
        return read(process)

    run_id = str(uuid4())
    with family(run_id) as (first, child):
        monkeypatch.setattr("psutil.Process.environ", environ)
        assert set(processes_of(run_id)) == {first.pid, child.pid}


def test_this_process_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mr run` works on runs itself, and ends what an earlier one left."""
    monkeypatch.setenv(MARK, "run-3")
    assert os.getpid() not in processes_of("run-3")


# a process of a group of its own, with a child in it that dies with a process that is named
WATCHED = """
import subprocess, sys
child = "import sys, time; from mr_assets.processes import die_with_process; die_with_process(int(sys.argv[1]));"
child += "print(0, flush=True); time.sleep(600)"
process = subprocess.Popen([sys.executable, "-c", child, sys.argv[1]], stdout=subprocess.PIPE, text=True)
process.stdout.readline()
print(process.pid, flush=True)
process.wait()
"""


def test_a_process_dies_with_one_that_is_not_its_parent() -> None:
    """And with it its group: its parent, too."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(other.pid)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        time.sleep(0.2)
        assert child.is_running() and process.poll() is None
        other.kill()
        assert process.wait(10) == -signal.SIGKILL
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    other.wait()


def test_a_group_is_ended_with_those_who_lost_their_parent() -> None:
    """It is waited for: none of it works any more."""
    start = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.wait()
        assert child.is_running()
        end_group(process.pid)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_cores_are_those_that_a_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound to four; a container that gives 250 ms of each 100 leaves two whole ones; OpenMP is told one."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 4, 5})
    monkeypatch.setattr(processes, "CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processes.cores() == 4
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert processes.cores() == 4
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert processes.cores() == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert processes.cores() == 1
    (tmp_path / "cpu.max").unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert processes.cores() == 3
