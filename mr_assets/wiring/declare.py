"""How an asset of the loop is declared: what Dagster is told of it before anything is materialized."""

from typing import Any

import dagster as dg

from mr_assets.runs.code_versions import code_version
from mr_assets.runs.run import FAMILY_ASSETS, UPSTREAM, Run
from mr_assets.tables import DROPPED, REWARD_MARGINS, TABLES, Table
from mr_assets.wiring.checks import check_specs
from mr_assets.wiring.launchpad import config_schema
from mr_assets.wiring.partitions import POOL, asset_key, iterations

OWNER = "team:mr_assets"
# An iteration begins when all that is made once is there. Without the second edge of each, a backfill with the one-off
# assets would start prompts of every iteration while M0 is trained, and the rest of each iteration in a run of its own.
BEGINS_AFTER = {"policy": ("sft_checkpoint", "seed_prompts"), "prompts": ("sft_checkpoint",)}
GPU_POD = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}
# What also writes what it left out and why.
SELECTING = (
    *("responses", "judgments", "actor_pairs", "selected_responses"),
    *("meta_judgments", "battle_matrices", "elo_pairs", "dpo_dataset"),
)


def declare(run: Run, asset: str, *, kinds: set[str], gpu: bool = False) -> dict[str, Any]:
    """The arguments of `dg.asset` for one of the loop's assets: key, inputs, partitions, kinds, columns, IO manager."""
    table = TABLES.get(asset)
    metadata: dict[str, Any] = {}
    if table is not None:
        metadata["dagster/column_schema"] = _column_schema(table)
    if asset in SELECTING:
        metadata["columns of what was left out"] = _column_schema(DROPPED)
    if asset == "checkpoints":
        metadata["columns of the reward margins"] = _column_schema(REWARD_MARGINS)
    upstream = [u for u in UPSTREAM[asset] if asset != "policy"]
    shared = asset in FAMILY_ASSETS
    return {
        "name": asset,
        "key_prefix": run.namespace(asset),
        "group_name": run.namespace(asset),
        "check_specs": check_specs(run, asset),
        "dagster_type": Any,  # beside check outputs, Dagster takes the annotation MaterializeResult for Nothing
        "ins": {u: dg.AssetIn(key=asset_key(run, u)) for u in upstream},
        "deps": [asset_key(run, u) for u in BEGINS_AFTER.get(asset, ())],
        "partitions_def": None if shared else iterations(run),
        "backfill_policy": None if shared else dg.BackfillPolicy.multi_run(1),
        "kinds": kinds,
        "owners": [OWNER],
        "metadata": metadata,
        "code_version": code_version(asset),
        "config_schema": config_schema(run.recipe, asset),
        "io_manager_key": "tables" if table is not None else "models",
        "op_tags": {"ray/num_gpus": 1, "dagster-k8s/config": GPU_POD} if gpu else {},
        "pool": POOL if gpu else None,
    }


def _column_schema(table: Table) -> dg.TableSchema:
    columns = [dg.TableColumn(n, str(c.dtype), description=c.meaning) for n, c in table.columns.items()]
    return dg.TableSchema(columns=columns)
