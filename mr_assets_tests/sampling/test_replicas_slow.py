"""Engines in processes of their own: with a fake engine, each with a child as vLLM's has; then with the real one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from polars.testing import assert_frame_equal

from mr_assets.errors import UserError
from mr_assets.sampling import replicas
from mr_assets.sampling.engine import Request, signature
from mr_assets.sampling.replicas import Replicas
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import Progress, Sampled, sample_shards, scan_shards
from mr_assets_tests.real_run import wait_for
from mr_assets_tests.sampling.fake import FakeSampler, engine_settings
from mr_assets_tests.sampling.fake_replica import BROKEN, DEADLY, FULL, sampled_by
from mr_assets_tests.sampling.test_engine_slow import DRAWN, requests

SEED = Path(__file__).parents[2] / "data" / "seeds" / "small-world"
SETTINGS = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=6)
REQUESTS = [Request(f"q{i}", [i, i + 1], n=2) for i in range(24)]  # 48 completions: 8 shards of 3 requests
PROGRAM = [sys.executable, "-m", "mr_assets_tests.sampling.fake_replica"]

pytestmark = pytest.mark.slow

Open = Callable[..., Replicas]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens replicas with the fake engine, which are closed afterwards. The working folder is the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(replicas, "replica_program", lambda: PROGRAM)
    monkeypatch.setattr(replicas, "check_engine", lambda folder, settings: None)
    monkeypatch.setattr(replicas, "samples_on_cpu", lambda: True)
    all_opened: list[Replicas] = []

    def open_replicas(count: int = 2, policy: str = "M0") -> Replicas:
        all_opened.append(Replicas(tmp_path, policy, engine_settings(replicas=count), (), tmp_path / "engine.log"))
        return all_opened[-1]

    yield open_replicas
    for each in all_opened:
        each.close()


def run(engine: Any, folder: Path, requests: Iterable[Request] = REQUESTS, **more: Any) -> Sampled:
    return sample_shards(engine, requests, SETTINGS, folder, signature={}, seed=7, shard_size=6, **more)


def alone(device: str = "cpu") -> FakeSampler:
    """One engine in this process, of the same policy and settings."""
    sampler = FakeSampler(device)
    sampler.signature = signature("M0", device, engine_settings(), ())
    return sampler


def with_first(request: int, token: int) -> list[Request]:
    """The requests, one of which has a token at its beginning that tells the fake engine what to do."""
    return [Request(r.id, [token, 1], r.n) if i == request else r for i, r in enumerate(REQUESTS)]


def group(pids: list[int]) -> list[psutil.Process]:
    """Processes with those that they started."""
    found = [psutil.Process(pid) for pid in pids]
    return [*found, *(child for process in found for child in process.children(recursive=True))]


def left(processes: list[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    """Those that work after so long at the latest. One that nobody waited for has ended."""
    until = time.monotonic() + seconds
    while True:
        alive = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not alive or time.monotonic() > until:
            return alive
        time.sleep(0.02)


def test_on_the_cpu_the_table_is_the_one_of_one_engine_in_this_process(opened: Open, tmp_path: Path) -> None:
    """Bit by bit, in files of the same names; both replicas took part, and a shard is one replica's."""
    one = run(alone(), tmp_path / "alone")
    engine = opened()
    shared = run(engine, tmp_path / "shared")
    assert [p.name for p in shared.paths] == [p.name for p in one.paths]
    assert_frame_equal(scan_shards(shared.paths).collect(), scan_shards(one.paths).collect())
    assert (shared.requests, shared.sampled, shared.reused) == (24, 24, 0)
    assert shared.tokens == one.tokens
    by = sampled_by()
    assert {pid for pids in by.values() for pid in pids} == set(engine.pids)
    for first in range(0, 24, 3):
        assert by[f"q{first}"] == by[f"q{first + 1}"] == by[f"q{first + 2}"]


