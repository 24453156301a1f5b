"""Settings and fixtures that all tests share, and what several processes make of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mr_assets_tests.real_run import ONE_ITERATION, RealRun, mr

# A busy machine is no bug: no example is timed. A test that needs more examples asks for them.
settings.register_profile("untimed", deadline=None, max_examples=40)
settings.load_profile("untimed")
# Threads of torch that wait for each other sleep, as in the trainer's own process: beside other tests, spinning on the
# same cores turns a minute into twenty.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.pop("MR_EXECUTOR", None)  # a test that wants another executor than the default says so


def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`, one process more than there are cores, as the tests of the UI mostly wait; no more than four."""
    return min(len(os.sched_getaffinity(0)) + 1, 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes the slow tests begin first, and of those the UI's, which wait while others compute."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: ("ui" not in item.path.parts, item.get_closest_marker("slow") is None))


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home in which nothing has run: a copy is there in a quarter of the time that it takes to make one."""
    from mr_assets.orchestration.instance import instance

    home = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        instance().dispose()
    return home


@pytest.fixture(scope="session")
def finished_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tiny run with all that is made of it, by fakes, and its Dagster history: a `test_loop.World`."""
    from mr_assets.orchestration.steps import steps
    from mr_assets_tests.test_loop import messages, new_world

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, tmp_path_factory.mktemp("finished") / "data")
        for step in steps(world.run):
            result = world.materialize(step)
            assert result.success, messages(result)
        yield world


@pytest.fixture(scope="session")
def one_iteration(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """A whole iteration from the shipped seed, by the command that a person types; slow tests read what it wrote."""
    data = tmp_path_factory.mktemp("one_iteration") / "data"
    data.mkdir()
    return RealRun(data, "t", mr(data, *ONE_ITERATION, "--name", "t"))
