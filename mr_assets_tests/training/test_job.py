"""A job says everything about a training, survives JSON, and refuses what cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.training.job import TrainingJob
from mr_assets_tests.training.jobs import new_job, replace

PAPER = new_job(
    kind="dpo",
    model=Path("policy"),
    data=Path("dpo.parquet"),
    out=Path("checkpoints/1"),
    learning_rate=5e-6,
    schedule_epochs=10,
    keep_epoch=6,
    max_length=4096,
    micro_batch_size=1,
    num_processes=8,
    accelerate_config="fsdp.yaml",
    save_steps=100,
)


def test_json_and_back() -> None:
    """What is read equals what was written, paths included."""
    assert TrainingJob.model_validate(json.loads(json.dumps(PAPER.to_dict()))) == PAPER
    plain = replace(PAPER, accelerate_config=None, save_steps=None)
    assert TrainingJob.model_validate(json.loads(json.dumps(plain.to_dict()))) == plain


def test_unknown_and_missing_fields_are_refused() -> None:
    """A job of another version is not half understood."""
    with pytest.raises(UserError, match="rpo_alpha"):
        TrainingJob.model_validate(PAPER.to_dict() | {"rpo_alpha": 1})
    with pytest.raises(UserError, match="keep_epoch"):
        TrainingJob.model_validate({name: v for name, v in PAPER.to_dict().items() if name != "keep_epoch"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "ppo"},
        {"lr_scheduler": "cosine_with_restarts"},
        {"precision": "fp16"},
        {"optimizer": "sgd"},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"beta": -0.1},
        {"keep_epoch": 11},
        {"keep_epoch": 0},
        {"save_steps": 0},
        {"max_length": 2.5},
        {"warmup_ratio": 1.0},
        {"weight_decay": -1.0},
        {"micro_batch_size": 3},
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the field and what was expected."""
    (name, _value), *_ = wrong.items()
    with pytest.raises(UserError, match="batch_size" if name == "micro_batch_size" else name):
        replace(PAPER, **wrong)


def test_global_batch_over_devices() -> None:
    """32 examples = 1 per device x 8 devices x 4 accumulated; 33 cannot be split so."""
    assert PAPER.batch_size // (PAPER.micro_batch_size * PAPER.num_processes) == 4
    with pytest.raises(UserError, match="1 x 8"):
        replace(PAPER, batch_size=33)


def test_steps_of_an_epoch() -> None:
    """64 rows are 2 steps of 32; one row more makes a third, smaller one."""
    assert [PAPER.steps_per_epoch(rows) for rows in (1, 32, 64, 65)] == [1, 1, 2, 3]


def test_workspace_lies_beside_the_result() -> None:
    """On the same file system, so that the finished model can be renamed into place."""
    assert PAPER.workspace == Path("checkpoints/1.training")
