"""The checkpoint to resume from: the one that a file names, and no other stays."""

import os
import shutil
from pathlib import Path

import pytest

from mr_assets.training import checkpoints
from mr_assets.training.job import TrainingJob
from mr_assets_tests.training.jobs import new_job


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    """A job of which nothing is there."""
    places = {"model": tmp_path / "policy", "data": tmp_path / "dpo.parquet", "out": tmp_path / "1"}
    return new_job(kind="dpo", learning_rate=1e-4, schedule_epochs=1, keep_epoch=1, max_length=5, **places)


def written(job: TrainingJob, *steps: int) -> Path:
    """The folder of checkpoints, with those of these steps."""
    folder = checkpoints.checkpoint_folder(job)
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir(parents=True, exist_ok=True)
        (folder / f"checkpoint-{step}" / "model.safetensors").touch()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_training_goes_on_from_the_checkpoint_that_is_named(job: TrainingJob) -> None:
    """One that was cut off is not; one that somebody removed is none."""
    assert checkpoints.last_checkpoint(job) is None
    folder = written(job, 9, 10)
    assert checkpoints.last_checkpoint(job) is None
    (folder / "resume").write_text("checkpoint-9")
    assert checkpoints.last_checkpoint(job) == folder / "checkpoint-9"
    (folder / "resume").write_text("checkpoint-8")
    assert checkpoints.last_checkpoint(job) is None


def test_a_new_checkpoint_is_named_before_others_go(job: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are on the disk when it is. Also one goes that a killed training left half-written."""
    folder = written(job, 3, 6, 999)
    (folder / "resume").write_text("checkpoint-3")
    done: list[str] = []

    def note(what: str) -> None:
        done.append(f"{what} {(folder / 'resume').read_text()}")

    monkeypatch.setattr(os, "fsync", lambda file: note("fsync"))
    monkeypatch.setattr(shutil, "rmtree", lambda path: note(path.name))
    checkpoints.resume_from(job, "checkpoint-6")
    assert done[:2] == ["fsync checkpoint-3"] * 2, "the weights, and the name itself"
    assert sorted(done[2:]) == ["checkpoint-3 checkpoint-6", "checkpoint-999 checkpoint-6"]


def test_without_a_name_all_go(job: TrainingJob) -> None:
    """As before the next one is written in the place of the last one."""
    folder = written(job, 3, 6)
    (folder / "resume").write_text("checkpoint-3")
    checkpoints.resume_from(job, None)
    assert names(folder) == []


@pytest.mark.parametrize(
    ("named", "left"), [("checkpoint-3", ["checkpoint-3", "resume"]), ("checkpoint-9", []), (None, [])]
)
def test_what_is_not_named_goes(job: TrainingJob, named: str | None, left: list[str]) -> None:
    """A name of what somebody removed goes, too: the next checkpoint of that name may be half-written."""
    checkpoints.remove_others(job)
    folder = written(job, 3, 6)
    if named:
        (folder / "resume").write_text(named)
    checkpoints.remove_others(job)
    assert names(folder) == left
