"""Settings and fixtures that all tests share."""

import pytest
from hypothesis import settings

from mr_assets_tests.real_run import ONE_ITERATION, RealRun, mr

# A busy machine is no bug: no example is timed. A test that needs more examples asks for them.
settings.register_profile("untimed", deadline=None, max_examples=40)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def one_iteration(tmp_path_factory) -> RealRun:
    """A whole iteration from the shipped seed, by the command that a person types; slow tests read what it wrote."""
    data = tmp_path_factory.mktemp("one_iteration") / "data"
    data.mkdir()
    return RealRun(data, "t", mr(data, *ONE_ITERATION, "--name", "t"))
