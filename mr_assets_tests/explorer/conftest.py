"""The pages over the finished run."""

import sys
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from mr_assets.explorer.app import explorer
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import run as run

UI = "http://127.0.0.1:3000"


def pages_over(run: Run) -> TestClient:
    """What a browser asks, without a server; an error of the server is an error of the test."""
    return TestClient(explorer(run.data, UI), base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture(scope="module")
def pages(finished: Run) -> Iterator[TestClient]:
    """The pages over the finished run. They keep what they made: a test that changes how it is made has its own."""
    interval = sys.getswitchinterval()
    with pages_over(finished) as client:
        yield client
    sys.setswitchinterval(interval)  # the server's is a shorter one, for which other tests would pay
