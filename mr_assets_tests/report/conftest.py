"""Runs whose records say what a test needs: no tables, no models."""

from collections.abc import Mapping
from pathlib import Path

from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.lineage.conftest import run as run
from mr_assets_tests.tiny import complete, tiny_recipe

RIGHT = {"seed": 0.5, "0": 0.5, "1": 0.7, "2": 0.9}


def a_run(data: Path, name: str, *sets: str, accuracy: Mapping[str, float] = RIGHT, half: float = 0.05) -> Run:
    """A run of two iterations that were trained and evaluated: accuracy by model, with its interval."""
    run = Run(name, tiny_recipe(*sets), data, origin=("small_world_meta_rewarding", *sets))
    save(run)
    for asset in run.loop.per("family"):
        complete(run, asset)
    for t in run.iterations:
        for asset in run.loop.per("iteration"):
            complete(run, asset, t)
    for model, value in accuracy.items():
        numbers = {"accuracy": value, "accuracy_low": value - half, "accuracy_high": value + half}
        measure(run, "evaluation", model, numbers)
    return run


def measure(run: Run, asset: str, partition: str, numbers: Mapping[str, object]) -> None:
    """Give an artifact these numbers."""
    record = complete(run, asset, partition)
    record.numbers.update(numbers)
    write_record(run.record_path(asset, partition), record)
