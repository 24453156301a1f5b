"""Guardrails in Dagster: each check of `mr_assets.method.guardrails` as an asset check, run with the asset itself.

A harmful finding fails its check with severity ERROR, which stops what follows in the same run; a warning has severity
WARN. What is materialized later, in another run, Dagster does not stop: `checkpoints` therefore asks all of the
iteration's checks once more before it trains.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from mr_assets.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from mr_assets.errors import UserError
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP, Place, titled
from mr_assets.method import Frame
from mr_assets.method.guardrails import CHECKS, Background, Check, Departed, Finding, findings, harmful
from mr_assets.method.measures import PREVIOUS
from mr_assets.printable import printable
from mr_assets.runs.overrides import departures, overridable
from mr_assets.runs.run import Run
from mr_assets.tables import TABLES, found_dropped, scan_dropped
from mr_assets.wiring.partitions import asset_key, partitions

FIT = "data_is_fit"
FIT_MEANS = "The iteration's tables are fit to train on: none of their checks has a harmful finding."
FOLLOWS = "follows_from_ancestors"
FOLLOWS_MEANS = "Every row of the iteration follows from its ancestors, as `mr verify` computes them again."
FAULTS_SHOWN = 5


def check_specs(run: Run, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of one asset, per partition where the asset has them."""
    key = asset_key(run, asset)
    by = partitions(run, asset)
    specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=key,
            description=_means(run, check),
            blocking=check.bounds(run.recipe.guardrails).stop is not None,
            partitions_def=by,
        )
        for check in CHECKS
        if check.asset == asset
    ]
    if asset == "checkpoints":
        fit = dg.AssetCheckSpec(FIT, asset=key, description=FIT_MEANS, blocking=True, partitions_def=by)
        follows = dg.AssetCheckSpec(FOLLOWS, asset=key, description=FOLLOWS_MEANS, partitions_def=by)
        specs[:0] = [fit, follows]
    return specs


def _means(run: Run, check: Check) -> str:
    where = f" The bounds are guardrails.{check.limit} of the recipe." if isinstance(check.limit, str) else ""
    return f"{check.expected(run.recipe.guardrails)}.{where}"


def rounded(value: Any) -> Any:
    """A number to six digits, as the UI is to show it; anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


class CheckResult(dg.AssetCheckResult):
    """A check's result with the partition that it is of.

    In a backfill's runs, which have a range of one partition, Dagster 1.13 would leave the partition out, and the
    check's page would call that partition skipped.
    """

    partition: str | None = None

    @classmethod
    def of(cls, finding: Finding, partition: str | None, page: str | None = None) -> "CheckResult":
        """A finding as Dagster shows it; page: where that is which it counted."""
        result = cls(
            passed=finding.passed,
            check_name=finding.name,
            severity=dg.AssetCheckSeverity.ERROR if finding.level == "harmful" else dg.AssetCheckSeverity.WARN,
            description=finding.said,
            metadata={
                **({"read them": dg.MetadataValue.url(page)} if page else {}),
                **{name: rounded(value) for name, value in finding.numbers.items()},
            },
        )
        result.partition = partition
        return result

    def to_asset_check_evaluation(self, step_context: Any) -> dg.AssetCheckEvaluation:
        """The event that is stored."""
        found = super().to_asset_check_evaluation(step_context)
        if self.partition and step_context.has_partition_key:
            target = found.target_materialization_data  # Dagster has just looked for it
        else:
            target = _latest(step_context.instance, found.asset_key, self.partition)
        return self.evaluated(found.asset_key, bool(found.blocking), target)

    def evaluated(
        self, key: dg.AssetKey, blocking: bool, target: AssetCheckEvaluationTargetMaterializationData | None
    ) -> dg.AssetCheckEvaluation:
        """The event that is stored for a check of the asset `key`, of its materialization `target`."""
        return dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=self.check_name or "",
            passed=self.passed,
            metadata=self.metadata,
            severity=self.severity,
            description=self.description,
            blocking=blocking,
            partition=self.partition,
            target_materialization_data=target,
        )


def log_findings(context: dg.AssetExecutionContext, found: Sequence[Finding]) -> None:
    """Say in the Dagster run's log what did not pass."""
    for finding in found:
        if not finding.passed:
            say = context.log.error if finding.level == "harmful" else context.log.warning
            say(f"check {finding.name} of {finding.asset}: {finding.said}")


