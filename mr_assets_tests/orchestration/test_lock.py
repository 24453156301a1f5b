"""The lock of a run's folder: one process at a time, and none is in the way once it is gone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.orchestration import lock
from mr_assets.orchestration.lock import holder_of, run_lock
from mr_assets.processes import Worker

ELSEWHERE = "import socket; socket.gethostname = lambda: 'gpu-07'\n"
OF_ONE_HOST = "import fcntl; fcntl.flock = lambda *_: None  # a file system whose flock other hosts do not see\n"


def holder(folder: Path, first: str = "") -> subprocess.Popen[str]:
    """A process that holds a folder's lock until its input ends. `first` is what it does before."""
    program = (
        f"{first}import sys; from pathlib import Path; from mr_assets.orchestration import lock\n"
        "lock.BEAT_SECONDS = 0.05; run_lock = lock.run_lock\n"
        f"with run_lock(Path({str(folder)!r}), 'run x', wait=False): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_makes_a_run(tmp_path: Path) -> None:
    """A second one is refused with the first one's id; when that is killed, nothing is in the way."""
    process = holder(tmp_path)
    try:
        assert holder_of(tmp_path) == f"process {process.pid}"
        said = f"run x is being run by process {process.pid}. Wait for it, or end it"
        with pytest.raises(UserError, match=said), run_lock(tmp_path, "run x", wait=False):
            raise AssertionError("two processes hold the lock")
    finally:
        process.kill()
        process.communicate()
    assert holder_of(tmp_path) is None
    with run_lock(tmp_path, "run x", wait=False) as former:
        assert former is not None and (former.pid, former.gone) == (process.pid, True)
        assert (tmp_path / ".lock").read_text() == Worker.of(os.getpid()).tag(tmp_path.name)
    with run_lock(tmp_path, "run x", wait=False) as former:
        assert former is None, "it was given back"


@pytest.mark.slow
@pytest.mark.parametrize("first", [ELSEWHERE, ELSEWHERE + OF_ONE_HOST], ids=["flock of all hosts", "flock of one host"])
def test_another_hosts_process_makes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """It is named with its host, and not taken for dead because this host has no such process. Killed, it is gone."""
    monkeypatch.setattr(lock, "WATCH_SECONDS", 1.0)
    process = holder(tmp_path, first)
    try:
        said = f"run x is being run by process {process.pid} on host gpu-07. Wait for it, or end it"
        with pytest.raises(UserError, match=said), run_lock(tmp_path, "run x", wait=False):
            raise AssertionError("two processes hold the lock")
        assert holder_of(tmp_path) == f"process {process.pid} on host gpu-07"
        before = Worker.of(process.pid)
    finally:
        process.kill()
        process.communicate()
    with run_lock(tmp_path, "run x", wait=False) as former:
        assert former == replace(before, host="gpu-07")


def test_the_lock_of_an_earlier_version_names_a_process_alone(tmp_path: Path) -> None:
    """Whoever holds it is told by its id; left behind, it says nothing."""
    (tmp_path / ".lock").write_text("41213")
    with run_lock(tmp_path, "run x", wait=False) as former:
        assert former is None
        (tmp_path / ".lock").write_text("41213")
        with pytest.raises(UserError, match=r"by process 41213\."), run_lock(tmp_path, "run x", wait=False):
            raise AssertionError("two processes hold the lock")


def test_a_folder_that_is_made_for_the_lock_goes_again(tmp_path: Path) -> None:
    """Unless something came to lie in it meanwhile; to ask who holds it makes none."""
    folder = tmp_path / "new"
    assert holder_of(folder) is None
    assert not folder.exists()
    with run_lock(folder, "run x", wait=False):
        assert folder.is_dir()
    assert not folder.exists()
    with run_lock(folder, "run x", wait=False):
        (folder / "recipe.yaml").touch()
    assert (folder / "recipe.yaml").exists()
