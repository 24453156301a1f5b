"""The one place that assembles: every run's assets, its sensor, the IO managers, the executor.

    mr ui        (`dagster dev -m mr_assets.definitions` serves the same with no check of who asks: see mr_assets.gate)

A run that was launched, and every shipped recipe that was not yet, has its loop here under its own key prefix and
group. Recipes of one family share seed_prompts, eft_dataset and sft_checkpoint. MR_EXECUTOR chooses in_process (the
default: assets of one run share one engine) or multiprocess.
"""

import os
import warnings

import dagster as dg
from upath import UPath

from mr_assets.assets.actor_pairs import actor_pairs
from mr_assets.assets.battle_matrices import battle_matrices
from mr_assets.assets.checkpoints import checkpoints
from mr_assets.assets.dpo_dataset import dpo_dataset
from mr_assets.assets.eft_dataset import eft_dataset
from mr_assets.assets.elo_pairs import elo_pairs
from mr_assets.assets.evaluation import evaluation
from mr_assets.assets.judgments import judgments
from mr_assets.assets.meta_judgments import meta_judgments
from mr_assets.assets.policy import policy
from mr_assets.assets.prompts import prompts
from mr_assets.assets.responses import responses
from mr_assets.assets.seed_prompts import seed_prompts
from mr_assets.assets.selected_responses import selected_responses
from mr_assets.assets.sft_checkpoint import sft_checkpoint
from mr_assets.errors import UserError
from mr_assets.orchestration.console import console
from mr_assets.orchestration.sensors import hands_off
from mr_assets.runs.run import Run, all_runs, data_root
from mr_assets.wiring.io_managers import ModelIOManager, TableIOManager

# BackfillPolicy is still called beta, and partitions of a check a preview; one line per asset would bury what matters
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

FAMILY = (seed_prompts, eft_dataset, sft_checkpoint)
LOOP = (
    policy,
    prompts,
    responses,
    judgments,
    actor_pairs,
    selected_responses,
    meta_judgments,
    battle_matrices,
    elo_pairs,
    dpo_dataset,
    checkpoints,
)


def run_assets(run: Run) -> list[dg.AssetsDefinition]:
    """The loop of one run, and its evaluation where the truth can be computed."""
    evaluated = [evaluation(run)] if run.recipe.evaluation else []
    return [build(run) for build in LOOP] + evaluated


def build_definitions(runs: list[Run]) -> dg.Definitions:
    """The definitions of these runs, which share one data root."""
    families = {run.family: run for run in reversed(runs)}
    shared = [build(run) for run in families.values() for build in FAMILY]
    data = runs[0].data if runs else data_root()
    return dg.Definitions(
        assets=[*shared, *(asset for run in runs for asset in run_assets(run))],
        resources={"tables": TableIOManager(UPath(data)), "models": ModelIOManager(data)},
        sensors=[hands_off(run) for run in runs],
        executor=executor(),
        loggers={"console": console},
    )


def executor() -> dg.ExecutorDefinition:
    """The executor that MR_EXECUTOR names."""
    chosen = os.environ.get("MR_EXECUTOR", "in_process")
    known = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}
    if chosen not in known:
        raise UserError(f"MR_EXECUTOR is {chosen!r}, expected one of {', '.join(known)}.")
    return known[chosen]


@dg.definitions
def defs() -> dg.Definitions:
    """What the UI, the daemon and `mr` load."""
    return build_definitions(all_runs())
