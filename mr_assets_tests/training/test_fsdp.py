"""Two processes on CPUs, plain and with FSDP2: really shared out, and yet the training of one process."""

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
from mr_assets_tests.training.jobs import replace
from mr_assets_tests.training.test_dpo import (
    Interrupted,
    flat,
    load,
    log,
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


@pytest.mark.parametrize(("kind", "batch", "resumed_at"), [("dpo", 6, 2), ("sft", 4, 3)])
def test_two_processes_with_and_without_fsdp_make_the_steps_of_one(
    kind: str, batch: int, resumed_at: int, request: pytest.FixtureRequest
) -> None:
    """Two epochs of 10 rows: losses, margins, saved weights are equal. FSDP is killed between the epochs, and resumes.

    With FSDP, in passes of one, every parameter is a DTensor of which this process has half the rows: without that it
    would be plain data parallelism, which accelerate falls back to on CPUs without a word.

    Without it, each process takes half of a batch at once, and each step's checkpoint is written over the last one. Of
    DPO's last batch of 4 pairs the second process has one, and two from the epoch's beginning once more, which count
    for nothing. Of SFT's last batch of 2 it has only such.
    """
    small = request.getfixturevalue(f"{kind}_job")
    job = replace(small, batch_size=batch, micro_batch_size=batch, keep_epoch=2)
    two = replace(job, num_processes=2, micro_batch_size=batch // 2)
    plain = replace(two, save_steps=1, overwrite_checkpoint=True, out=job.out.with_name("plain"))
    sharded: dict[str, Any] = {"micro_batch_size": 1, "accelerate_config": str(SHIPPED["fsdp"])}
    fsdp = replace(two, **sharded, out=job.out.with_name("fsdp"))

    def kill(line: dict[str, Any]) -> None:
        if line.get("step", 0) > resumed_at:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(fsdp, kill)
    [checkpoint] = fsdp.workspace.glob(f"checkpoints/checkpoint-{resumed_at}")
    written = sum(path.stat().st_size for files in ("*.safetensors", "*.bin") for path in checkpoint.glob(files))
    shape = shape_of_folder(job.model)
    assert shape is not None
    assert written == pytest.approx(16 * shape.weights, rel=0.05)  # the weights twice: as `mr plan` counts it
    told: dict[str, list[dict[str, Any]]] = {"fsdp": [], "plain": []}
    assert train(fsdp, told["fsdp"].append).resumed_at == resumed_at
    assert train(plain, told["plain"].append).resumed_at == 0
    shares = {name: next(line["shares"] for line in lines if "shares" in line) for name, lines in told.items()}
    assert shares["fsdp"].keys() == dict(load(job.model).named_parameters()).keys()
    assert {tuple(share) for share in shares["fsdp"].values()} == {("DTensor", 2, "(Shard(dim=0),)", 0.5)}
    assert {tuple(share) for share in shares["plain"].values()} == {("Parameter",)}

    one = trained_here(job)
    with_fsdp, without = [(log(each.out), flat(load(each.out)) - flat(load(job.model))) for each in (fsdp, plain)]
    assert [line["step"] for line in with_fsdp[0]] == [*range(1, 2 * resumed_at + 1)]
    same_training(fsdp, with_fsdp, one)
    same_training(plain, without, one)
    same_training(fsdp, with_fsdp, without)
    if kind == "dpo":
        rows = pl.read_parquet(job.data).to_dicts()
        texts = [(row["prompt_token_ids"], row["chosen_token_ids"]) for row in rows]
        before = sums_of_log_probs(load(job.model), texts)
        for each in (fsdp, plain):
            found = margins(each.out)
            assert found["pair_id"].to_list() == [row["pair_id"] for row in rows], "each pair has one margin, its own"
            rewards = job.beta * (sums_of_log_probs(load(each.out), texts) - before)
            assert found["chosen_reward"].to_list() == pytest.approx(rewards.tolist(), abs=1e-5)


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
