"""The lock of a run's folder: one process at a time, and none is in the way once it is gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.orchestration.lock import holder_of, run_lock


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a folder's lock until its input ends."""
    program = (
        "import sys; from pathlib import Path; from mr_assets.orchestration.lock import run_lock\n"
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
        assert holder_of(tmp_path) == str(process.pid)
        said = f"run x is being run by process {process.pid}. Wait for it, or end it"
        with pytest.raises(UserError, match=said), run_lock(tmp_path, "run x", wait=False):
            raise AssertionError("two processes hold the lock")
    finally:
        process.kill()
        process.communicate()
    assert holder_of(tmp_path) is None
    with run_lock(tmp_path, "run x", wait=False):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


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
