"""What the assets share: how they are declared, how they report progress, and how what they made is recorded."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.addresses import asset_in_ui, page_of_artifact
from mr_assets.method import Frame
from mr_assets.method.guardrails import PREVIOUS, Finding, findings
from mr_assets.orchestration.instance import POOL
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.progress import Progress, forget, note
from mr_assets.runs.run import FAMILY_ASSETS, UPSTREAM, Record, Run, read_record
from mr_assets.runs.settings import chosen, departures
from mr_assets.runs.status import outdated_by
from mr_assets.tables import DROPPED, REWARD_MARGINS, TABLES, Selected, Table, dropped_frame
from mr_assets.wiring.checks import (
    CheckResult,
    background_of_making,
    check_inputs,
    check_specs,
    complete_table,
    exempt,
    log_findings,
    rounded,
)
from mr_assets.wiring.io_managers import Artifact, Model, version_of
from mr_assets.wiring.io_managers import users_errors as users_errors
from mr_assets.wiring.launchpad import config_schema
from mr_assets.wiring.partitions import asset_key, iterations
from mr_assets.words import worded

OWNER = "team:mr_assets"
# An iteration begins when all that is made once is there. Without the second edge of each, a backfill with the one-off
# assets would start prompts of every iteration while M0 is trained, and the rest of each iteration in a run of its own.
BEGINS_AFTER = {"policy": ("sft_checkpoint", "seed_prompts"), "prompts": ("sft_checkpoint",)}


def declare(run: Run, asset: str, *, kinds: set[str], gpu: bool = False, group: str | None = None) -> dict[str, Any]:
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
        "group_name": group or run.namespace(asset),
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


# What also writes what it left out and why.
SELECTING = (
    *("responses", "judgments", "actor_pairs", "selected_responses"),
    *("meta_judgments", "battle_matrices", "elo_pairs", "dpo_dataset"),
)


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
    """One asset under way. What it is made of is noted before it begins, so that its record is true.

    `run` has the recipe that is in force: what was chosen in the launchpad is in it. Raises `UserError` if that
    contradicts other fields.
    """

    def __init__(self, context: dg.AssetExecutionContext, run: Run, policy: Model | None = None) -> None:
        self.context, self.policy = context, policy
        self.asset = context.asset_key.path[-1]
        self.partition = partition(context)
        self.started = time.monotonic()
        self.as_launched = run
        config = context.op_execution_context.op_config or {}
        self._check_choices(run)
        self.chosen = chosen(run.recipe, self.asset, self.partition, config)
        self.run = run.choosing(self.asset, self.partition, self.chosen)
        self.inputs = run.inputs(self.asset, self.partition)
        self.settings = self.run.settings(self.asset, self.partition)
        if not (run.folder / "recipe.yaml").exists() and self.asset not in FAMILY_ASSETS:
            run.save()
        if policy is not None:
            self.policy_unchanged(policy)
        if self.asset != "checkpoints":  # there the checks of its dataset are asked first, see `fit_to_train`
            check_inputs(run, self.asset, self.partition)

    def _check_choices(self, run: Run) -> None:
        """Raise `UserError` if what was chosen for this asset, or for one that follows, contradicts other fields."""
        configured: Any = self.context.run.run_config.get("ops") or {}
        for op, given in configured.items():
            space, _, asset = op.rpartition("__")
            if asset in UPSTREAM and space == run.namespace(asset):
                place = (asset, None if asset in FAMILY_ASSETS else self.partition)
                run.choosing(*place, chosen(run.recipe, *place, given.get("config") or {}))

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

    def progress(self, what: str, unit: str) -> Callable[..., None]:
        """A callback (done, total, before=0) that says how far it is: `mr status` every second, the log every five.

        before: of what is done, what an earlier run did; it does not count in the rate.
        """
        began = time.monotonic()
        noted, logged = [-inf], [began]

        def report(done: int, total: int, before: int = 0) -> None:
            now = time.monotonic()
            rate = (done - before) / max(now - began, 1e-9) if done > before else None  # else nothing is known of it
            left = (total - done) / rate if rate else None
            how_far = (what, unit, done, total, rate, left, self.context.run_id)
            progress = Progress(self.asset, self.partition, *how_far)
            if now - noted[0] >= 1:
                noted[0] = now
                note(self.run, progress)
            if done >= total or (done and now - logged[0] >= 5):
                logged[0] = now
                self.context.log.info(progress.said)

        return report

    def _record(
        self,
        version: str,
        numbers: Mapping[str, Any],
        found: Sequence[Finding],
        rows: int | None = None,
        dropped: int | None = None,
    ) -> Record:
        return Record(
            asset=self.asset,
            partition=self.partition,
            version=version,
            run_id=self.context.run_id,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.started, 2),
            settings=self.settings,
            inputs=self.inputs,
            policy=self.policy.fingerprint if self.policy else None,
            rows=rows,
            dropped=dropped,
            chosen=self.chosen,
            code=code_version(self.asset),
            numbers={k: None if isinstance(v, float) and not isfinite(v) else v for k, v in numbers.items()},
            checks={f.name: f.measured._asdict() for f in found if f.measured},
        )

    def table(
        self,
        made: Selected | pl.DataFrame | pl.LazyFrame,
        numbers: Mapping[str, Any],
        dropped: pl.DataFrame | None = None,
        *,
        beside: Mapping[str, Frame] | None = None,
        pictures: Mapping[str, str] | None = None,
        empty_because: str | None = None,
    ) -> dg.MaterializeResult:
        """The result of an asset that made a table: row count, preview, drops by reason, numbers, checks.

        beside: the tables, by name, that the asset's checks compare with. pictures: by title, as Markdown.
        empty_because: why a table is empty by declaration; its checks then pass.
        """
        rows, dropped = made if isinstance(made, Selected) else (made, dropped)
        count = rows.lazy().select(pl.len()).collect().item()
        version = version_of(rows)
        drawn = {f"picture: {title}": dg.MetadataValue.md(picture) for title, picture in (pictures or {}).items()}
        metadata: dict[str, Any] = {"dagster/row_count": count, **drawn, **_shown(numbers)}
        if count:
            metadata["preview"] = dg.MetadataValue.md(_preview(rows.lazy().head(3).collect()))
        if dropped is not None and dropped.height:
            reasons = dropped.group_by("reason").len().sort("len", "reason", descending=[True, False])
            metadata["left out"] = dg.MetadataValue.md("\n".join(f"- {n} {r}" for r, n in reasons.iter_rows()))
            metadata |= {f"left out: {r}": n for r, n in reasons.iter_rows()}
        tables = {self.asset: rows, **(beside or {})}
        limits = self.run.recipe.guardrails
        place = (self.asset, self.partition)
        known = background_of_making(self.as_launched, place, dropped, self.settings, self.chosen)
        found = exempt(self.asset, empty_because) if empty_because else findings(self.asset, tables, limits, known)
        record = self._record(version, numbers, found, count, None if dropped is None else dropped.height)
        return self._result(Artifact(record, rows=rows, dropped=dropped), metadata, found)

    def earlier(self, asset: str) -> dict[str, Frame]:
        """The table of the iteration before, under the name that checks know it by; nothing if there is none."""
        before = complete_table(self.run, asset, str(int(self.partition or 1) - 1))
        return {} if before is None else {PREVIOUS: before}

    def nothing(self, table: Table) -> dg.MaterializeResult:
        """The empty table of an asset of the judge's side, in an iteration that trains the actor alone."""
        self.context.log.info(f"Iteration {self.partition} trains no judge: {self.asset} is empty, as the recipe says.")
        why = "this iteration trains the actor alone"
        return self.table(Selected(table.empty(), dropped_frame()), {"off": why}, empty_because=f"Empty: {why}.")

    def model(
        self,
        model: Model,
        numbers: Mapping[str, Any],
        found: Sequence[Finding] = (),
        shown: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """The result of an asset that made, or points at, a model; `shown` is further metadata: links, pictures."""
        metadata = {
            "path": model.path,
            "fingerprint": model.fingerprint,
            "model": model.name,
            **_shown(numbers),
            **(shown or {}),
        }
        artifact = Artifact(self._record(model.fingerprint, numbers, found), model=model)
        return self._result(artifact, metadata, found)

    def _result(self, artifact: Artifact, metadata: dict[str, Any], found: Sequence[Finding]) -> dg.MaterializeResult:
        forget(self.run, self.asset, self.partition)
        metadata["settings"] = dg.MetadataValue.json(artifact.record.settings)
        if artifact.record.policy:
            metadata["policy"] = artifact.record.policy
        first: dict[str, Any] = {}  # where it is not overlooked
        if self.chosen:
            first["departs from the recipe"] = dg.MetadataValue.md(_departures(self))
        if self.partition and (outdated := outdated_by(self.run, self.asset, self.partition, artifact.record.version)):
            first["puts out of date"] = outdated
        if page := page_of_artifact(self.run.name, self.asset, self.partition):
            first["pairs and lineage"] = dg.MetadataValue.url(page)
        log_findings(self.context, found)
        return dg.MaterializeResult(
            value=artifact,
            metadata={**first, **metadata},
            data_version=dg.DataVersion(artifact.record.version),
            check_results=[CheckResult.of(finding, self.partition) for finding in found],
        )


def partition_link(run: Run, asset: str, partition: str | None) -> dg.UrlMetadataValue:
    """A link to an artifact's page in the UI."""
    return dg.MetadataValue.url(asset_in_ui(run.namespace(asset), asset, partition))


def _departures(work: Work) -> str:
    """What was chosen beside what the recipe says, as a Markdown table."""
    lines = ["| setting | used | recipe |", "| --- | --- | --- |"]
    for d in departures(work.as_launched.recipe, work.asset, work.partition, work.chosen):
        lines.append("| " + " | ".join(_escaped(str(cell)) for cell in d) + " |")
    return "\n".join(lines)


def _shown(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that Dagster can plot, to six digits, named in words; missing ones are not shown, nested ones as JSON."""
    plain = {k: v for k, v in numbers.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}
    shown = {k: dg.MetadataValue.json(v) if isinstance(v, dict | list) else rounded(v) for k, v in plain.items()}
    return {worded(k): v for k, v in shown.items()}


SHOWN_IN_PLACE = 1000
"""Characters of Markdown from which on the UI shows a link to it in its place."""


def _preview(frame: pl.DataFrame) -> str:
    """The first rows as a Markdown table, as many and as much of their texts as the UI shows without a click.

    Each line is a column of the table, so that wide ones fit the page. Nothing in a text acts as markup.
    """
    for rows, characters in ((3, 160), (3, 80), (2, 80), (2, 40), (1, 40)):
        table = _as_lines(frame.head(rows), characters)
        if len(table) < SHOWN_IN_PLACE:
            break
    return table


def _as_lines(frame: pl.DataFrame, characters: int) -> str:
    shown = [n for n in frame.columns if n != "token_ids" and not n.endswith("_token_ids")]
    head = ["column", *(f"row {i + 1}" for i in range(frame.height))]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name in shown:
        cells = [" ".join(_readable(cell).split())[:characters] for cell in frame[name].to_list()]
        lines.append("| " + " | ".join([name, *(_escaped(cell) for cell in cells)]) + " |")
    return "\n".join(lines)


def _readable(value: Any) -> str:
    """A cell as a person reads it: messages by their texts, numbers to four digits."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case {"content": str(text)}:
            return text
        case list():
            parts = [_readable(part) for part in value]
            return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
        case _:
            return str(value)


def _escaped(text: str) -> str:
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+-!|~$&" else c for c in text)
