"""A tiny run, and an asset under way in it without Dagster."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import dagster as dg
import polars as pl
import pytest

from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import RewardSettings
from mr_assets.tables import PROMPTS
from mr_assets.wiring.materialization import Materialization
from mr_assets_tests.reward_model import ByLength
from mr_assets_tests.tiny import tiny_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[float]:
    """The seconds that progress goes by, to be set; what it logs is kept."""
    caplog.set_level("INFO")
    now = [0.0]
    monkeypatch.setattr("mr_assets.wiring.materialization.time.monotonic", lambda: now[0])
    return now


@dataclass
class Context:
    """What an asset's context is to `Materialization`."""

    asset: str
    partition: str | None = "1"
    run_id: str = "a run"
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))
    op_config: dict[str, Any] = field(default_factory=dict)

    @property
    def op_execution_context(self) -> "Context":
        return self

    @property
    def run(self) -> dg.DagsterRun:
        return dg.DagsterRun("job", run_config={"ops": {f"tiny__{self.asset}": {"config": self.op_config}}})

    @property
    def asset_key(self) -> dg.AssetKey:
        return dg.AssetKey(["tiny", self.asset])

    @property
    def has_partition_key(self) -> bool:
        return self.partition is not None

    @property
    def partition_key(self) -> str | None:
        return self.partition


def work(
    run: Run, asset: str, partition: str | None = "1", policy: Model | None = None, **config: Any
) -> Materialization:
    """The asset under way, as `loop_asset` gives it to its function."""
    context = Context(asset, partition, op_config=config)
    return Materialization(cast(dg.AssetExecutionContext, context), run, policy)


class ByTokens(ByLength):
    """A reward model that gives a conversation as many points as it has tokens."""

    events: ClassVar[list[str]] = []

    def __init__(self, folder: Path, content: str, settings: RewardSettings) -> None:
        super().__init__(folder, content, settings)
        self.events.append(f"{folder.name} opened")

    @classmethod
    def watched(cls, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """In place of the real one; what is opened and closed from now on, the engine too."""
        monkeypatch.setattr(cls, "events", [])
        monkeypatch.setattr("mr_assets.wiring.rewards.RewardModel", cls)
        monkeypatch.setattr("mr_assets.wiring.rewards.close_engine", lambda: cls.events.append("engine closed"))
        return cls.events

    def worth(self, tokens: int) -> str:
        return str(tokens)

    def close(self) -> None:
        self.events.append("rm closed")


def table(*prompts: str) -> pl.DataFrame:
    return pl.DataFrame([(f"p{i}", p) for i, p in enumerate(prompts)], schema=PROMPTS.schema, orient="row")


def metadata(result: dg.MaterializeResult[Any]) -> dict[str, Any]:
    """Metadata as plain values."""
    return {k: getattr(v, "value", v) for k, v in (result.metadata or {}).items()}
