"""A replica and its starter, message by message. What comes of several is tested with `replicas`."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.sampling import replica
from mr_assets.sampling.engine import Request
from mr_assets.sampling.replica import REPLICA, open_sampler
from mr_assets.sampling.replicas import Begin, Committed, Counted, End, Ended, Failed, Ready, Start, Wanted
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import Shard
from mr_assets.sampling.stats import Tokens
from mr_assets_tests.sampling.fake import engine_settings
from mr_assets_tests.sampling.fake_replica import BROKEN, CORELESS

SETTINGS = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=4)
PATIENCE = 60


@pytest.fixture
def died_with(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes with which this one would die from now on."""
    asked: list[int] = []
    for module in ("processes", "sampling.replica"):
        monkeypatch.setattr(f"mr_assets.{module}.die_with_process", asked.append)
    return asked


def test_processes_that_the_engine_forks_die_with_the_replica(
    monkeypatch: pytest.MonkeyPatch, died_with: list[int], tmp_path: Path
) -> None:
    """They do what was registered before the engine starts, which is given all that its starter says."""
    happened: list[Any] = []
    monkeypatch.setenv(REPLICA, "")
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: happened.append(after_in_child))
    monkeypatch.setattr(replica, "VLLMSampler", lambda *given: happened.append(given))
    start = Start(tmp_path, "M1", engine_settings(replicas=2), (7,), tmp_path / "engine.log")
    open_sampler(start)
    [in_child, given] = happened
    assert given == (tmp_path, "M1", start.settings, (7,), tmp_path / "engine.log")
    assert died_with == []
    in_child()
    assert died_with == [os.getpid()] and os.environ[REPLICA] == str(os.getpid())


def test_processes_that_the_engine_spawns_die_with_the_replica(
    monkeypatch: pytest.MonkeyPatch, died_with: list[int]
) -> None:
    """In them Python imports the replica's module under this name, before anything else; its starter is in REPLICA."""
    monkeypatch.setenv(REPLICA, "41213")
    runpy.run_path(replica.__file__, run_name="__mp_main__")
    assert died_with == [41213]
    runpy.run_path(replica.__file__, run_name="another")
    assert died_with == [41213]


Started = Callable[[str], tuple[subprocess.Popen[bytes], Connection]]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Start a replica with the fake engine for a device, as `Replicas` does; none outlives the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(device: str) -> tuple[subprocess.Popen[bytes], Connection]:
        here, there = Pipe()
        with there:
            program = [sys.executable, "-m", "mr_assets_tests.sampling.fake_replica", str(there.fileno())]
            more: dict[str, Any] = {"cwd": tmp_path, "pass_fds": [there.fileno()], "start_new_session": True}
            environment = os.environ | {"MR_FAKE_DEVICE": device, "PYTHONPATH": str(Path(__file__).parents[2])}
            processes.append(subprocess.Popen(program, env=environment, **more))
        return processes[-1], here

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)  # the fake engine's own process is there still
        process.wait()


def heard(connection: Connection) -> Any:
    """The next message but for counts, which come as time goes by."""
    while connection.poll(PATIENCE):
        if not isinstance(message := connection.recv(), Counted):
            return message
    raise AssertionError("the replica says nothing")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "said"),
    [
        (CORELESS, "vLLM's process EngineCore ended with status -9. It was killed."),
        (BROKEN, "RuntimeError: the device is lost"),
    ],
)
def test_an_error_that_comes_of_a_dead_process_names_that(
    started: Started, tmp_path: Path, first: int, said: str
) -> None:
    """vLLM's own error says to look above, for what nobody printed."""
    _, connection = started("cpu")
    connection.send(Start(tmp_path, "M0", engine_settings(), (), None))
    connection.send(Begin(SETTINGS))
    connection.send(Shard(tmp_path / "one.parquet", 5, [Request("one", [first])]))
    assert [heard(connection) for _ in range(2)] == [Ready("cpu", 32), Wanted()]
    failed = heard(connection)
    assert isinstance(failed, Failed) and failed.said.startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "asks_ahead"), [("cpu", False), ("cuda", True)])
def test_it_asks_for_shards_and_writes_them_stage_after_stage(
    started: Started, tmp_path: Path, device: str, asks_ahead: bool
) -> None:
    """On CUDA it asks for the next shard before the last one is done; on the CPU, when it is. SIGINT ends it."""
    process, connection = started(device)
    connection.send(Start(tmp_path, "M0", engine_settings(), (), None))
    assert heard(connection) == Ready(device, 32)
    for stage in ("one", "two"):
        requests = [Request(f"{stage}.0", [1, 2], n=2), Request(f"{stage}.1", [3])]
        shard = Shard(tmp_path / f"{stage}.parquet", 5, requests)
        connection.send(Begin(SETTINGS))
        assert heard(connection) == Wanted()
        connection.send(shard)
        if asks_ahead:
            assert heard(connection) == Wanted()
            connection.send(End())
        written = heard(connection)
        rows = pl.read_parquet(shard.path)
        assert rows.select("request_id", "sample").rows() == [(f"{stage}.0", 0), (f"{stage}.0", 1), (f"{stage}.1", 0)]
        tokens = Tokens(done=sum(map(len, rows["token_ids"])), completions=3)
        assert written == Committed(shard.path, 0, tokens)
        if not asks_ahead:
            assert heard(connection) == Wanted()
            connection.send(End())
        assert heard(connection) == Ended()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
