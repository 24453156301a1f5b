"""Inside the trainer's process: what it asks of the libraries, when it saves and stops, and what ends it.

Trainings are tested by kind, with `dpo` and `sft`.
"""

import json
import math
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.training import launch
from mr_assets.training.job import TrainingJob
from mr_assets_tests.training.jobs import replace
from mr_assets_tests.training.test_checkpoints import written
from mr_assets_tests.training.test_launch import job_in, with_inputs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer() -> Any:
    """The module, with the libraries that it brings."""
    from mr_assets.training import trainer

    return trainer


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    """Ten pairs in batches of four: three steps an epoch. Three epochs are scheduled, two are trained."""
    found = replace(job_in(tmp_path), batch_size=4, micro_batch_size=1, schedule_epochs=3, keep_epoch=2)
    found.workspace.mkdir(parents=True)
    return found


PAIRS = [None] * 10


def state_at(step: int, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, is_world_process_zero=True, **more)


def metrics(job: TrainingJob) -> list[dict[str, Any]]:
    """What the launcher is told."""
    path = job.workspace / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# ------------------------------------------------------------------------------------------------ before it trains


def test_arguments_are_the_jobs(trainer: Any, tmp_path: Path) -> None:
    """A step of 32 examples on 4 processes in passes of 2: each accumulates 4. The schedule is the whole one."""
    job = replace(
        job_in(tmp_path), micro_batch_size=2, num_processes=4, schedule_epochs=10, keep_epoch=6, warmup_ratio=0.1,
        precision="bf16", seed=7,
    )  # fmt: skip
    found = trainer.arguments(job)
    assert found["gradient_accumulation_steps"] == 4 and found["per_device_train_batch_size"] == 2
    assert found["num_train_epochs"] == 10 and found["warmup_steps"] == 0.1
    assert (found["bf16"], found["seed"], found["data_seed"]) == (True, 7, 7)
    assert found["output_dir"] == str(job.workspace / "checkpoints")
    assert found["max_length"] is None, "nothing is cut"
    assert trainer.arguments(replace(job, precision="fp32"))["bf16"] is False


@pytest.mark.parametrize(
    ("named", "modules"),
    [("all-linear", "all-linear"), ("q_proj, v_proj", {"q_proj", "v_proj"}), ("o_proj", {"o_proj"})],
)
def test_adapters_are_where_the_job_names_them(trainer: Any, tmp_path: Path, named: str, modules: Any) -> None:
    job = job_in(tmp_path)
    assert trainer.adapters(job) is None
    found = trainer.adapters(replace(job, lora_r=4, lora_alpha=8.0, lora_dropout=0.3, lora_target_modules=named))
    assert (found.r, found.lora_alpha, found.lora_dropout, found.target_modules) == (4, 8.0, 0.3, modules)


def test_rows_of_a_step_are_given_the_longest_first(trainer: Any) -> None:
    """Steps of 3: rows 4, 0, 3 have 5, 9 and 7 tokens; rows 1 and 2 have 1 and 8. An epoch's order is the sampler's."""

    class Drawn(list[int]):
        def set_epoch(self, epoch: int) -> None:
            self[:] = self[epoch:] + self[:epoch]

    rows = trainer.LongestFirst(Drawn([4, 0, 3, 1, 2]), [9, 1, 8, 7, 5], 3)
    assert (len(rows), list(rows)) == (5, [0, 3, 4, 2, 1])
    rows.set_epoch(2)  # 3, 1, 2 and 4, 0
    assert list(rows) == [2, 3, 1, 0, 4]


