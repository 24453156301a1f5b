"""Runs whose assets are looked at: the finished one's copies, and one that is probed up to M0."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets_tests.conftest import once
from mr_assets_tests.rankings import OF_RANKINGS
from mr_assets_tests.tiny import copied, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, made_up_to_m0, new_world

Again = Callable[..., World]
"""Called with settings: a copy of the finished run with these, of which parts may be made again."""
PROBED = (
    *("evaluation=null", "held_out={source: world, prompts: 4, per_prompt: 3}", "probe={per_response: 2}"),
    "guardrails.min_count=2",
)


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What replaces engine and trainer; nothing waits for the disk."""
    monkeypatch.setattr("mr_assets.files.os.fsync", lambda file: None)
    return monkeypatch


@pytest.fixture
def again(finished: Run, patch: pytest.MonkeyPatch, tmp_path: Path) -> Again:
    return lambda *sets: new_world(patch, copied(finished.data, tmp_path / "data"), *sets)


@pytest.fixture(scope="session")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny run up to M0, whose answers to held-out prompts, and the seed's, are there. Not to be changed."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mr_assets.files.os.fsync", lambda file: None)
            made_up_to_m0(new_world(patch, folder, *PROBED))

    return tiny_run(once(tmp_path_factory, "probed", make), *PROBED)


@pytest.fixture
def probed_copy(probed: Run, patch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A copy of it, which may be changed."""
    return new_world(patch, copied(probed.data, tmp_path / "data"), *PROBED)


@pytest.fixture
def ranked_copy(ranked: Run, tmp_path: Path) -> Run:
    """A copy of the run whose EFT data is made of rankings, which may be changed."""
    return tiny_run(copied(ranked.data, tmp_path / "data"), *OF_RANKINGS)


@contextmanager
def seed_measured(folder: Path, asset: str, *sets: str) -> Iterator[World]:
    """A small world with these settings, whose seed model has this asset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, folder, *sets)
        world.make(Step("measured", (asset,), "seed"))
        yield world


def is_made_of_each_model(data: Path, asset: str, *sets: str) -> bool:
    """Where these settings say so: the seed and M0 before the first iteration, each other one after its training."""
    run = tiny_run(data, *sets)
    before = [run.ancestors(asset, model) for model in ("seed", "2")]
    return run.loop.per("model") == (asset,) and before == [[], [("checkpoints", "2")]]


def faults_where(run: Run, asset: str, column: str, value: float) -> list[str]:
    """What verification says of the first row of an artifact made once, in which the column now has this value."""
    path = run.path(asset)
    good = pl.read_parquet(path)
    changed = pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(column).cast(good.schema[column])
    good.with_columns(changed.alias(column)).write_parquet(path)
    return [str(fault) for fault in verify(run, ["1"], [asset]) if str(good[0, 0]) in str(fault)]
