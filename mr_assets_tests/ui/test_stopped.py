"""`mr run` that is stopped in a terminal, where Ctrl-C goes to every process of its group: one line, no traceback."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.real_run import alive, printed, started, wait_for
from mr_assets_tests.tiny import NAME, tiny_recipe
from mr_assets_tests.ui.server import MODULE, PATIENCE

pytestmark = pytest.mark.slow

SETS = ("prompts.count=160", "iterations.all={prompts: 40, rho: 0.0, keep_epoch: 3, judge_training: true}")
PROMPTLY = 30  # seconds, on a busy machine; the line comes within one


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all of them: the first makes what the family shares."""
    return tmp_path_factory.mktemp("stopped") / "data"


@pytest.mark.parametrize(
    ("executor", "number", "status"),
    [
        ("in_process", signal.SIGINT, 130),
        ("in_process", signal.SIGTERM, 143),
        ("multiprocess", signal.SIGINT, 130),
        ("multiprocess", signal.SIGTERM, 143),
    ],
)
def test_one_line_and_the_status_of_the_signal(
    data: Path, monkeypatch: pytest.MonkeyPatch, executor: str, number: signal.Signals, status: int
) -> None:
    """Sent to the process group in the middle of a table: nothing else is said, and no process of the group stays."""
    name = f"{executor}_{status}"
    save(Run(name, with_iterations(tiny_recipe(*SETS, "evaluation=null"), 1), data))
    monkeypatch.setenv("MR_EXECUTOR", executor)
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.1")
    asked = data / "requests.log"
    asked.unlink(missing_ok=True)
    with started(data, "run", NAME, "--name", name, module=MODULE) as command:
        wait_for(lambda: asked.exists() and len(asked.read_text().split()) >= 25, PATIENCE, command)
        group = [p for p in psutil.process_iter() if os.getpgid(p.pid) == command.pid]
        before = printed(command)
        os.killpg(command.pid, number)
        assert command.wait(PROMPTLY) == status
        assert printed(command).removeprefix(before) == "stopped; the same command goes on\n"
        assert "DEBUG" not in before
        psutil.wait_procs(group, timeout=5)
        assert not alive(group)
