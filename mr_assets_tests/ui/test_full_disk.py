"""A disk that is really full, or read-only: one message that names the path and what to do; later the run goes on.

The data folder is a file system of its own in memory, which takes the right to mount one.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.real_run import PROJECT, free_port, printed, started, wait_for
from mr_assets_tests.tiny import NAME, tiny_recipe
from mr_assets_tests.ui.server import MODULE, PATIENCE

pytestmark = pytest.mark.slow

Remount = Callable[[str], bool]
RUN = ("run", NAME, "--name", "tiny")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Remount]]:
    """A data folder on a disk of its own, and what mounts that again with another option."""
    data = tmp_path / "data"
    data.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", data], stderr=subprocess.PIPE)
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")

    def remount(option: str) -> bool:
        return subprocess.run(["mount", "-o", f"remount,{option}", data]).returncode == 0

    save(Run("tiny", with_iterations(tiny_recipe("prompts.count=80", "evaluation=null"), 1), data))
    yield data, remount
    subprocess.run(["umount", "-l", data], check=True)


def said(data: Path, *command: str) -> tuple[int, list[str]]:
    """The exit status of a command, and its lines without notes."""
    known = os.environ | {"MR_DATA": str(data), "DAGSTER_HOME": "", "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-m", MODULE, *command], env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ended.returncode, [line for line in ended.stdout.splitlines() if not line.startswith("note: ")]


def page(port: int, path: str) -> bytes | None:
    """A page of the explorer; None while nothing answers."""
    with suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return bytes(answer.read())
    return None


def full(data: Path) -> str:
    """The size that the disk has if nothing more fits on it."""
    found = os.statvfs(data)
    return f"size={(found.f_blocks - found.f_bfree) * found.f_frsize}"


@pytest.mark.parametrize("moment", [".dagster", "requests.log", "tiny/responses/1.parquet", "steps.log"])
def test_a_disk_that_fills_up(disk: tuple[Path, Remount], moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the history begins, while a shard is written, after a table, in a training."""
    data, remount = disk
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.02")
    monkeypatch.setenv("MR_FAKE_STEP_SECONDS", "0.2")
    with started(data, *RUN, module=MODULE) as command:
        wait_for((data / moment).exists, PATIENCE, command)
        wait_for(lambda: remount(full(data)), PATIENCE)  # more may be written meanwhile
        assert command.wait(PATIENCE) == 1
        before, _, message = printed(command).partition("Error: ")
    assert "Traceback" not in before and "Exception" not in before and "Stack Trace" not in message
    assert "no space left on disk while writing " in message and "free some space and start again" in message
    assert not list(data.rglob(".tmp-*"))
    status, lines = said(data, "status", "tiny")
    assert status == 0 and any("no space left on disk" in line for line in lines)
    remount("size=400m")
    for name in ("MR_FAKE_SECONDS", "MR_FAKE_STEP_SECONDS"):
        monkeypatch.delenv(name)
    assert said(data, *RUN)[0] == 0


def test_a_disk_that_is_full_at_one_file(disk: tuple[Path, Remount]) -> None:
    """At the record of a table that is whole, then at the table of what was dropped: a folder takes no more files."""
    data, _ = disk
    for folder, files in (("prompts", 1), ("dropped", 0)):
        place = data / "tiny" / folder
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={files + 1}", "tmpfs", place], check=True)
        try:
            status, lines = said(data, *RUN)
            assert status == 1 and not any("Traceback" in line for line in lines)
            [message] = [line for line in lines if f"no space left on disk while writing {place}" in line]
            assert "free some space and start again" in message
            assert len([path for path in place.rglob("*") if path.is_file()]) == files
        finally:
            subprocess.run(["umount", "-l", place], check=True)
    assert said(data, *RUN)[0] == 0


def test_the_pages_of_a_full_disk(disk: tuple[Path, Remount]) -> None:
    """`mr explore` needs no space."""
    data, remount = disk
    port = free_port()
    with started(data, "explore", "--port", str(port), module=MODULE) as server:
        remount(full(data))
        for path in ("/", "/runs/tiny"):
            assert b"tiny" in wait_for(lambda: page(port, path), PATIENCE, server)  # noqa: B023


def test_a_disk_that_cannot_be_written(disk: tuple[Path, Remount]) -> None:
    """What only reads works; the rest says which folder, and what to do."""
    data, remount = disk
    assert said(data, "status", "tiny")[0] == 0
    remount("ro")
    for command in (["status"], ["report", "tiny"], ["runs"]):
        assert said(data, *command)[0] == 0
    for command in ([*RUN], ["extend", "tiny", "3"], ["runs", "remove", "tiny", "--yes"]):
        status, [line] = said(data, *command)
        assert status == 1
        assert str(data) in line and " MR_DATA " in line
