"""How an asset of the loop is declared: what Dagster is told of it before anything is materialized."""

from collections.abc import Callable, Iterator
from functools import cache
from inspect import getdoc, signature
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.loop import LOOP, Asset
from mr_assets.recipes.gpus import gpus
from mr_assets.runs.artifact import Model
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.run import Run
from mr_assets.tables import DROPPED, REWARD_MARGINS, TABLES, Table
from mr_assets.wiring.checks import check_specs
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.launchpad import config_schema
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.partitions import POOL, asset_key, partitions

OWNER = "team:mr_assets"

TABLE, MODEL, NOTHING = dg.In(pl.LazyFrame), dg.In(Model), dg.In(dg.Nothing)
"""An input that is a table, a model, or what Dagster draws and does not load."""
CHECK = dg.Out(None)
"""The output by which Dagster knows a check's result; its asset's own has the first name that Dagster gives one."""
RESULT = "result"


def loop_asset(*, kinds: set[str]) -> Callable[[Callable[..., Result]], Callable[[Run], dg.AssetsDefinition]]:
    """Declare an asset of the loop by the function that materializes it; its name then gives the asset of a run.

        @loop_asset(kinds={"polars", "parquet"})
        def selected_responses(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame):
            "What the UI says of it."

        selected_responses(run)         the asset small_world_meta_rewarding/selected_responses

    The function has the name of its row in `mr_assets.loop`. It takes the `Materialization` under way and what the row
    says that it is made of, by name: a table as a lazy frame, a model as a `Model`. What only some recipes have is None
    in the others, by the function's default. A `UserError` in it fails the step with its message alone. It is not
    called for an asset of the judge's side in an iteration that trains no judge: that table is empty.
    """

    def factory(materialize: Callable[..., Result]) -> Callable[[Run], dg.AssetsDefinition]:
        taken, says = signature(materialize).parameters.values(), getdoc(materialize)

        def asset_of(run: Run) -> dg.AssetsDefinition:
            def step(context: dg.AssetExecutionContext, inputs: dict[str, Any]) -> Iterator[Result]:
                with users_errors():
                    work = Materialization(context, run, inputs.get("policy"))
                    result = work.nothing() if work.is_off else materialize(work, **inputs)
                yield result  # Dagster asks for more when this and its record are written
                with users_errors():
                    work.prune()

            named = _loaded(run, LOOP[materialize.__name__])
            needed = {p.name for p in taken if p.default is p.empty} - {"work"}
            if not needed <= set(named) <= {p.name for p in taken}:
                raise TypeError(
                    f"{materialize.__name__} takes {sorted(needed)}, its row in mr_assets.loop names {sorted(named)}. "
                    "Make them agree."
                )
            return declare(run, materialize.__name__, step, kinds=kinds, description=says)

        return asset_of

    return factory


def declare(
    run: Run, asset: str, step: Callable[..., Iterator[Result]], *, kinds: set[str], description: str | None
) -> dg.AssetsDefinition:
    """One of the loop's assets: key, inputs, partitions, kinds, columns, IO manager.

    As `dg.asset` would have it, of the classes that `dg.asset` makes: to find out of some thousand functions what is
    known here takes it more than half of the time.
    """
    row, key, devices = LOOP[asset], asset_key(run, asset), gpus(run.recipe, asset)
    loaded, drawn = _loaded(run, row), _deps(run, row)
    keys = {name: asset_key(run, name) for name in loaded}
    keys |= {dep.asset_key.to_python_identifier(): dep.asset_key for dep in drawn}
    checks = {spec.get_python_identifier(): spec for spec in check_specs(run, asset)}
    op = dg.OpDefinition(
        step,
        name=key.to_python_identifier(),
        ins={name: loaded.get(name, NOTHING) for name in keys},
        outs={RESULT: _out(asset), **dict.fromkeys(checks, CHECK)},
        description=description,
        config_schema=config_schema(run.recipe, asset),
        code_version=code_version(asset),
        tags=asking_for(devices),
        pool=POOL if devices else None,
    )
    spec = dg.AssetSpec(
        key,
        deps=[*(keys[name] for name in loaded), *drawn],
        description=description,
        group_name=run.namespace(asset),
        code_version=op.version,
        partitions_def=partitions(run, asset),
        kinds=kinds,
        owners=[OWNER],
    )
    return dg.AssetsDefinition(
        keys_by_input_name=keys,
        keys_by_output_name={RESULT: key},
        node_def=op,
        specs=[spec],
        check_specs_by_output_name=checks,
        backfill_policy=None if row.per == "family" else dg.BackfillPolicy.multi_run(1),
    )


@cache
def _out(asset: str) -> dg.Out:
    """Where an asset goes and what its columns mean: the same in every run."""
    row, table = LOOP[asset], TABLES.get(asset)
    metadata: dict[str, Any] = {}
    if table is not None:
        metadata["dagster/column_schema"] = _column_schema(table)
    if row.selects:
        metadata["columns of what was dropped"] = _column_schema(DROPPED)
    if asset == "checkpoints":
        metadata["columns of the reward margins"] = _column_schema(REWARD_MARGINS)
    return dg.Out(Any, io_manager_key="tables" if table is not None else "models", metadata=metadata)


def asking_for(devices: int) -> dict[str, Any]:
    """The op tags by which a step asks for GPUs: dagster-ray's and dagster-k8s's; none if it needs none."""
    if not devices:
        return {}
    limits = {"nvidia.com/gpu": devices}
    return {
        "dagster-ray/config": {"num_gpus": devices},
        "dagster-k8s/config": {"container_config": {"resources": {"limits": limits}}},
    }


def _loaded(run: Run, row: Asset) -> dict[str, dg.In]:
    """What Dagster loads. A pointer, and an asset per model, find their model themselves when they are materialized."""
    if row.holds == "pointer" or row.per == "model":
        return {}
    return {name: TABLE if LOOP[name].holds == "table" else MODEL for name in run.upstream(row.name)}


def _deps(run: Run, row: Asset) -> list[dg.AssetDep]:
    """What Dagster draws and does not load. Of an asset per model, the one of iteration t follows from M_t."""
    drawn = [dg.AssetDep(asset_key(run, name)) for name in row.begins_after if name in run.loop]
    if row.per == "model":
        drawn += [
            dg.AssetDep(asset_key(run, name), partition_mapping=_mapping(run, row, name))
            for name in run.upstream(row.name)
        ]
    return drawn


def _mapping(run: Run, row: Asset, upstream: str) -> dg.StaticPartitionMapping | None:
    """Which partitions of an asset per model follow from which of an upstream one; None of a family's."""
    if LOOP[upstream].per == "family":
        return None
    if LOOP[upstream].per == "iteration":
        return dg.StaticPartitionMapping({t: t for t in run.iterations})
    follow: dict[str, list[str]] = {}
    for model in run.models:
        for name, at in run.ancestors(row.name, model):
            if name == upstream and at is not None:
                follow.setdefault(at, []).append(model)
    return dg.StaticPartitionMapping(follow)


def _column_schema(table: Table) -> dg.TableSchema:
    columns = [
        dg.TableColumn(n, str(c.dtype), description=c.meaning) for n, c in {**table.columns, **table.optional}.items()
    ]
    return dg.TableSchema(columns=columns)
