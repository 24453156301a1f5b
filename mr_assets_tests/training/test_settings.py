"""What a recipe may say of training: ranges of its fields, and what an epoch and a batch must agree with."""

from typing import Any

import pytest
from pydantic import ValidationError

from mr_assets.training.settings import DPOSettings, SFTSettings, batch_problem, epoch_problem

SFT: dict[str, Any] = {
    "learning_rate": 5e-8,
    "lr_scheduler": "cosine",
    "batch_size": 32,
    "micro_batch_size": 2,
    "schedule_epochs": 10,
    "warmup_ratio": 0.0,
    "max_length": 4096,
    "optimizer": "adamw_torch",
    "precision": "bf16",
    "gradient_checkpointing": True,
    "save_steps": None,
    "keep_epoch": 5,
}
DPO = {name: value for name, value in SFT.items() if name != "keep_epoch"} | {"beta": 0.1, "keep_all_epochs": False}


def test_what_need_not_be_said_is_plain() -> None:
    """All weights are trained, by one process that holds the whole model; gradients are clipped to 1."""
    section = DPOSettings(**DPO)
    assert (section.lora_r, section.num_processes, section.accelerate_config) == (None, 1, None)
    assert (section.cpu_threads, section.weight_decay, section.max_grad_norm) == (None, 0, 1)


@pytest.mark.parametrize(
    ("said", "names"), [("all-linear", []), ("q_proj", ["q_proj"]), ("q_proj, v_proj", ["q_proj", "v_proj"])]
)
def test_modules_with_adapters_are_named_with_commas(said: str, names: list[str]) -> None:
    assert DPOSettings(**DPO, lora_target_modules=said).lora_targets == names


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("learning_rate", 1.0), ("learning_rate", 0.0), ("warmup_ratio", 1.0), ("warmup_ratio", -0.1)),
        *(("lora_dropout", 1.0), ("lora_r", 0), ("lora_target_modules", ""), ("max_grad_norm", 0.0)),
        *(("weight_decay", -0.1), ("batch_size", 0), ("save_steps", 0), ("num_processes", 0), ("cpu_threads", 0)),
        *(("optimizer", "sgd"), ("precision", "fp16"), ("lr_scheduler", "polynomial"), ("beta", 0.0)),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        DPOSettings(**{**DPO, field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_either_training_has_fields_that_the_other_has_not() -> None:
    """SFT keeps one epoch; DPO's is the iteration's own row."""
    assert SFTSettings(**SFT).keep_epoch == 5
    with pytest.raises(ValidationError, match="keep_epoch\n  Extra inputs"):
        DPOSettings(**{**DPO, "keep_epoch": 5})
    with pytest.raises(ValidationError, match="beta\n  Extra inputs"):
        SFTSettings(**{**SFT, "beta": 0.1})


def test_an_epoch_that_the_schedule_does_not_have_cannot_be_kept() -> None:
    assert epoch_problem(10, 10) is None
    assert epoch_problem(11, 10) == "the schedule has schedule_epochs = 10 epochs; keep one of them"
    said = epoch_problem(3, 2, "dpo.schedule_epochs")
    assert said == "the schedule has dpo.schedule_epochs = 2 epochs; keep one of them"


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "whole"),
    [(32, 2, 1, True), (32, 2, 16, True), (32, 32, 1, True), (32, 2, 3, False), (32, 4, 16, False), (32, 64, 1, False)],
)
def test_processes_take_equal_shares_of_a_batch(batch: int, micro: int, processes: int, whole: bool) -> None:
    """In whole micro-batches. Micro-batches of 4 in 16 processes are 64 examples, twice the batch."""
    said = f"should be a multiple of micro_batch_size x num_processes = {micro} x {processes}"
    assert batch_problem(batch, micro, processes) == (None if whole else said)
