"""The tiny run, and a fake engine in place of the real one."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.wiring import sampling
from mr_assets_tests.fakes import WorldSampler, pictures_are
from mr_assets_tests.tiny import tiny_run


class Engine:
    """Counts what is asked of it. stop_at: the request at which Ctrl-C comes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stop_at = -1

    def open(self, folder: Path, policy: str, settings: Any, **_: Any) -> WorldSampler:
        outer = self

        class Sampler(WorldSampler):
            def add(self, request: Request, settings: SamplingSettings) -> None:
                outer.asked.append(request.id)
                super().add(request, settings)

            def step(self) -> list[tuple[str, list[Completion]]]:
                if 0 <= outer.stop_at < len(outer.asked):
                    raise KeyboardInterrupt
                return super().step()

        return Sampler(folder, policy)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    monkeypatch.setattr(sampling, "open_engine", found.open)
    pictures_are(False, monkeypatch)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two iterations of 5 prompts, K = 4, N = 3; the first trains the judge."""
    return tiny_run(tmp_path)
