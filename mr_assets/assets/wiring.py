"""What the assets share: how they are declared, how they report progress, and how what they made is recorded."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.instance import POOL
from mr_assets.partitions import iterations
from mr_assets.runs import FAMILY_ASSETS, UPSTREAM, Record, Run, read_record
from mr_assets.storage import TABLES, Artifact, Model, version_of
from mr_assets.storage import users_errors as users_errors
from mr_assets.tables import Selected, Table, dropped_frame

OWNER = "team:mr_assets"
# An iteration begins when all that is made once is there. Without the second edge of each, a backfill with the one-off
# assets would start prompts of every iteration while M0 is trained, and the rest of each iteration in a run of its own.
BEGINS_AFTER = {"policy": ("sft_checkpoint", "seed_prompts"), "prompts": ("sft_checkpoint",)}


def declare(run: Run, asset: str, *, kinds: set[str], gpu: bool = False, group: str | None = None) -> dict[str, Any]:
    """The arguments of `dg.asset` for one of the loop's assets: key, inputs, partitions, kinds, columns, IO manager."""
    table = TABLES.get(asset)
    metadata: dict[str, Any] = {}
    if table is not None:
        columns = [dg.TableColumn(n, str(c.dtype), description=c.meaning) for n, c in table.columns.items()]
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    upstream = [u for u in UPSTREAM[asset] if asset != "policy"]
    shared = asset in FAMILY_ASSETS
    return {
        "name": asset,
        "key_prefix": run.namespace(asset),
        "group_name": group or run.namespace(asset),
        "ins": {u: dg.AssetIn(key=[run.namespace(u), u]) for u in upstream},
        "deps": [dg.AssetKey([run.family, u]) for u in BEGINS_AFTER.get(asset, ())],
        "partitions_def": None if shared else iterations(run),
        "backfill_policy": None if shared else dg.BackfillPolicy.multi_run(1),
        "kinds": kinds,
        "owners": [OWNER],
        "metadata": metadata,
        "io_manager_key": "tables" if table is not None else "models",
        "op_tags": {"ray/num_gpus": 1, "dagster-k8s/config": GPU_POD} if gpu else {},
        "pool": POOL if gpu else None,
    }


GPU_POD = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}


def partition(context: dg.AssetExecutionContext) -> str | None:
    """The partition key under way; None for an asset that is not partitioned.

    `context.has_partition_key` would be False in a backfill's runs, which have a range of one key instead.
    """
    return None if context.asset_key.path[-1] in FAMILY_ASSETS else context.partition_key


def iteration(context: dg.AssetExecutionContext) -> int:
    """The iteration under way."""
    return int(context.partition_key)


def judges(work: "Work") -> bool:
    """Whether the recipe trains the judge in the iteration under way."""
    return work.run.recipe.row(int(work.partition or 1)).judge_training


