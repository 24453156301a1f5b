"""What the two training assets share: a training job in a process of its own, with its metrics in the run's log."""

from pathlib import Path
from typing import Any, Literal

import dagster as dg

from mr_assets.assets.wiring import Work
from mr_assets.files import fingerprint
from mr_assets.recipe import DPO, SFT
from mr_assets.sampling.engine import close_engine
from mr_assets.storage import Model
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingFailed, train


def train_model(work: Work, job: TrainingJob, name: str) -> tuple[Model, dict[str, Any]]:
    """Train, and return the model with its last figures. The engine gives its memory back first.

    Raises `dg.Failure` with the end of the trainer's log if training fails.
    """
    close_engine()
    report = work.progress(f"{work.asset} ({name})", "steps")
    try:
        result = train(job, on_metrics=lambda m: report(m["step"], m["total_steps"]))
    except TrainingFailed as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    folder = Path(job.out)
    path = str(folder.relative_to(work.run.data)) if folder.is_relative_to(work.run.data) else str(folder)
    shown = {"loss": "loss", "rewards/margins": "reward margin", "rewards/accuracies": "reward accuracy"}
    numbers: dict[str, Any] = {title: result.last[key] for key, title in shown.items() if key in result.last}
    numbers |= {"steps": result.steps, "examples": result.rows, "training seconds": round(result.seconds, 1)}
    return Model(path, fingerprint(folder), name), numbers


def training_job(
    kind: Literal["dpo", "sft"], section: DPO | SFT, *, model: Path, data: Path, out: Path, **given: Any
) -> TrainingJob:
    """The job of a recipe's training section; `given` has what its row and the recipe's root add."""
    return TrainingJob(kind=kind, model=model, data=data, out=out, **(section.model_dump() | given))