def test_on_cuda_all_requests_of_a_group_are_one_replicas(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of two, where a shard has room for three: none is parted."""
    monkeypatch.setenv("MR_FAKE_DEVICE", "cuda")
    engine = opened()
    run(engine, tmp_path / "stage", [replace(r, group=f"p{i // 2}") for i, r in enumerate(REQUESTS)])
    by = sampled_by()
    assert {pid for pids in by.values() for pid in pids} == set(engine.pids)
    for first in range(0, 24, 2):
        assert by[f"q{first}"] == by[f"q{first + 1}"]


def test_what_one_engine_left_is_found_again(opened: Open, tmp_path: Path) -> None:
    """Another number of engines goes on with the same shards; so does the next stage."""
    run(alone(), tmp_path / "stage", REQUESTS[:9])
    engine = opened()
    resumed = run(engine, tmp_path / "stage")
    assert (resumed.reused, resumed.sampled) == (9, 15)
    assert run(engine, tmp_path / "stage").reused == 24
    assert run(engine, tmp_path / "next").sampled == 24


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_lost_replicas_shards_go_to_the_other(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Nothing is lost, and at most the shards that it had are sampled again. The person is told."""
    monkeypatch.setenv("MR_FAKE_DEVICE", device)
    engine, warned = opened(), list[str]()
    family = group(engine.pids)
    done = run(engine, tmp_path / "stage", with_first(10, DEADLY), warn=warned.append)
    rows = scan_shards(done.paths).collect()
    assert rows.select("request_id", "sample").rows() == [(r.id, k) for r in REQUESTS for k in range(2)]
    assert done.requests == done.reused + done.sampled == 24
    assert not list((tmp_path / "stage").glob("*.jsonl"))
    [dead] = sampled_by()["q10"][:1]
    again = [request for request, pids in sampled_by().items() if len(pids) > 1]
    assert "q10" in again and len(again) <= (3 if device == "cpu" else 9)
    if device == "cpu":
        undisturbed = run(alone(), tmp_path / "alone", with_first(10, DEADLY))
        assert_frame_equal(rows, scan_shards(undisturbed.paths).collect())
    [said] = warned
    assert "is gone: its process ended with status -9" in said and "go to the other" in said
    assert engine.closed
    assert len(left(family, 0)) == 2, "the other replica and its child alone"
    assert not psutil.pid_exists(dead)


def killing(process: psutil.Process, asked: list[Request] = REQUESTS, after: int = 15) -> Iterator[Request]:
    """The requests; after so many, a process is killed. The last whole shard of them is being sampled then."""
    yield from asked[:after]
    process.kill()
    yield from asked[after:]


def test_a_replica_is_lost_with_its_engines_own_process(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM would wait for it for good. The shards go to the other one; the person is told which process it was."""
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.1")
    engine, warned = opened(), list[str]()
    family = group(engine.pids)
    done = run(engine, tmp_path / "stage", killing(family[2]), warn=warned.append)
    rows = scan_shards(done.paths).collect()
    assert_frame_equal(rows, scan_shards(run(alone(), tmp_path / "alone").paths).collect())
    [said] = warned  # of the two processes that engines started the first one's was killed
    assert (
        "engine 1 is gone: vLLM's process EngineCore ended with status -9. It was killed. " in said
        and "go to the other" in said
    )
    assert engine.closed
    assert len(left(family, 0)) == 2, "the other replica and its child alone"


def test_the_only_replica_is_lost_with_its_engines_own_process(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage ends and says why, nothing is left, and the same command goes on."""
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.1")
    engine = opened(1)
    family = group(engine.pids)
    with pytest.raises(UserError, match=r"EngineCore ended with status -9.*\nNo engine is left.* same command goes on"):
        run(engine, tmp_path / "stage", killing(family[1]))
    assert not left(family)
    monkeypatch.setenv("MR_FAKE_SECONDS", "0")
    resumed = run(opened(1), tmp_path / "stage")
    assert resumed.reused >= 9 and resumed.requests == 24
    undisturbed = scan_shards(run(alone(), tmp_path / "alone").paths).collect()
    assert_frame_equal(scan_shards(resumed.paths).collect(), undisturbed)


@pytest.mark.parametrize("core", [False, True])
def test_replicas_of_which_one_ends_between_two_stages_are_not_used_again(
    opened: Open, tmp_path: Path, core: bool
) -> None:
    """Nor those of which the process ends that an engine started. Closing them leaves nothing."""
    engine = opened()
    family = group(engine.pids)
    run(engine, tmp_path / "stage")
    assert not engine.closed
    family[3 if core else 1].kill()
    wait_for(lambda: engine.closed, 10)
    engine.close()
    assert not left(family, 0)


def test_an_engine_that_breaks_is_told_in_its_words(opened: Open, tmp_path: Path) -> None:
    """When the last one is gone, too, the stage ends, and no process is left."""
    engine, warned = opened(), list[str]()
    family = group(engine.pids)
    with pytest.raises(
        UserError, match=r"(?s)is gone: RuntimeError: the device is lost.*No engine is left.*which ends:\n.*raise Run"
    ):
        run(engine, tmp_path / "stage", with_first(10, BROKEN), warn=warned.append)
    assert len(warned) == 1 and "RuntimeError: the device is lost" in warned[0]
    assert not left(family)
    assert len(list((tmp_path / "stage").glob("*.parquet"))) >= 3, "what was before it is kept"


def test_what_the_person_has_to_mend_ends_the_stage_at_once(opened: Open, tmp_path: Path) -> None:
    """The other replica would meet the same full disk. Neither has to be killed, also the one that ends by itself."""
    engine = opened()
    family, began = group(engine.pids), time.monotonic()
    with pytest.raises(UserError, match=r"^no space left on disk$"):
        run(engine, tmp_path / "stage", with_first(4, FULL))
    assert time.monotonic() - began < replicas.PATIENCE_SECONDS
    assert not left(family)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("bad", r"^the KV cache is too small$"),
        ("dead", r"(?s)sampling engine \d could not start: its process ended with status 3\n.*loading dead"),
        ("killed", r"engine \d could not start: its process ended with status -9\. .* runs out of memory: free some"),
    ],
)
def test_a_start_that_fails_is_told_and_leaves_nothing(opened: Open, policy: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        opened(2, policy)
    assert not [p for p in psutil.Process().children() if "fake_replica" in " ".join(p.cmdline())]


def test_an_engine_that_dies_while_others_load_is_told_at_once(opened: Open) -> None:
    """The first one loads for two minutes."""
    began = time.monotonic()
    with pytest.raises(UserError, match=r"^sampling engine 2 could not start: its process ended with status 3\n"):
        opened(2, "second")
    assert time.monotonic() - began < 60


def test_closing_ends_the_replicas_and_their_processes(opened: Open) -> None:
    engine = opened()
    family = group(engine.pids)
    assert len(family) == 4
    engine.close()
    engine.close()
    assert not left(family, 0)


PARENT = """
import sys
from pathlib import Path
from mr_assets.sampling import replicas
from mr_assets_tests.sampling import test_replicas_slow as test

replicas.replica_program = lambda: test.PROGRAM
replicas.check_engine = lambda folder, settings: None
engine = replicas.Replicas(Path("."), "M0", test.engine_settings(replicas=2), (), Path("engine.log"))
print(*engine.pids, flush=True)
test.run(engine, Path("stage"))
"""


@contextmanager
def starting(folder: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that starts replicas, says their ids, and samples in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            yield parent
        finally:
            parent.kill()


@contextmanager
def starter(folder: Path, code: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """The same, once it has said the ids; and the replicas with their children."""
    with starting(folder, code) as parent:
        assert parent.stdout is not None
        yield parent, group(list(map(int, parent.stdout.readline().split())))


def test_no_replica_outlives_its_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while they sample: both, and what they had started, end by themselves."""
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.2")
    with starter(tmp_path, PARENT) as (parent, family):
        assert len(family) == 4
        wait_for(lambda: (tmp_path / "requests.log").exists(), 60)
        parent.kill()
        parent.wait()
        assert not left(family)


def test_progress_is_one_for_all(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never falls, and ends at all requests."""
    monkeypatch.setattr("mr_assets.sampling.shards.SECONDS_BETWEEN_REPORTS", 0.0)
    seen: list[Progress] = []
    run(opened(), tmp_path / "stage", total=24, on_progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[-1].done, seen[-1].total, seen[-1].seconds_left) == (24, 24, 0.0)


def test_an_interrupt_ends_the_replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C and the UI's Cancel do: to the starter alone, while they sample. It ends, and nothing is left."""
    monkeypatch.setenv("MR_FAKE_SECONDS", "0.2")
    with starter(tmp_path, PARENT) as (parent, family):
        assert len(family) == 4
        wait_for(lambda: (tmp_path / "requests.log").exists(), 60)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(30) != 0
        assert not left(family, 0)


# --------------------------------------------------------------------------- the real engine, in vLLM's own process

SMALL = engine_settings(max_num_seqs=32, cpu_kv_cache_gib=0.25, own_process=True)
REAL_PARENT = """
from dataclasses import replace
from pathlib import Path
from mr_assets.sampling import replicas
from mr_assets_tests.sampling import test_replicas_slow as test
from mr_assets_tests.sampling.test_engine_slow import DRAWN, SEED, requests

engine = replicas.Replicas(SEED, "M0", test.SMALL, (), Path("engine.log"))
print(*engine.pids, flush=True)
asked = (replace(request, id=f"{turn}.{request.id}") for turn in range(1000) for request in requests())
test.sample_shards(engine, asked, DRAWN, Path("stage"), signature={}, seed=1, shard_size=50)
"""


@pytest.fixture(params=["spawn", "fork"])
def begun(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """vLLM computes in a process of its own, which begins in this way."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", request.param)
    return str(request.param)


def vllms_own(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Of these, those that vLLM has started and named."""
    return [process for process in processes if process.is_running() and "EngineCore" in process.name()]


def kill_both(parent: subprocess.Popen[str], replica: psutil.Process) -> None:
    """A starter and its replica, of which neither has the time to end anything."""
    replica.suspend()
    parent.kill()
    parent.wait()
    replica.kill()


def test_vllms_own_process_dies_with_a_killed_starter(tmp_path: Path, begun: str) -> None:
    """Though its parent, the replica, is killed in the same moment."""
    with starter(tmp_path, REAL_PARENT) as (parent, family):
        assert vllms_own(family)
        wait_for(lambda: list(tmp_path.glob("stage/*.parquet")), 120)
        kill_both(parent, family[0])
        assert not left(family)


@pytest.mark.parametrize("begun", ["spawn"], indirect=True)
def test_vllms_own_process_dies_with_a_starter_that_is_killed_while_it_loads(tmp_path: Path, begun: str) -> None:
    """It has not said yet that it is there. What is spawned has nothing of the replica but the environment."""
    with starting(tmp_path, REAL_PARENT) as parent:
        family: list[psutil.Process] = []

        def loads() -> bool:
            family[:] = psutil.Process(parent.pid).children(recursive=True)
            return bool(vllms_own(family))

        wait_for(loads, 300)
        kill_both(parent, family[0])
        assert not left(family)
        assert not (tmp_path / "stage").exists(), "it had not started"


@pytest.mark.parametrize("begun", ["fork"], indirect=True)
def test_vllms_own_process_that_is_killed_ends_the_stage(tmp_path: Path, begun: str) -> None:
    """Alone, while it samples, as a machine does that runs out of memory. What was sampled is kept; nothing is left."""
    engine = Replicas(SEED, "M0", SMALL, (), tmp_path / "engine.log")
    family = group(engine.pids)
    [core] = vllms_own(family)
    with pytest.raises(
        UserError, match=r"engine 1 is gone: vLLM's process EngineCore ended with status -9.*\nNo engine"
    ):
        asked = killing(core, requests(), after=39)  # two shards of 16 requests, and a third
        sample_shards(engine, asked, DRAWN, tmp_path / "stage", signature={}, seed=1, shard_size=50)
    assert not left(family)
    assert len(list(tmp_path.glob("stage/*.parquet"))) == 1


@pytest.mark.parametrize("begun", ["spawn"], indirect=True)
def test_an_interrupt_closes_vllms_own_process(tmp_path: Path, begun: str) -> None:
    """While it samples: the starter closes the engine, and when that has ended nothing is left."""
    with starter(tmp_path, REAL_PARENT) as (parent, family):
        assert vllms_own(family)
        wait_for(lambda: list(tmp_path.glob("stage/*.parquet")), 120)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) != 0
        assert not left(family, 0)


@pytest.mark.parametrize("begun", ["spawn"], indirect=True)
def test_a_cache_that_is_too_small_is_told_by_vllms_own_process(tmp_path: Path, begun: str) -> None:
    """In the words that it has in this process, with what to change. Nothing is left."""
    small = SMALL.model_copy(update={"cpu_kv_cache_gib": 0.0001})
    with pytest.raises(UserError, match=r"could not start on .*: To serve at least one request") as raised:
        Replicas(SEED, "M0", small, (), tmp_path / "engine.log")
    assert "cpu_kv_cache_gib (now 0.0001)" in str(raised.value)
    assert not psutil.Process().children(recursive=True)
