"""The checkpoints of a training: one at most is to resume from, and a file names it.

<workspace>/checkpoints/resume            checkpoint-300
<workspace>/checkpoints/checkpoint-300/   the one that it names, which is whole
<workspace>/checkpoints/checkpoint-400/   being written, or left half-written by what ended the training
"""

import os
import shutil
from pathlib import Path

from mr_assets.files import atomically
from mr_assets.training.job import TrainingJob

RESUME = "resume"
"""The file that names the checkpoint to resume from, beside the checkpoints."""


def checkpoint_folder(job: TrainingJob) -> Path:
    """The folder of the checkpoints."""
    return job.workspace / "checkpoints"


def last_checkpoint(job: TrainingJob) -> Path | None:
    """The checkpoint to resume from, of which there is one at most; None if there is none."""
    checkpoints = checkpoint_folder(job)
    name = checkpoints / RESUME
    found = checkpoints / name.read_text(encoding="utf-8") if name.exists() else None
    return found if found and found.is_dir() else None


def resume_from(job: TrainingJob, name: str | None) -> None:
    """Make the checkpoint of that name, which is whole, the one to resume from; remove all others. None: remove all.

    Its name takes the place of the last one's in one step, after its files are on the disk: whatever ends the training
    meanwhile, one checkpoint is named, and it is whole.
    """
    checkpoints = checkpoint_folder(job)
    if name is None:
        (checkpoints / RESUME).unlink(missing_ok=True)
    else:
        for path in (checkpoints / name).iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        atomically(checkpoints / RESUME, lambda path: path.write_text(name, encoding="utf-8"))
    remove_others(job)


def remove_others(job: TrainingJob) -> None:
    """Remove every checkpoint but the one to resume from; if that is not there, its name goes, too."""
    last = last_checkpoint(job)
    if last is None:
        (checkpoint_folder(job) / RESUME).unlink(missing_ok=True)
    for path in checkpoint_folder(job).glob("checkpoint-*"):
        if path != last:
            shutil.rmtree(path)
