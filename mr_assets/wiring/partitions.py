"""Keys; partitions: iterations for the loop, models for evaluation; the handoff from one iteration to the next."""

from functools import cache

import dagster as dg

from mr_assets.loop import LOOP
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.wiring.io_managers import load_model

POOL = "gpu"
"""The pool of what needs a GPU: Dagster runs one at a time of it."""


def asset_key(run: Run, asset: str) -> dg.AssetKey:
    """The key of an asset: its namespace, then its name."""
    return dg.AssetKey([run.namespace(asset), asset])


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


def handed_over(run: Run, t: int) -> Model:
    """The model that iteration t starts from: M_{t-1}, resolved when it is asked for.

    Dagster holds no cycle of assets, so this one edge is not in its graph. Raises `dg.Failure` that names what to
    materialize first if M_{t-1} is not complete.
    """
    asset, partition = run.model_at(str(t - 1))
    what = f"{run.namespace(asset)}/{asset}" + (f" of iteration {partition}" if partition else "")
    return load_model(run.record_path(asset, partition), what)
