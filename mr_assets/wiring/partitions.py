"""Keys; partitions: iterations for the loop, models for evaluation."""

from functools import cache

import dagster as dg

from mr_assets.loop import LOOP
from mr_assets.runs.run import Run

POOL = "gpu"
"""The pool of what needs a GPU: Dagster runs one at a time of it."""


def asset_key(run: Run, asset: str) -> dg.AssetKey:
    """The key of an asset: its namespace, then its name."""
    return dg.AssetKey([run.namespace(asset), asset])


def asset_of_step(key: str) -> str:
    """The asset that a step makes: its key is the asset's own, with two underscores after the namespace."""
    return key.rpartition("__")[2]


@cache
def _static(keys: tuple[str, ...]) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition(list(keys))


def iterations(run: Run) -> dg.StaticPartitionsDefinition:
    """ "1" to the recipe's last iteration."""
    return _static(tuple(run.iterations))


def models(run: Run) -> dg.StaticPartitionsDefinition:
    """ "seed", "0" (the SFT model) and one per iteration."""
    return _static(tuple(run.models))


def partitions(run: Run, asset: str) -> dg.StaticPartitionsDefinition | None:
    """An asset's partitions: the iterations, or the models; None for what a family has one of."""
    return {"family": None, "iteration": iterations(run), "model": models(run)}[LOOP[asset].per]
