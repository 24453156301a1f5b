"""What the two training assets share: a training job in a process of its own, with its metrics in the log."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from mr_assets.files import atomically, fingerprint
from mr_assets.method.guardrails import Finding, findings
from mr_assets.planning.refusal import check_disk
from mr_assets.runs.artifact import Model
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.data_folder import accelerate_file
from mr_assets.sampling.live import close_engine
from mr_assets.tables import Selected, dropped_path
from mr_assets.training.job import EPOCHS, UNUSED_IN_SFT, TrainingJob
from mr_assets.training.launch import TrainingFailed, start_ahead, train
from mr_assets.training.log import COLUMNS, last_epoch, read_log
from mr_assets.training.margins import margin_figures, scan_margins
from mr_assets.training.settings import DPOSettings, SFTSettings
from mr_assets.wiring.checks import record_now
from mr_assets.wiring.fit import check_fit
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.partitions import asset_key
from mr_assets.wiring.pictures import curves


@dataclass(frozen=True)
class Trained:
    """A model that was trained: its figures, what the checks say of its log, and the log as a picture."""

    model: Model
    numbers: dict[str, Any]
    found: list[Finding]
    curves: dg.MarkdownMetadataValue


def train_model(work: Materialization, job: TrainingJob, start: Model, name: str, *before: Finding) -> Trained:
    """Train `start` in a process of its own, to become the model `name`. The engine gives its memory back first.

    Raises `UserError` if it cannot fit (`check_fit`), or not on the disk, or if the policy's folder is damaged, and
    `dg.Failure` with the end of the trainer's log if training fails. What was found before it is recorded then; if the
    loss or a reward margin was not finite, the check that watches over the loss has failed as well.
    """
    close_engine()
    check_fit(work)
    check_disk(work.run, work.asset, work.partition)
    if work.policy is not None:
        work.policy.check(work.run.data)
    what = f"{work.asset} ({name})"
    work.announce(f"{what}: starting; the first step comes when the model and its reference are ready")
    try:
        result = train(job, reporter(work, what), code=code_version(work.asset), start=start.fingerprint)
    except TrainingFailed as error:
        record_now(work.context, before, work.partition)
        if broken := re.search(_NOT_FINITE, str(error)):
            said = f"{broken[0]}. No model was written."
            record_now(work.context, [Finding(work.asset, "finite_loss", "harmful", {}, said)], work.partition)
        raise dg.Failure(str(error), allow_retries=False) from error
    folder = Path(job.out)
    path = str(folder.relative_to(work.run.data)) if folder.is_relative_to(work.run.data) else str(folder)
    log = read_log(folder)
    last = folder / EPOCHS / str(job.schedule_epochs)  # has the whole schedule's log, to choose an epoch by
    seen = read_log(last) if last.is_dir() else log
    numbers: dict[str, Any] = {title: result.last[key] for key, title in COLUMNS.items() if key in result.last}
    numbers |= last_epoch(log)
    if (margins := scan_margins(folder)) is not None:
        batches = [name for name in numbers if name.startswith("reward margin")]
        if figures := margin_figures(margins.collect()):  # of every pair; the means over batches stay in the log
            numbers = {name: numbers[name] for name in numbers if name not in batches} | figures
    numbers |= {"steps": result.steps, "examples": result.rows, "training seconds": round(result.seconds, 1)}
    return Trained(
        Model(path, fingerprint(folder), name),
        numbers,
        findings(work.asset, {"training_log": log}, work.recipe.guardrails),
        dg.MetadataValue.md(curves(seen["step"], [{n: seen[n] for n in panel} for panel in PANELS[job.kind]])),
    )


ONE_PROCESS = (dg.in_process_executor.name, "execute_in_process_executor")  # the executors that make no others


def expect_training(work: Materialization) -> None:
    """Have a trainer load its libraries meanwhile, if this process is to train the policy that it samples from."""
    run, dpo, key = work.context.run, work.recipe.dpo, asset_key(work.run, "checkpoints")
    selected, steps = key in (run.asset_selection or ()), run.step_keys_to_execute  # of a re-execution; else None
    executed = selected and (steps is None or key.to_python_identifier() in steps)
    if executed and work.context.job_def.executor_def.name in ONE_PROCESS and dpo.num_processes == 1:
        start_ahead(dpo.cpu_threads, dpo.optimizer)


_NOT_FINITE = r"\b(loss|grad_norm|reward margin) is (-?inf|nan) (at|after) step [0-9]+( of [0-9]+)?"

PANELS: dict[str, list[tuple[str, ...]]] = {
    "sft": [("loss",)],
    "dpo": [("loss",), ("reward margin", "reward accuracy")],
}


def reporter(work: Materialization, what: str) -> Callable[[dict[str, Any]], None]:
    """Steps as progress, timed from the first one seen: before it, models are loaded. Pairs as one of their own."""
    of_steps: Callable[..., None] | None = None
    of_pairs: Callable[..., None] | None = None
    first = 0

    def on_metrics(line: dict[str, Any]) -> None:
        nonlocal of_steps, of_pairs, first
        if "kept_epoch" in line:
            work.context.log.info(
                f"{what}: no step is trained. An earlier training with this data and these settings kept every epoch: "
                f"epoch {line['kept_epoch']} is taken from {line['folder']}. Remove that folder to train again."
            )
            return
        if "pairs" in line:
            if of_pairs is None or not line["pairs"]:  # of each epoch that is kept
                of_pairs = work.progress(f"{what}, reward margins", "pairs")
            of_pairs(line["pairs"], line["total_pairs"])
            return
        if of_steps is None:
            of_steps, first = work.progress(what, "steps"), line["step"]
        of_steps(line["step"], line["total_steps"], first)

    return on_metrics


def write_sft_dataset(work: Materialization, examples: Selected, path: Path) -> Path:
    """Write what SFT reads, and beside it the examples that are too long, of which a warning tells; the path."""
    atomically(path, examples.rows.write_parquet)
    atomically(dropped_path(path), examples.dropped.write_parquet)
    if examples.dropped.height and work.recipe.sft:
        work.context.log.warning(
            f"{examples.dropped.height} EFT examples are longer than sft.max_length = {work.recipe.sft.max_length} "
            f"tokens and dropped; {dropped_path(path)} lists them"
        )
    return path


def training_job(
    kind: Literal["dpo", "sft"],
    section: DPOSettings | SFTSettings,
    *,
    root: Path,
    model: Path,
    data: Path,
    out: Path,
    **given: Any,
) -> TrainingJob:
    """The job of a recipe's training section; `given` has what its row and the recipe's root add.

    root: the data root, under which accelerate's configuration is looked for.
    """
    settings = UNUSED_IN_SFT | section.model_dump() | given
    if section.accelerate_config is not None:
        settings["accelerate_config"] = str(accelerate_file(section.accelerate_config, root))
    return TrainingJob(kind=kind, model=model, data=data, out=out, **settings)
