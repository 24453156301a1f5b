"""Settings and fixtures that all tests share, and what several processes make of them."""

import fcntl
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mr_assets.processes import collect_seldom
from mr_assets_tests.chat_server import Serve, serving
from mr_assets_tests.real_run import ONE_ITERATION, RealRun, mr

collect_seldom()  # before all is imported and collected, of which nothing is garbage
# A busy machine is no bug: no example is timed. A test that needs more examples asks for them.
settings.register_profile("untimed", deadline=None, max_examples=40)
settings.register_profile("fast", deadline=None, max_examples=15)  # of each run others, and CI tries forty
settings.load_profile("untimed")
# Threads of torch that wait for each other sleep, as in the trainer's own process: beside other tests, spinning on the
# same cores turns a minute into twenty.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.pop("MR_EXECUTOR", None)  # a test that wants another executor than the default says so


def pytest_configure(config: pytest.Config) -> None:
    """Where the fast tests alone run, they try fewer examples."""
    if config.option.markexpr == "not slow":
        settings.load_profile("fast")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """With `-n auto`, as many processes as there are cores; one more where the tests of the UI, which mostly wait, run.

    No more than four: each imports everything once more.
    """
    cores = len(os.sched_getaffinity(0))
    return min(cores if config.option.markexpr == "not slow" else cores + 1, 4)


LONG = ("test_loop.py", "test_kills.py", "test_real_model.py", "test_gpu.py", "test_trial_cluster.py", "test_dpo.py")
"""The files that take longest. What begins last bounds the end: none of them should."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes the slow tests begin first, and of those the UI's, which wait while others compute.

    Of either the long files begin, and `test_loop` before all of the others: it leaves the finished run to them. While
    it makes that, others do what needs none.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(
            key=lambda item: (
                "ui" not in item.path.parts,
                item.get_closest_marker("slow") is None,
                LONG.index(item.path.name) if item.path.name in LONG else len(LONG),
                "method" not in item.path.parts,
            )
        )


def pytest_collection_finish() -> None:
    """What was imported and collected is no garbage: whoever looks for some need not look through it."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def unstamped() -> Iterator[None]:
    """Dagster's histories in memory bear no revision of their schema: to find it, ninety files would be read each."""
    with pytest.MonkeyPatch.context() as patch:
        for storage in ("runs", "event_log"):
            patch.setattr(f"dagster._core.storage.{storage}.in_memory.stamp_alembic_rev", lambda *_: None)
        yield


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process to ask for it fills, and that those after it find; no test may change it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)
    folder, whole = shared / name, shared / f"{name} is whole"
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return folder


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Chat servers that end with the test."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(serving(answer))


@pytest.fixture(scope="session")
def finished_world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny run with all that is made of it, by fakes, and its Dagster history: a `test_loop.World`.

    Seconds in each process that asks for it: what needs no history takes `finished`.
    """
    from mr_assets.orchestration.steps import steps
    from mr_assets_tests.whole_runs.test_loop import new_world

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)  # the tests outlive no power cut
        world = new_world(patch, tmp_path_factory.mktemp("finished") / "data", drawn=True)
        for step in steps(world.run):
            world.make(step)
    return world


@pytest.fixture(scope="session")
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The finished tiny run, as a `Run`. Not to be changed: a test that changes it takes a copy."""
    from mr_assets_tests.tiny import tiny_run

    def make(folder: Path) -> None:
        shutil.copytree(request.getfixturevalue("finished_world").run.data, folder)

    return tiny_run(once(tmp_path_factory, "finished", make))


@pytest.fixture(scope="session")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose EFT data is made of rankings, up to M0 and its first prompts, as a `Run`. Not to be changed."""
    from mr_assets.orchestration.steps import Step, steps
    from mr_assets_tests.rankings import OF_RANKINGS, with_rankings
    from mr_assets_tests.tiny import tiny_run
    from mr_assets_tests.whole_runs.test_loop import new_world

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mr_assets.files.os.fsync", lambda file: None)
            world = new_world(patch, with_rankings(folder), *OF_RANKINGS)
            for step in (next(steps(world.run)), Step("prompts", ("prompts",), "1")):
                world.make(step)

    return tiny_run(once(tmp_path_factory, "ranked", make), *OF_RANKINGS)


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home in which nothing has run: a copy is there in a quarter of the time that it takes to make one."""
    from mr_assets.orchestration.instance import instance

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(folder))
            instance().dispose()

    return once(tmp_path_factory, "fresh_home", make)


@pytest.fixture(scope="session")
def one_iteration(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """A whole iteration from the shipped seed, by the command that a person types; slow tests read what it wrote."""

    def make(folder: Path) -> None:
        data = folder / "data"
        data.mkdir(parents=True)
        (folder / "said.txt").write_text(mr(data, *ONE_ITERATION, "--name", "t"), encoding="utf-8")

    folder = once(tmp_path_factory, "one_iteration", make)
    return RealRun(folder / "data", "t", (folder / "said.txt").read_text(encoding="utf-8"))
