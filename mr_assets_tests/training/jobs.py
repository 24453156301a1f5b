"""Training jobs for the tests: what they do not say is as in the paper, on one device."""

from typing import Any

from mr_assets.training.job import UNUSED_IN_SFT, TrainingJob

PAPER: dict[str, Any] = {
    "lr_scheduler": "cosine",
    "batch_size": 32,
    "micro_batch_size": 32,
    "warmup_ratio": 0.0,
    "optimizer": "adamw_torch",
    "precision": "fp32",
    "gradient_checkpointing": False,
    "save_steps": None,
    **UNUSED_IN_SFT,
}


def new_job(**said: Any) -> TrainingJob:
    """A job that says this."""
    return TrainingJob(**{**PAPER, **said})


def replace(job: TrainingJob, **changes: Any) -> TrainingJob:
    """The job with other values, checked like any other."""
    return TrainingJob(**{**dict(job), **changes})
