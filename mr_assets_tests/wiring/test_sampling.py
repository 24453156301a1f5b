"""The figures that a sampling asset has of its engine."""

from pathlib import Path

import pytest

from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.stats import EngineStats
from mr_assets.wiring.sampling import sample_by
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.tiny import model_folder
from mr_assets_tests.wiring.conftest import work


class OneAtATime(WorldSampler):
    """The others wait; two of them lost their place in the cache."""

    def step(self) -> list[tuple[str, list[Completion]]]:
        waiting, self._asked = self._asked[1:], self._asked[:1]
        done = super().step()
        self._asked = waiting
        self.stats = EngineStats(running=1, waiting=len(waiting), preemptions=2)
        return done


def test_queue_and_preemptions_are_figures(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six requests that are asked at once five wait; the figure is the longest queue, not that of the end."""
    monkeypatch.setattr("mr_assets.sampling.shards.SECONDS_BETWEEN_REPORTS", 0.0)
    engine = OneAtATime(model_folder(tmp_path / "model"), "")
    requests = [Request(f"1.{i}", [i + 1], 1) for i in range(6)]
    found = sample_by(work(run, "responses"), engine, requests, 6, run.recipe.responses, n=1)
    assert found.numbers["most completions waiting"] == 5
    assert found.numbers["preemptions"] == 2
