"""One asset under way: how it reports progress, and how its table or model is recorded and shown."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.addresses import asset_in_ui, page_behind_check, page_of_artifact, pages_behind
from mr_assets.ids import model_id
from mr_assets.loop import LOOP, Of
from mr_assets.method import Frame
from mr_assets.method.guardrails import Finding, findings
from mr_assets.method.measures import PREVIOUS
from mr_assets.planning.disk import said_of_removed
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.runs.artifact import Artifact, Model
from mr_assets.runs.code_versions import code_version, software
from mr_assets.runs.overrides import departures, overrides_in
from mr_assets.runs.progress import Progress, Sampled, forget, note
from mr_assets.runs.pruning import prune
from mr_assets.runs.record import Record, read_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overridden, settings_of
from mr_assets.runs.status import outdated_by
from mr_assets.runs.stored import save
from mr_assets.tables import TABLES, Selected, dropped_frame, version_of
from mr_assets.wiring.checks import (
    CheckResult,
    background_under_way,
    check_inputs,
    complete_table,
    exempt,
    log_findings,
)
from mr_assets.wiring.io_managers import load_table
from mr_assets.wiring.partitions import asset_key
from mr_assets.wiring.previews import departures_table, figures, preview
from mr_assets.wiring.ray_job import ray_job

Result = dg.MaterializeResult[Artifact]
"""What an asset gives to Dagster: its table or model with the record, metadata and checks."""


class Materialization:
    """One asset under way. What it is made of is noted before it begins, so that its record is true.

    `run` has the recipe in force, with the launchpad's overrides. Raises `UserError` if those contradict other fields.
    """

    def __init__(self, context: dg.AssetExecutionContext, run: Run, policy: Model | None = None) -> None:
        self.context, self.policy = context, policy
        self.asset = context.asset_key.path[-1]
        # `context.has_partition_key` would be False in a backfill's runs, which have a range of one key instead.
        self.partition = None if LOOP[self.asset].per == "family" else context.partition_key
        self.started = time.monotonic()
        if job := ray_job():
            context.log.info(job.said)
        self.as_launched = run
        config = context.op_execution_context.op_config or {}
        self._check_overrides(run)
        self.overrides = overrides_in(run.recipe, self.asset, self.partition, config)
        self.run = overridden(run, self.asset, self.partition, self.overrides)
        self.inputs = run.inputs(self.asset, self.partition)
        self.settings = settings_of(self.run, self.asset, self.partition)
        if not (run.folder / "recipe.yaml").exists() and LOOP[self.asset].per != "family":
            save(run)
        if policy is not None:
            self.policy_unchanged(policy)
        self.prune()
        if self.asset != "checkpoints":  # there the checks of its dataset are asked first, see `fit_to_train`
            check_inputs(run, self.asset, self.partition)

    @property
    def recipe(self) -> Recipe:
        """The recipe in force."""
        return self.run.recipe

    @property
    def iteration(self) -> int:
        """The iteration under way."""
        return int(self.partition or 0)

    @property
    def row(self) -> Iteration:
        """The recipe's row of the iteration under way."""
        return self.recipe.row(self.iteration)

    @property
    def is_off(self) -> bool:
        """Whether the asset is of the judge's side, and the iteration trains no judge."""
        return LOOP[self.asset].side == "judge" and not self.row.judge_training

    def _check_overrides(self, run: Run) -> None:
        """Raise `UserError` if an override of this asset, or of one downstream, contradicts other fields."""
        configured: Any = self.context.run.run_config.get("ops") or {}
        for op, given in configured.items():
            space, _, asset = op.rpartition("__")
            if asset in LOOP and space == run.namespace(asset):
                place = (asset, None if LOOP[asset].per == "family" else self.partition)
                overridden(run, *place, overrides_in(run.recipe, *place, given.get("config") or {}))

    def prune(self) -> None:
        """Take away the weights that nothing needs any more, and say so in the log."""
        for line in said_of_removed(prune(self.as_launched)):
            self.context.log.info(line)

    def policy_unchanged(self, policy: Model) -> None:
        """Raise `dg.Failure` if the policy's pointer no longer names the model that lies there."""
        record = read_record(policy.folder(self.run.data) / "complete.json")
        now = record.model["fingerprint"] if record and record.model else policy.fingerprint
        if now != policy.fingerprint:
            raise dg.Failure(
                f"policy of iteration {self.partition} points at {policy.name} with fingerprint {policy.fingerprint}, "
                f"but {policy.path} now holds {now}: that model was trained again. Materialize policy of iteration "
                f"{self.partition} again, then what is downstream.",
                allow_retries=False,
            )

    def announce(self, what: str) -> None:
        """Say what begins, in the log and in `mr status`, before there are figures."""
        self.context.log.info(what)
        note(self.run, Progress(self.asset, self.partition, what, "", 0, 0, None, None, self.context.run_id))

    def progress(self, what: str, unit: str) -> Callable[..., None]:
        """A callback (done, total, before=0, more="", sampled=None) that says how far it is.

        `mr status` shows it every second, the log has it every five.

        before: of what is done, what an earlier run did; it does not count in the rate. more: what else the log says.
        sampled: its tokens, which then tell rate, time left and share.
        """
        began = time.monotonic()
        noted, logged = [-inf], [began]

        def report(done: int, total: int, before: int = 0, more: str = "", sampled: Sampled | None = None) -> None:
            now = time.monotonic()
            rate = (done - before) / max(now - began, 1e-9) if done > before else None  # else nothing is known of it
            left = (total - done) / rate if rate else None
            if sampled is not None:
                rate, left = sampled.per_second, sampled.seconds_left
            tokens, part = (sampled.tokens, sampled.share) if sampled else (None, None)
            how_far = (what, unit, done, total, rate, left, self.context.run_id, tokens, part)
            progress = Progress(self.asset, self.partition, *how_far)
            if now - noted[0] >= 1:
                noted[0] = now
                note(self.run, progress)
            if done >= total or ((done or sampled) and now - logged[0] >= 5):
                logged[0] = now
                self.context.log.info(f"{progress.said} ({more})" if more else progress.said)

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
            overrides=self.overrides,
            code=code_version(self.asset),
            numbers={k: None if isinstance(v, float) and not isfinite(v) else v for k, v in numbers.items()},
            checks={f.name: f.measured._asdict() for f in found if f.measured},
            software=software(),
        )

    def table(
        self,
        rows: Selected | pl.DataFrame | pl.LazyFrame,
        numbers: Mapping[str, Any],
        dropped: pl.DataFrame | None = None,
        *,
        beside: Mapping[str, Frame] | None = None,
        pictures: Mapping[str, str] | None = None,
        empty_because: str | None = None,
    ) -> Result:
        """The result of an asset that is a table: row count, preview, drops by reason, numbers, checks.

        beside: the tables, by name, that the asset's checks compare with. pictures: by title, as Markdown.
        empty_because: why a table is empty by declaration; its checks then pass.
        """
        rows, dropped = rows if isinstance(rows, Selected) else (rows, dropped)
        count = rows.lazy().select(pl.len()).collect().item()
        version = version_of(rows)
        drawn = {f"picture: {title}": dg.MetadataValue.md(picture) for title, picture in (pictures or {}).items()}
        metadata: dict[str, Any] = {"dagster/row_count": count, **drawn, **figures(numbers)}
        if count:
            metadata["preview"] = dg.MetadataValue.md(preview(rows.lazy().head(3).collect()))
        if dropped is not None and dropped.height:
            reasons = dropped.group_by("reason").len().sort("len", "reason", descending=[True, False])
            metadata["dropped"] = dg.MetadataValue.md("\n".join(f"- {n} {r}" for r, n in reasons.iter_rows()))
            metadata |= {f"dropped: {r}": n for r, n in reasons.iter_rows()}
        tables = {self.asset: rows, **(beside or {})}
        limits = self.run.recipe.guardrails
        place = (self.asset, self.partition)
        known = background_under_way(self.as_launched, place, dropped, self.settings, self.overrides)
        found = exempt(self.asset, empty_because) if empty_because else findings(self.asset, tables, limits, known)
        record = self._record(version, numbers, found, count, None if dropped is None else dropped.height)
        return self._result(Artifact(record, rows=rows, dropped=dropped), metadata, found)

    def upstream(self, asset: str, of: Of = "its own") -> pl.LazyFrame | None:
        """A table that an asset per model is made of: the family's, or one of another model.

        None before the seed, and of an asset that the recipe does not have. Raises `UserError` that names what to
        materialize if it is not complete.
        """
        per_model = LOOP[asset].per == "model"
        key = self.run.model_before(self.partition or "seed", of) if per_model else None
        if asset not in self.run.loop or (per_model and key is None):
            return None
        where = f" of {model_id(key)}" if key else ""
        return load_table(self.run.place(asset, key), asset_key(self.run, asset), where)

    def earlier(self, asset: str) -> dict[str, Frame]:
        """The table of the iteration before, under the name that checks know it by; nothing if there is none."""
        before = complete_table(self.run, asset, str(int(self.partition or 1) - 1))
        return {} if before is None else {PREVIOUS: before}

    def nothing(self) -> Result:
        """The empty table of an asset of the judge's side, in an iteration that trains the actor alone."""
        table = TABLES[self.asset]
        self.context.log.info(f"Iteration {self.partition} trains no judge: {self.asset} is empty, as the recipe says.")
        why = "this iteration trains the actor alone"
        return self.table(Selected(table.empty(), dropped_frame()), {"off": why}, empty_because=f"Empty: {why}.")

    def model(
        self,
        model: Model,
        numbers: Mapping[str, Any],
        found: Sequence[Finding] = (),
        shown: Mapping[str, Any] | None = None,
    ) -> Result:
        """The result of an asset that is, or points at, a model; `shown` is further metadata: links, pictures."""
        metadata = {
            "path": model.path,
            "fingerprint": model.fingerprint,
            "model": model.name,
            **figures(numbers),
            **(shown or {}),
        }
        artifact = Artifact(self._record(model.fingerprint, numbers, found), model=model)
        return self._result(artifact, metadata, found)

    def _result(self, artifact: Artifact, metadata: dict[str, Any], found: Sequence[Finding]) -> Result:
        forget(self.run, self.asset, self.partition)
        metadata["settings"] = dg.MetadataValue.json(artifact.record.settings)
        if artifact.record.policy:
            metadata["policy"] = artifact.record.policy
        if job := ray_job():
            metadata |= {"node": f"{job.host} {job.node}", "GPUs": job.gpus or "none", "Ray job": job.id}
            if job.page:
                metadata["log of the Ray job"] = dg.MetadataValue.url(job.page)
        first: dict[str, Any] = {}  # where it is not overlooked
        if self.overrides:
            departed = departures(self.as_launched.recipe, self.asset, self.partition, self.overrides)
            first["departs from the recipe"] = dg.MetadataValue.md(departures_table(departed))
        if self.partition and (outdated := outdated_by(self.run, self.asset, self.partition, artifact.record.version)):
            first["makes stale"] = outdated
        if page := page_of_artifact(self.run.name, self.asset, self.partition):
            first["pairs and lineage"] = dg.MetadataValue.url(page)
        for title, page in pages_behind(self.run.name, self.asset, self.partition).items():
            metadata[title] = dg.MetadataValue.url(page)
        log_findings(self.context, found)
        return dg.MaterializeResult(
            value=artifact,
            metadata={**first, **metadata},
            data_version=dg.DataVersion(artifact.record.version),
            check_results=[CheckResult.of(finding, self.partition, self._behind(finding)) for finding in found],
        )

    def _behind(self, finding: Finding) -> str | None:
        return page_behind_check(self.run.name, finding.asset, self.partition, finding.name)


def partition_link(run: Run, asset: str, partition: str | None) -> dg.UrlMetadataValue:
    """A link to an artifact's page in the UI."""
    return dg.MetadataValue.url(asset_in_ui(run.namespace(asset), asset, partition))