@pytest.mark.parametrize(
    ("started", "wanted", "gpus", "said"),
    [
        (None, 1, 0, None),
        (None, 1, 8, None),
        ("2", 2, 0, None),  # on a CPU
        ("2", 2, 2, None),
        (None, 2, 0, "accelerate started 1 processes, expected num_processes = 2."),
        ("4", 2, 8, "accelerate started 4 processes, expected num_processes = 2."),
        ("2", 2, 1, "num_processes = 2: there are 1 GPUs, one is needed per process. Lower it."),
    ],
)
def test_there_are_as_many_processes_as_the_job_says(
    trainer: Any,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    started: str | None,
    wanted: int,
    gpus: int,
    said: Any,
) -> None:
    """Each with a GPU of its own where there are some."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if started is not None:
        monkeypatch.setenv("WORLD_SIZE", started)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    job = replace(job, num_processes=wanted)
    if said is None:
        trainer.check_processes(job)
        return
    with pytest.raises(UserError) as error:
        trainer.check_processes(job)
    assert str(error.value) == said


# ------------------------------------------------------------------------------------------------- while it trains


def test_it_saves_at_epochs_and_as_often_as_it_is_told_and_stops_at_the_kept_one(
    trainer: Any, job: TrainingJob
) -> None:
    """Two epochs are six steps. What is trained to the end needs no checkpoint to go on from."""

    def saves_and_stop(job: TrainingJob) -> tuple[list[int], int]:
        keeper, saves = trainer.Keeper(job, PAIRS, lambda folder: None), []
        for step in range(1, 100):
            control = SimpleNamespace(should_save=False, should_training_stop=False)
            keeper.on_step_end(None, state_at(step), control)
            saves += [step] * control.should_save
            if control.should_training_stop:
                return saves, step
        raise AssertionError("it does not stop")

    assert saves_and_stop(job) == ([3], 6)
    assert saves_and_stop(replace(job, save_steps=2)) == ([2, 3, 4], 6)
    assert saves_and_stop(replace(job, save_steps=6)) == ([3], 6)
    assert saves_and_stop(replace(job, keep_epoch=1, save_steps=1)) == ([1, 2], 3)
    assert saves_and_stop(replace(job, keep_all_epochs=True)) == ([3, 6], 9)


def test_each_epochs_model_is_kept_where_all_are(trainer: Any, job: TrainingJob) -> None:
    """In the middle of an epoch there is none."""
    kept: list[Path] = []
    for every in (False, True):
        keeper = trainer.Keeper(replace(job, keep_all_epochs=every), PAIRS, kept.append)
        for step in range(1, 10):
            keeper.on_step_end(None, state_at(step), SimpleNamespace())
    assert kept == [job.workspace / "epochs" / epoch for epoch in "123"]


@pytest.mark.parametrize("place", ["beside", "over"])
def test_a_checkpoint_is_written_beside_the_last_one_or_in_its_place(
    trainer: Any, job: TrainingJob, place: str
) -> None:
    """In its place: when the step's numbers are sound, and only if it is saved."""
    folder = written(job, 3)
    keeper = trainer.Keeper(replace(job, overwrite_checkpoint=place == "over"), PAIRS, lambda folder: None)

    def log(step: int, loss: float) -> list[str]:
        control = SimpleNamespace(should_save=step == 6)
        logs = {"loss": loss, "learning_rate": 1e-4}
        (folder / "resume").write_text("checkpoint-3")
        with suppress(trainer.NotFiniteError):
            keeper.on_log(None, state_at(step, log_history=[{}]), control, logs)
        return sorted(path.name for path in folder.iterdir())

    there = ["checkpoint-3", "resume"]
    assert log(5, 0.5) == log(6, math.nan) == there
    assert log(6, 0.5) == (there if place == "beside" else [])


