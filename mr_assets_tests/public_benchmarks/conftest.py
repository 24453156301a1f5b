"""The finished tiny run in a folder of its own, a fake engine that counts, and a judge who likes length."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.chat_server import Answer, said
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.tiny import tiny_run

LOGPROBS = {"m": -0.105, "M": -2.303}
"""Of a judge who is nine tenths sure of the first."""


def longer_wins(number: int, body: dict[str, Any]) -> Answer:
    """AlpacaEval's judge who is nine tenths sure that the longer output is the better one, the first of equal ones."""
    first, second = re.findall(r'"output": """(.*?)"""', body["messages"][1]["content"], re.DOTALL)
    names = ("m", "M") if len(first) >= len(second) else ("M", "m")
    sure = dict(zip(names, LOGPROBS.values(), strict=True))
    return said(names[0], usage=(100, 1), logprobs=sure)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """Two iterations and the models seed, M0, M1 and M2, all made."""
    return tiny_run(Path(shutil.copytree(finished.data, tmp_path / "data")))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the requests that the engine, a fake, was given."""
    asked: list[str] = []

    class Sampler(WorldSampler):
        def add(self, request: Request, settings: SamplingSettings) -> None:
            asked.append(request.id)
            super().add(request, settings)

    opened: Callable[..., Sampler] = lambda folder, policy, settings, **_: Sampler(folder, policy)  # noqa: E731
    monkeypatch.setattr("mr_assets.public_benchmarks.local.open_engine", opened)
    return asked
