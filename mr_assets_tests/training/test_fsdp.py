"""FSDP2 on two processes, on CPUs: really shared out, and yet the training of one process."""

import math
import sys
from typing import Any

import polars as pl
import pytest

from mr_assets.planning.shapes import shape_of_folder
from mr_assets.training import launch
from mr_assets.training.accelerate_config import SHIPPED
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingFailed, train
from mr_assets_tests.training import test_sft
from mr_assets_tests.training.jobs import replace
from mr_assets_tests.training.test_dpo import (
    Interrupted,
    flat,
    load,
    log,
    make_trainer,
    margins,
    same_training,
    sums_of_log_probs,
    trained_here,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process is one that tells how its parameters are shared out."""
    launch.end_ahead()
    program = [sys.executable, "-m", "mr_assets_tests.training.rank"]
    monkeypatch.setattr(launch, "trainer_program", lambda kind: program)


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_shared_out_it_makes_the_steps_of_one_process(kind: str, request: pytest.FixtureRequest) -> None:
    """Steps of 6 and 4 rows, in passes of one by two processes; DPO is killed between the epochs, and resumes.

    Every parameter is a DTensor of which this process has half the rows: without that it would be plain data
    parallelism, which accelerate falls back to on CPUs without a word.
    """
    job = replace(request.getfixturevalue(f"{kind}_job"), batch_size=6, micro_batch_size=6, keep_epoch=2)
    parallel = replace(
        job,
        num_processes=2,
        micro_batch_size=1,
        accelerate_config=str(SHIPPED["fsdp"]),
        out=job.out.with_name("parallel"),
    )

    def kill(line: dict[str, Any]) -> None:
        if line.get("step", 0) >= 3:
            raise Interrupted

    if kind == "dpo":
        with pytest.raises(Interrupted):
            train(parallel, kill)
        [checkpoint] = parallel.workspace.glob("checkpoints/checkpoint-2")
        written = sum(path.stat().st_size for kind in ("*.safetensors", "*.bin") for path in checkpoint.glob(kind))
        shape = shape_of_folder(job.model)
        assert shape is not None
        assert written == pytest.approx(16 * shape.weights, rel=0.05)  # the weights twice: as `mr plan` counts it
    told: list[dict[str, Any]] = []
    assert train(parallel, told.append).resumed_at == (2 if kind == "dpo" else 0)
    [shares] = [line["shares"] for line in told if "shares" in line]
    assert len(shares) == len(list(load(job.model).named_parameters()))
    assert {tuple(share) for share in shares.values()} == {("DTensor", 2, "(Shard(dim=0),)", 0.5)}
    change = flat(load(parallel.out)) - flat(load(job.model))
    one = trained_here(job, make_trainer if kind == "dpo" else test_sft.make_trainer)
    assert [line["step"] for line in log(parallel.out)] == [1, 2, 3, 4]
    same_training(parallel, (log(parallel.out), change), one)
    if kind == "dpo":
        found, rows = margins(parallel.out), pl.read_parquet(parallel.data).to_dicts()
        assert found["pair_id"].to_list() == [row["pair_id"] for row in rows]
        texts = [(row["prompt_token_ids"], row["chosen_token_ids"]) for row in rows]
        ratios = sums_of_log_probs(load(parallel.out), texts) - sums_of_log_probs(load(parallel.model), texts)
        assert found["chosen_reward"].to_list() == pytest.approx((parallel.beta * ratios).tolist(), abs=1e-5)


def test_as_the_recipes_for_several_gpus_train(dpo_job: TrainingJob) -> None:
    """In bf16 with gradient checkpointing: two steps of 6 and 4 pairs are those of one process, up to bf16's rounding.

    At the first one the model is its own reference. The weights move by Adam's steps, which blow up the rounding of
    gradients close to 0.
    """
    settings: dict[str, Any] = {"precision": "bf16", "gradient_checkpointing": True}
    job = replace(dpo_job, batch_size=6, micro_batch_size=6, **settings)
    several: dict[str, Any] = {"num_processes": 2, "accelerate_config": str(SHIPPED["fsdp"])}
    parallel = replace(job, micro_batch_size=1, out=job.out.with_name("parallel"), **several)
    told: list[dict[str, Any]] = []
    train(parallel, told.append)
    [shares] = [line["shares"] for line in told if "shares" in line]
    assert {share[0] for share in shares.values()} == {"DTensor"}
    ours, (theirs, expected) = log(parallel.out), trained_here(job)
    assert ours[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    for name in ("step", "loss", "grad_norm", "rewards/margins", "logps/chosen"):
        came, wanted = ([line[name] for line in lines] for lines in (ours, theirs))
        assert came == pytest.approx(wanted, rel=0.01, abs=1e-3), name
    moved = flat(load(parallel.out)) - flat(load(job.model))
    assert (moved - expected).norm() < 0.1 * expected.norm()


def test_the_cause_is_told_and_not_the_launchers_lines(dpo_job: TrainingJob) -> None:
    """The second process fails while the first one waits for it."""
    job = replace(dpo_job, num_processes=2, micro_batch_size=2)
    launch.prepare_workspace(job)
    (job.workspace / "break").touch()
    with pytest.raises(TrainingFailed) as failed:
        train(job)
    said, log_of_it = str(failed.value).split("\n")
    assert said.endswith("Process 2 of 2: ValueError: the second one broke")
    assert log_of_it == f"Its whole log is {job.workspace / 'trainer.log'}."


def test_a_process_that_is_killed_is_named(dpo_job: TrainingJob) -> None:
    """As the kernel kills one while all load their models into the host's memory."""
    job = replace(dpo_job, num_processes=2, micro_batch_size=2)
    launch.prepare_workspace(job)
    (job.workspace / "kill").touch()
    with pytest.raises(TrainingFailed, match=r"Process 2 \(rank 1\) was ended by SIGKILL\. .* lower num_processes, "):
        train(job)