def test_each_steps_metrics_are_told_and_kept_with_the_checkpoint(
    trainer: Any, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed at step 2; two steps took 10 seconds, two are left. What has no loss is none: the summary at the end."""
    clock = [100.0]
    monkeypatch.setattr("mr_assets.training.trainer.time.monotonic", lambda: clock[0])
    keeper = trainer.Keeper(job, PAIRS, lambda folder: None)
    keeper.on_train_begin(None, state_at(2), None, model=None)
    clock[0] += 10
    logs = {"loss": 0.5, "grad_norm": 1.0, "learning_rate": 1e-4}
    state = state_at(4, log_history=[{"loss": 0.6}, dict(logs)])
    keeper.on_log(None, state, None, logs)
    line = {"step": 4, "total_steps": 6, **logs, "seconds": 10.0, "seconds_left": 10.0}
    assert metrics(job) == [line]
    assert state.log_history == [{"loss": 0.6}, line]
    keeper.on_log(None, state, None, {"train_runtime": 3.0})
    assert metrics(job) == [line]


@pytest.mark.parametrize(("name", "value"), [("loss", math.nan), ("loss", math.inf), ("grad_norm", math.nan)])
def test_a_step_whose_numbers_are_none_ends_the_training(
    trainer: Any, job: TrainingJob, name: str, value: float
) -> None:
    """Before anything of it is told or saved."""
    keeper = trainer.Keeper(job, PAIRS, lambda folder: None)
    logs = {"loss": 0.5, "grad_norm": 1.0, "learning_rate": 1e-4, name: value}
    with pytest.raises(trainer.NotFiniteError) as error:
        keeper.on_log(None, state_at(4, log_history=[{}]), None, logs)
    assert str(error.value) == (
        f"{name} is {value} at step 4 of 6 (learning rate 0.0001). No model is written. Lower the learning rate, or "
        "look at the data."
    )
    assert metrics(job) == []


# --------------------------------------------------------------------------------------------- the first step of DPO


def test_how_far_the_first_rewards_may_be_off(trainer: Any, job: TrainingJob) -> None:
    """4 x 0.1 x 0.002 x sqrt(L / B): L is the mean of 8, 4, 2 and 2 tokens, 4, and there are two pairs. bf16: 0.02."""
    assert keeper_of_two(trainer, job).first_reward() == pytest.approx(0.0008 * math.sqrt(2))
    assert keeper_of_two(trainer, replace(job, precision="bf16")).first_reward() == pytest.approx(0.008 * math.sqrt(2))
    one = replace(job, batch_size=1, beta=0.2)
    assert keeper_of_two(trainer, one).first_reward() == pytest.approx(0.0016 * 2)


@pytest.mark.parametrize(
    ("off", "chosen", "rejected", "passes"),
    [
        (0.001, 0.001, -0.001, True),
        (0.0012, 0.0, 0.0, False),
        (-0.0012, 0.0, 0.0, False),
        (0.0, 0.0012, 0.0, False),
        (0.0, 0.0, -0.0012, False),
    ],
)
def test_a_first_step_that_is_further_off_ends_the_training(
    trainer: Any, job: TrainingJob, off: float, chosen: float, rejected: float, passes: bool
) -> None:
    """0.00113 are let through, of the loss and of each reward. Later steps may be anywhere; so may SFT's first."""
    logs = {"loss": math.log(2) + off, "learning_rate": 1e-4, "rewards/chosen": chosen, "rewards/rejected": rejected}

    def log(job: TrainingJob, step: int) -> None:
        keeper_of_two(trainer, job).on_log(None, state_at(step, log_history=[{}]), None, logs)

    log(job, 2)
    log(replace(job, kind="sft"), 1)
    if passes:
        log(job, 1)
        return
    with pytest.raises(UserError) as error:
        log(job, 1)
    assert str(error.value) == (
        f"loss is {math.log(2) + off:.4g}, rewards/chosen {chosen:.4g}, rewards/rejected {rejected:.4g} at step 1, "
        "expected ln 2 = 0.6931 and rewards of 0: before the first step model and reference are the same. One of them "
        f"was not loaded as it lies in {job.model}. No model is written. Look at precision and accelerate_config."
    )


def keeper_of_two(trainer: Any, job: TrainingJob) -> Any:
    """Of two pairs, with completions of 8 and 2, and of 4 and 2 tokens."""
    from datasets import Dataset

    pairs = Dataset.from_dict({"chosen_ids": [[1] * 8, [1] * 4], "rejected_ids": [[1] * 2, [1] * 2]})
    return trainer.Keeper(job, pairs, lambda folder: None)


# ------------------------------------------------------------------------------------------------------ how it ends


@pytest.fixture
def prepared(tmp_path: Path) -> TrainingJob:
    """A job whose workspace has everything."""
    job = with_inputs(job_in(tmp_path))
    launch.prepare_workspace(job)
    return job


def test_a_log_that_a_full_disk_does_not_take(trainer: Any, prepared: TrainingJob) -> None:
    """The trainer ends with what the disk says, not with a traceback; its launcher shows that."""
    log = prepared.workspace / "metrics.jsonl"
    log.unlink()
    log.symlink_to("/dev/full")

    def make(job: TrainingJob) -> Any:
        trainer.report(job, {"step": 1})

    with pytest.raises(SystemExit, match=r"error: no space left on disk while writing .*free some space"):
        trainer.main(lambda: prepared.workspace, make)


def test_a_library_that_does_not_know_of_its_full_disk(
    trainer: Any, prepared: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch says as it saves is noted only where there is room; the log has it in any case."""
    torchs = "[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0"

    def make(job: TrainingJob) -> Any:
        raise RuntimeError(torchs)

    note = prepared.workspace / "failure.txt"
    for free, said in ((0, "no space left on disk while writing"), (2**30, f"RuntimeError: {torchs}")):
        note.unlink(missing_ok=True)
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        with pytest.raises(RuntimeError, match="enforce fail"):
            trainer.main(lambda: prepared.workspace, make)
        assert note.read_text().startswith(said)


@pytest.mark.parametrize(("rank", "there"), [(None, []), ("0", []), ("1", ["checkpoint-6"])])
def test_a_half_written_checkpoint_makes_room_for_the_note_of_a_full_disk(
    trainer: Any, prepared: TrainingJob, monkeypatch: pytest.MonkeyPatch, rank: str | None, there: list[str]
) -> None:
    """By the process that names checkpoints alone: it could be naming this one while another process fails."""
    monkeypatch.setenv("WORLD_SIZE", "1")
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    folder = written(prepared, 3)
    (folder / "resume").write_text("checkpoint-3")

    def make(job: TrainingJob) -> Any:
        written(job, 6)
        raise OSError(ENOSPC, "No space left on device")

    with pytest.raises(SystemExit, match="no space left on disk"):
        trainer.main(lambda: prepared.workspace, make)
    assert "no space left on disk" in (prepared.workspace / "failure.txt").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-3", *there, "resume"]


def test_memory_that_runs_out_is_told_with_what_to_do(trainer: Any, prepared: TrainingJob) -> None:
    """The launcher shows what is noted."""
    import torch

    def make(job: TrainingJob) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    with pytest.raises(torch.OutOfMemoryError):
        trainer.main(lambda: prepared.workspace, make)
    said = (prepared.workspace / "failure.txt").read_text()
    assert "CUDA out of memory. Tried to allocate 2 GiB. Lower micro_batch_size, then max_length;" in said


def test_what_the_person_has_to_mend_is_noted_by_the_process_that_met_it_first(
    trainer: Any, prepared: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several the others only miss it: what they say later is in the log alone."""

    job = replace(prepared, num_processes=2, micro_batch_size=16)
    launch.prepare_workspace(job)

    def make(given: TrainingJob) -> Any:
        assert given == job
        raise UserError("the reference is gone.")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit, match=r"^error: the reference is gone\.$"):
            trainer.main(lambda: job.workspace, make)
    assert (job.workspace / "failure.txt").read_text() == "Process 2 of 2: the reference is gone."