def tables_of(run: Run, t: int) -> dict[str, Frame]:
    """Every complete table of an iteration by name, lazily; with seed_prompts, and the responses of the one before."""
    places: dict[str, Place] = {a: (a, str(t)) for a in run.loop.per("iteration") if a in TABLES}
    places |= {"seed_prompts": ("seed_prompts", None), PREVIOUS: ("responses", str(t - 1))}
    found = {name: complete_table(run, *place) for name, place in places.items()}
    return {name: table for name, table in found.items() if table is not None}


def complete_table(run: Run, asset: str, partition: str | None) -> pl.LazyFrame | None:
    """An asset's table, lazily; None if it is not complete. Raises `UserError` if its columns are another version's."""
    if run.record(asset, partition) is None or not run.path(asset, partition).is_file():
        return None
    return TABLES[asset].scan(run.path(asset, partition))


def check_inputs(run: Run, asset: str, partition: str | None) -> None:
    """Read the tables that an asset is made of as bytes: raises `UserError` if one is not what was written.

    Bits that flip on a disk leave size and time as they were. This goes at the disk's speed, about 1 GB/s from memory.
    """
    for place in run.ancestors(asset, partition):
        if place[0] in TABLES and (why := run.damage(*place, content=True)):
            raise UserError(f"{titled(*place)} is damaged: {why}. Materialize it again; `mr run` does.")


def iteration_findings(run: Run, t: int, tables: Mapping[str, Frame]) -> list[Finding]:
    """What every check finds in the tables that iteration t trains on. An empty judge's side is as declared."""
    off = None if run.recipe.row(t).judge_training else "judge"
    filled = [a for a in run.loop.per("iteration") if a in tables and (off is None or LOOP[a].side != off)]
    limits = run.recipe.guardrails
    return [finding for a in filled for finding in findings(a, tables, limits, background(run, a, str(t)))]


def background(run: Run, asset: str, partition: str | None) -> Background:
    """What may lie behind a finding on a complete artifact: what it dropped, its settings, and its overrides."""
    record = run.record(asset, partition)
    dropped = scan_dropped(run.path(asset, partition)) if found_dropped(run.path(asset, partition)) else None
    own = _departed(run, asset, partition, record.overrides if record else {})
    return Background(dropped, record.settings if record else {}, (*own, *departed_above(run, asset, partition)))


def departed_above(run: Run, asset: str, partition: str | None) -> tuple[Departed, ...]:
    """What departs from the recipe in what an artifact is made of, within its iteration."""
    above: dict[tuple[str, str | None], None] = {}
    waiting = [(asset, partition)]
    while waiting:
        for place in run.ancestors(*waiting.pop()):
            if LOOP[place[0]].holds == "table" and place not in above:
                above[place] = None
                waiting.append(place)
    records = [(place, run.record(*place)) for place in above]
    return tuple(d for place, record in records if record for d in _departed(run, *place, record.overrides))


def _departed(run: Run, asset: str, partition: str | None, overrides: Mapping[str, Any] | None) -> list[Departed]:
    known = overridable(asset)
    overrides = {name: value for name, value in (overrides or {}).items() if name in known}
    return [
        Departed(asset, d.setting, d.used, d.recipe, known[d.setting].path.replace("row.", "iteration."))
        for d in departures(run.recipe, asset, partition, overrides)
    ]


