"""The one place that assembles: every run's assets, its sensor, the IO managers, the executor.

    mr ui        (`dagster dev -m mr_assets.definitions` serves the same with no check of who asks: see mr_assets.gate)

A run that was launched, and every shipped recipe that was not yet, has its loop here under its own key prefix and
group. Recipes of one family share seed_prompts, eft_dataset and sft_checkpoint. MR_EXECUTOR chooses in_process (the
default: assets of one run share one engine), multiprocess, or ray: each step on a node of a Ray cluster.
"""

import os
import warnings
from collections.abc import Callable
from importlib import import_module

import dagster as dg
from upath import UPath

from mr_assets.errors import UserError
from mr_assets.orchestration.console import console
from mr_assets.orchestration.ray_steps import ray_executor
from mr_assets.orchestration.sensors import hands_off
from mr_assets.processes import collect_seldom
from mr_assets.runs.data_folder import data_root
from mr_assets.runs.run import Run
from mr_assets.runs.stored import all_runs
from mr_assets.wiring.io_managers import ModelIOManager, TableIOManager

collect_seldom()  # in the code server and in the processes of Dagster runs
# BackfillPolicy is still called beta, and partitions of a check a preview; one line per asset would bury what matters
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def built(run: Run, asset: str) -> dg.AssetsDefinition:
    """An asset of a run: of the function of its name, in the file of its name."""
    build: Callable[[Run], dg.AssetsDefinition] = getattr(import_module(f"mr_assets.assets.{asset}"), asset)
    return build(run)


def run_assets(run: Run) -> list[dg.AssetsDefinition]:
    """The loop of one run, and its evaluation where the truth can be computed."""
    return [built(run, asset) for asset in (*run.loop.per("iteration"), *run.loop.per("model"))]


def build_definitions(runs: list[Run]) -> dg.Definitions:
    """The definitions of these runs, which share one data root."""
    families = {run.family: run for run in reversed(runs)}
    shared = [built(run, asset) for run in families.values() for asset in run.loop.per("family")]
    data = runs[0].data if runs else data_root()
    return dg.Definitions(
        assets=[*shared, *(asset for run in runs for asset in run_assets(run))],
        resources={"tables": TableIOManager(UPath(data)), "models": ModelIOManager(data)},
        sensors=[hands_off(run) for run in runs],
        executor=executor(),
        loggers={"console": console},
    )


def executor() -> dg.ExecutorDefinition:
    """The executor that MR_EXECUTOR names. Raises `UserError` if there is none of that name, or it cannot be used."""
    name = os.environ.get("MR_EXECUTOR", "in_process")
    known = {
        "in_process": lambda: dg.in_process_executor,
        "multiprocess": lambda: dg.multiprocess_executor,
        "ray": ray_executor,
    }
    if name not in known:
        raise UserError(f"MR_EXECUTOR is {name!r}, expected one of {', '.join(known)}.")
    return known[name]()


_last: tuple[tuple[list[Run], dg.ExecutorDefinition], dg.Definitions] | None = None


@dg.definitions
def defs() -> dg.Definitions:
    """What the UI, the daemon and `mr` load. Dagster asks for them twice as a code server begins."""
    return prepare()


def prepare() -> dg.Definitions:
    """What `defs` gives, made before it is asked for; made again only if runs or executor are others by then."""
    global _last
    executes = executor()  # what is wrong with it comes before what is wrong with an object store
    key = all_runs(), executes
    if _last is None or _last[0] != key:
        _last = key, build_definitions(key[0])
    return _last[1]
