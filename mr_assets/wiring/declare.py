"""How an asset of the loop is declared: what Dagster is told of it before anything is materialized."""

from typing import Any

import dagster as dg

from mr_assets.loop import LOOP
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.run import Run
from mr_assets.tables import DROPPED, REWARD_MARGINS, TABLES, Table
from mr_assets.wiring.checks import check_specs
from mr_assets.wiring.launchpad import config_schema
from mr_assets.wiring.partitions import POOL, asset_key, partitions

OWNER = "team:mr_assets"
GPU_POD = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}


def declare(run: Run, asset: str, *, kinds: set[str], gpu: bool = False) -> dict[str, Any]:
    """The arguments of `dg.asset` for one of the loop's assets: key, inputs, partitions, kinds, columns, IO manager."""
    row, table = LOOP[asset], TABLES.get(asset)
    metadata: dict[str, Any] = {}
    if table is not None:
        metadata["dagster/column_schema"] = _column_schema(table)
    if row.selects:
        metadata["columns of what was left out"] = _column_schema(DROPPED)
    if asset == "checkpoints":
        metadata["columns of the reward margins"] = _column_schema(REWARD_MARGINS)
    upstream = row.upstream if row.holds != "pointer" else ()  # what it points at is found when it is materialized
    return {
        "name": asset,
        "key_prefix": run.namespace(asset),
        "group_name": run.namespace(asset),
        "check_specs": check_specs(run, asset),
        "dagster_type": Any,  # beside check outputs, Dagster takes the annotation MaterializeResult for Nothing
        "ins": {u: dg.AssetIn(key=asset_key(run, u)) for u in upstream},
        "deps": [asset_key(run, u) for u in row.begins_after],
        "partitions_def": partitions(run, asset),
        "backfill_policy": None if row.per == "family" else dg.BackfillPolicy.multi_run(1),
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