def background_under_way(
    run: Run, place: Place, dropped: Frame | None, settings: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Background:
    """The same for an artifact under way at `place`; `run` is as launched."""
    return Background(dropped, settings, (*_departed(run, *place, overrides), *departed_above(run, *place)))


def fit_to_train(context: dg.AssetExecutionContext, run: Run, t: int, *others: Finding) -> Finding:
    """Ask every check of the iteration once more before training, whoever launched it and whatever ran before.

    others: what else was found before training. Raises `dg.Failure` with every harmful finding, after recording the
    failed check and the others; and `UserError` if the dataset's file is not the one that was written.
    """
    tables = tables_of(run, t)
    missing = [a for a in run.loop.per("iteration") if a in TABLES and a not in tables]
    if missing:
        context.log.warning(f"Not checked before training, as not complete: {', '.join(missing)} of iteration {t}.")
    found = iteration_findings(run, t, tables)
    bad, warned = harmful(found), [f for f in found if f.level == "warning"]
    if not bad:
        check_inputs(run, "checkpoints", str(t))
    numbers: dict[str, float | int] = {"checks": len(found), "warnings": len(warned), "harmful": len(bad)}
    if not bad:
        said = f"{len(found)} checks: none is harmful, {len(warned)} warn"
        names = ", ".join(f"{f.name} of {f.asset}" for f in warned)
        return Finding("checkpoints", FIT, "passed", numbers, f"{said}: {names}." if names else f"{said}.")
    lines = "\n".join(f"- {f.name} of {f.asset}: {f.said}" for f in bad)
    said = f"Iteration {t} is not trained: {len(bad)} of {len(found)} checks say that it would do harm.\n{lines}"
    if limits := sorted({f.limit for f in bad if f.limit}):
        bounds = " and ".join(f"guardrails.{limit}.stop" for limit in limits)
        said += (  # a paragraph of its own also in Markdown
            f"\n\nIf the data is as it should be, change {bounds} in {run.folder / 'recipe.yaml'}, then re-execute the "
            "run from failure or materialize checkpoints again."
        )
    refused = Finding("checkpoints", FIT, "harmful", numbers, said)
    record_now(context, [refused, *others, *exempt("checkpoints", "Nothing was trained.")], str(t))
    raise dg.Failure(said, allow_retries=False)


def rows_follow(run: Run, t: int) -> Finding:
    """Work the iteration's tables out again from their ancestors; a warning if a row does not follow from them."""
    found = list(verify(run, [str(t)], [asset for asset in run.loop.per("iteration") if asset in TABLES]))
    if not found:
        return Finding("checkpoints", FOLLOWS, "passed", {"faults": 0}, "Every row follows from its ancestors.")
    first = "\n".join(f"- {printable(str(fault))}" for fault in found[:FAULTS_SHOWN])
    said = (
        f"{len(found)} faults: rows of iteration {t} do not follow from their ancestors. "
        f"`mr verify {run.name} --iteration {t}` lists all of them.\n{first}"
    )
    return Finding("checkpoints", FOLLOWS, "warning", {"faults": len(found)}, said)


def record_now(context: dg.AssetExecutionContext, found: Sequence[Finding], partition: str | None) -> None:
    """Record checks of an asset that is about to fail, so that there will be no materialization to record them with."""
    for finding in found:
        result = CheckResult.of(finding, partition)
        target = _latest(context.instance, context.asset_key, partition)
        context.log_event(result.evaluated(context.asset_key, finding.name != FOLLOWS, target))


def _latest(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The materialization that the UI shows: a check's failure counts there only if it names that one."""
    of_asset = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    for found in instance.fetch_materializations(of_asset, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=found.storage_id, run_id=found.run_id, timestamp=found.timestamp
        )
    return None


def exempt(asset: str, why: str) -> list[Finding]:
    """The findings on a table that is empty because the recipe says so."""
    return [check.passes(why) for check in CHECKS if check.asset == asset]