class Work:
    """One asset under way. What it is made of is noted before it begins, so that its record is true."""

    def __init__(self, context: dg.AssetExecutionContext, run: Run, policy: Model | None = None) -> None:
        self.context, self.run, self.policy = context, run, policy
        self.asset = context.asset_key.path[-1]
        self.partition = partition(context)
        self.started = time.monotonic()
        self.inputs = run.inputs(self.asset, self.partition)
        if not (run.folder / "recipe.yaml").exists() and self.asset not in FAMILY_ASSETS:
            run.save()
        if policy is not None:
            self.policy_unchanged(policy)

    def policy_unchanged(self, policy: Model) -> None:
        """Raise `dg.Failure` if the policy's pointer no longer names the model that lies there."""
        record = read_record(policy.folder(self.run.data) / "complete.json")
        now = record.model["fingerprint"] if record and record.model else policy.fingerprint
        if now != policy.fingerprint:
            raise dg.Failure(
                f"policy of iteration {self.partition} points at {policy.name} with fingerprint {policy.fingerprint}, "
                f"but {policy.path} now holds {now}: that model was trained again. Materialize policy of iteration "
                f"{self.partition} again, then what follows from it.",
                allow_retries=False,
            )

    def progress(self, what: str, unit: str) -> Callable[[int, int], None]:
        """A callback (done, total) that logs done, rate and time left, at most every five seconds."""
        began = time.monotonic()
        said = [began]

        def report(done: int, total: int) -> None:
            now = time.monotonic()
            if done < total and (not done or now - said[0] < 5):
                return
            said[0] = now
            rate = done / max(now - began, 1e-9)
            left = (total - done) / max(rate, 1e-9)
            self.context.log.info(f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f}/s, {left:.0f} s left")

        return report

    def _record(self, version: str, rows: int | None, dropped: int | None, numbers: Mapping[str, Any]) -> Record:
        return Record(
            asset=self.asset,
            partition=self.partition,
            version=version,
            run_id=self.context.run_id,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.started, 2),
            settings=self.run.settings(self.asset, self.partition),
            inputs=self.inputs,
            policy=self.policy.fingerprint if self.policy else None,
            rows=rows,
            dropped=dropped,
            numbers={k: None if isinstance(v, float) and not isfinite(v) else v for k, v in numbers.items()},
        )

    def table(
        self,
        made: Selected | pl.DataFrame | pl.LazyFrame,
        numbers: Mapping[str, Any],
        dropped: pl.DataFrame | None = None,
    ) -> dg.MaterializeResult:
        """The result of an asset that made a table, with its metadata: row count, preview, drops by reason, numbers."""
        rows, dropped = made if isinstance(made, Selected) else (made, dropped)
        count = rows.lazy().select(pl.len()).collect().item()
        version = version_of(rows)
        metadata: dict[str, Any] = {"dagster/row_count": count, **_shown(numbers)}
        if count:
            metadata["preview"] = dg.MetadataValue.md(_preview(rows.lazy().head(3).collect()))
        if dropped is not None and dropped.height:
            reasons = dropped.group_by("reason").len().sort("len", "reason", descending=[True, False])
            metadata["left out"] = dg.MetadataValue.md("\n".join(f"- {n} {r}" for r, n in reasons.iter_rows()))
        record = self._record(version, count, None if dropped is None else dropped.height, numbers)
        return self._result(Artifact(record, rows=rows, dropped=dropped), metadata)

    def nothing(self, table: Table) -> dg.MaterializeResult:
        """The empty table of an asset of the judge's side, in an iteration that trains the actor alone."""
        self.context.log.info(f"Iteration {self.partition} trains no judge: {self.asset} is empty, as the recipe says.")
        return self.table(Selected(table.empty(), dropped_frame()), {"off": "this iteration trains the actor alone"})

    def model(self, model: Model, numbers: Mapping[str, Any], **links: Any) -> dg.MaterializeResult:
        """The result of an asset that made, or points at, a model."""
        metadata = {
            "path": model.path,
            "fingerprint": model.fingerprint,
            "model": model.name,
            **_shown(numbers),
            **links,
        }
        return self._result(Artifact(self._record(model.fingerprint, None, None, numbers), model=model), metadata)

    def _result(self, artifact: Artifact, metadata: dict[str, Any]) -> dg.MaterializeResult:
        metadata["settings"] = dg.MetadataValue.json(artifact.record.settings)
        if artifact.record.policy:
            metadata["policy"] = artifact.record.policy
        version = dg.DataVersion(artifact.record.version)
        return dg.MaterializeResult(value=artifact, metadata=metadata, data_version=version)


def _shown(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that Dagster can plot; what is missing is not shown, nested figures go in as JSON."""
    plain = {k: v for k, v in numbers.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}
    return {k: dg.MetadataValue.json(v) if isinstance(v, dict | list) else v for k, v in plain.items()}


def _preview(frame: pl.DataFrame) -> str:
    """A few rows as a Markdown table; long texts are cut, and nothing in them acts as markup."""
    shown = [n for n in frame.columns if n != "token_ids" and not n.endswith("_token_ids")]
    lines = ["| " + " | ".join(shown) + " |", "|" + " --- |" * len(shown)]
    for row in frame.select(shown).iter_rows():
        cells = [" ".join(str(cell).split())[:160] for cell in row]
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+-!|~$&" else c for c in text)
