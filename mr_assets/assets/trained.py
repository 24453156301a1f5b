"""What the two training assets share: a training job in a process of its own, with its metrics in the run's log."""

from pathlib import Path
from typing import Any

import dagster as dg

from mr_assets.assets.wiring import Work
from mr_assets.files import fingerprint
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
        result = train(job, on_metrics=lambda m: report(m.step, m.total))
    except TrainingFailed as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    folder = Path(job.out)
    path = str(folder.relative_to(work.run.data)) if folder.is_relative_to(work.run.data) else str(folder)
    return Model(path, fingerprint(folder), name), dict(result.numbers)
