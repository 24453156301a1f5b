"""A process on the leash: it is told its workspace, by the command line or later, and dies with who started it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest

from mr_assets.training.leash import LOG, OMITTED
from mr_assets_tests.real_run import wait_for

PROGRAM = """
import sys, time
from mr_assets.training.leash import follow_starter
workspace = follow_starter()
print("loaded", flush=True)
print("trains in", workspace(), flush=True)
print("trouble", file=sys.stderr, flush=True)
print("done", flush=True)
time.sleep(60)
"""
PATIENCE = 20
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program in a group of its own, as trainers are. None outlives the test, which waits no longer for one."""
    started: list[subprocess.Popen[str]] = []
    timers: list[Timer] = []

    def run(program: str, *arguments: object, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-c", program, *map(str, arguments)]
        pipe, environment = subprocess.PIPE, os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), **more}
        started.append(
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
            )
        )
        timers.append(Timer(PATIENCE, started[-1].terminate))
        timers[-1].start()
        return started[-1]

    yield run
    for timer, process in zip(timers, started, strict=True):
        timer.cancel()
        with process:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line of its standard output."""
    assert process.stdout is not None
    return process.stdout.readline()


def tell(process: subprocess.Popen[str], *lines: str) -> None:
    """Write to its standard input."""
    assert process.stdin is not None
    process.stdin.writelines(lines)
    process.stdin.flush()


def let_go(process: subprocess.Popen[str]) -> int:
    """Close its standard input, as the kernel does when the starter is gone; how it ended."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(PATIENCE)


def test_one_that_waits_is_told_its_workspace_and_prints_into_its_log_from_then_on(
    start: Start, tmp_path: Path
) -> None:
    """What is in the log already stays. It is told in pieces, as a pipe may give them; then the starter is gone."""
    (tmp_path / LOG).write_text("of the try before\n")
    process = start(PROGRAM)
    assert said(process) == "loaded\n"
    line = json.dumps(str(tmp_path)) + "\n"
    tell(process, line[:5])
    tell(process, line[5:])
    assert said(process) == "", "its output is the log's now"
    wait_for(lambda: (tmp_path / LOG).read_text().endswith("done\n"), PATIENCE)
    assert (tmp_path / LOG).read_text() == f"of the try before\ntrains in {tmp_path}\ntrouble\ndone\n"
    assert let_go(process) == -signal.SIGKILL


def test_the_command_line_names_the_workspace_of_one_that_does_not_wait(start: Start, tmp_path: Path) -> None:
    """Where its output goes is its starter's to say."""
    process = start(PROGRAM, tmp_path)
    assert [said(process) for _ in range(3)] == ["loaded\n", f"trains in {tmp_path}\n", "done\n"]
    assert let_go(process) == -signal.SIGKILL
    assert not (tmp_path / LOG).exists()


def test_a_package_that_is_omitted_is_as_if_it_were_not_installed(start: Start) -> None:
    """Before anything is imported that might ask for it."""
    program = (
        "from mr_assets.training.leash import follow_starter; follow_starter()\n"
        "try: import zipapp\n"
        "except ImportError as error: print(error)\n"
        "else: print('there it is')\n"
    )
    assert said(start(program, **{OMITTED: "zipapp"})).startswith("import of zipapp halted")
    assert said(start(program)) == "there it is\n"
