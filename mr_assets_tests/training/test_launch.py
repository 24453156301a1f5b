"""The launcher, with small children in the trainer's place: data checks, metrics, failure, and no process left over."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import psutil
import pytest

from mr_assets.errors import UserError
from mr_assets.training import launch
from mr_assets.training.job import TrainingJob
from mr_assets_tests.training.jobs import new_job, replace
from mr_assets_tests.training.test_checkpoints import written

IDS = pl.List(pl.Int32)
CHILD = """
import json, os, subprocess, sys, time
from mr_assets.training import leash
leash.follow_starter()
metrics, count, status = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# as a worker of accelerate: a session of its own, the same standard input
worker = subprocess.Popen(
    [sys.executable, "-c", "import mr_assets.training.leash as leash, time; leash.follow_starter(); time.sleep(60)"],
    start_new_session=True,
)
print("started", os.getpid(), flush=True)
for step in range(1, count + 1):
    with open(metrics, "a") as file:
        file.write('{"step": %d, ' % step)
        file.flush()
        time.sleep(0.02)
        file.write('"pids": [%d, %d]}\\n' % (os.getpid(), worker.pid))
print("Traceback: it broke" if status else "done", flush=True)
worker.kill()
sys.exit(status)
"""

ELASTIC = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
======================================================
mr_assets.training.dpo FAILED
------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-30_16:35:47
  host      : localhost
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 5713)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 5713
------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-30_16:35:46
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 5714)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 5714
======================================================
"""

PROGRAM = """
import os
from mr_assets.training import leash
workspace = leash.follow_starter()()
print("trains in", workspace)
(workspace / "metrics.jsonl").write_text('{"step": 1, "pid": %d}\\n' % os.getpid())
"""

KEEPS_ALL = """
import json
from mr_assets.training import leash
from mr_assets.training.job import TrainingJob, link_kept_epoch
workspace = leash.follow_starter()()
job = TrainingJob.read(workspace / "job.json")
lines = [json.dumps({"step": n}) + "\\n" for n in range(1, job.schedule_epochs + 1)]
for epoch in range(1, job.schedule_epochs + 1):
    folder = workspace / "epochs" / str(epoch)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(f"weights {epoch} at {job.learning_rate}")
    (folder / "reward_margins.parquet").write_text(f"margins {epoch}")
    (folder / "training_log.jsonl").write_text("".join(lines[:epoch]))
link_kept_epoch(job, workspace / "epochs")
(workspace / "metrics.jsonl").write_text("".join(lines))
"""


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    """A job on two rows; the model's folder is only looked at."""
    return with_inputs(job_in(tmp_path))


def with_inputs(job: TrainingJob) -> TrainingJob:
    """The job, whose model and data are there now."""
    model = job.model
    model.mkdir()
    (model / "config.json").write_text('{"vocab_size": 10}')
    (model / "model.safetensors").write_bytes(b"weights")
    columns = ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids")
    rows = [("1.a.actor", [1, 2], [3, 4, 9], [5]), ("1.b.actor", [1], [6], [7, 8])]
    schema = pl.Schema({"pair_id": pl.String(), **dict.fromkeys(columns, IDS)})
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(job.data)
    return job


def job_in(folder: Path) -> TrainingJob:
    return new_job(
        kind="dpo",
        model=folder / "policy",
        data=folder / "dpo.parquet",
        out=folder / "checkpoints" / "1",
        learning_rate=1e-4,
        schedule_epochs=1,
        keep_epoch=1,
        max_length=5,
    )


def child(folder: Path, count: int, status: int = 0) -> Generator[launch.Metrics, None, None]:
    """`launch.watch` on a child that writes `count` lines and ends with `status`."""
    metrics = folder / "metrics.jsonl"
    metrics.touch()
    environment = os.environ | {"PYTHONPATH": str(Path(launch.__file__).parents[2])}
    command = [sys.executable, "-c", CHILD, str(metrics), str(count), str(status)]
    log = folder / "trainer.log"
    return launch.watch(lambda: launch.start(command, environment, log), log, metrics)


def gone(pids: list[int], seconds: float = 5) -> bool:
    """Whether all processes end within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE for p in pids):
            return True
        time.sleep(0.05)
    return False


def test_every_line_arrives_once_and_whole(tmp_path: Path) -> None:
    """Lines are passed on when they are complete, in order, the last ones too."""
    assert [line["step"] for line in child(tmp_path, 7)] == [1, 2, 3, 4, 5, 6, 7]
    assert (tmp_path / "trainer.log").read_text().startswith("started")


def test_failure_shows_the_logs_tail(tmp_path: Path) -> None:
    """The caller sees the status and the last lines of what the process printed."""
    with pytest.raises(launch.TrainingFailed, match=r"status 3.*\n.*\n?Traceback: it broke"):
        list(child(tmp_path, 1, status=3))


def test_failure_shows_what_the_process_noted_of_it(tmp_path: Path) -> None:
    """In place of the log's last lines, which may be those of others that went down with it."""
    (tmp_path / "failure.txt").write_text("Process 2 of 2: it broke")
    with pytest.raises(launch.TrainingFailed) as failed:
        list(child(tmp_path, 1, status=3))
    assert str(failed.value) == (
        "the training's process ended with status 3. Process 2 of 2: it broke\n"
        f"Its whole log is {tmp_path / 'trainer.log'}."
    )


@pytest.mark.parametrize(("free", "said"), [(0, "no space left on disk while writing"), (2**30, "Traceback: it broke")])
def test_a_note_that_a_full_disk_did_not_take_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    """There was room for its file, not for a word in it. If there is room now, the log has the cause."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    (tmp_path / "failure.txt").write_text("\n")
    with pytest.raises(launch.TrainingFailed) as failed:
        list(child(tmp_path, 1, status=3))
    assert said in str(failed.value) and str(tmp_path / "trainer.log") in str(failed.value)
    assert ("(0 MiB free)" in str(failed.value)) == (free == 0)


def test_a_process_that_was_killed_is_told_as_such(tmp_path: Path) -> None:
    """As the kernel does when memory runs out: nobody could note it."""
    with pytest.raises(launch.TrainingFailed, match=r"status -9\. It was killed\. .*: lower micro_batch_size\."):
        for line in child(tmp_path, 1000):
            os.kill(line["pids"][0], signal.SIGKILL)


def test_another_signal_that_ended_a_process_is_named(tmp_path: Path) -> None:
    said = r"status -15\. It was ended by SIGTERM\. Its log .* ends:\nstarted"
    with pytest.raises(launch.TrainingFailed, match=said):
        for line in child(tmp_path, 1000):
            os.kill(line["pids"][0], signal.SIGTERM)


@pytest.mark.parametrize(("steps", "advice"), [(0, "lower num_processes"), (1, "lower micro_batch_size")])
def test_of_several_processes_the_one_that_was_killed_is_named(tmp_path: Path, steps: int, advice: str) -> None:
    """Its rank and the signal, not the launcher's lines, nor what another one noted as it missed it.

    Before the first step it is the host's memory that a smaller micro-batch does not help.
    """
    (tmp_path / "failure.txt").write_text("Process 1 of 2: RuntimeError: Connection closed by peer")
    metrics, log = tmp_path / "metrics.jsonl", tmp_path / "trainer.log"
    metrics.write_text('{"step": 1}\n' * steps)
    command = [sys.executable, "-c", f"import sys; print({ELASTIC!r}); sys.exit(1)"]
    with pytest.raises(launch.TrainingFailed) as failed:
        list(launch.watch(lambda: launch.start(command, dict(os.environ), log), log, metrics))
    said, whole = str(failed.value).splitlines()
    assert said.startswith("the training's process ended with status 1. Process 2 (rank 1) was ended by SIGKILL. ")
    assert advice in said and ("No step was made" in said) == (steps == 0)
    assert whole == f"Its whole log is {log}."


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (1, "SIGHUP"), (50, "signal 50")])
def test_a_signal_that_ended_accelerates_launcher_is_the_cause(tmp_path: Path, number: int, name: str) -> None:
    """Not torchelastic's lines, of which this is the last one; nor what a process noted as the others went."""
    (tmp_path / "failure.txt").write_text("Process 1 of 2: RuntimeError: Connection closed by peer")
    (tmp_path / "metrics.jsonl").touch()
    said = f"torch.distributed.elastic.multiprocessing.api.SignalException: Process 18422 got signal: {number}"
    command, log = [sys.executable, "-c", f"raise SystemExit({said!r})"], tmp_path / "trainer.log"
    with pytest.raises(launch.TrainingFailed) as failed:
        list(launch.watch(lambda: launch.start(command, dict(os.environ), log), log, tmp_path / "metrics.jsonl"))
    assert str(failed.value) == (
        f"the training's process ended with status 1. accelerate's launcher was ended by {name}, and with it every "
        f"process. Start again: the training goes on from its last checkpoint.\nIts whole log is {log}."
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_of_the_caller_ends_every_process(tmp_path: Path, error: type[BaseException]) -> None:
    """The child and its worker in another session are dead when the exception arrives."""
    pids: list[int] = []
    with pytest.raises(error), contextlib.closing(child(tmp_path, 1000)) as lines:
        for line in lines:
            pids = line["pids"]
            raise error
    assert len(pids) == 2
    assert gone(pids)


def test_sigkill_of_the_caller_ends_every_process(tmp_path: Path) -> None:
    """Nobody can tell the child, but its standard input closes."""
    script = (
        "import sys; from pathlib import Path; from mr_assets_tests.training.test_launch import child\n"
        "for line in child(Path(sys.argv[1]), 1000): print(*line['pids'], flush=True)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(launch.__file__).parents[2],
    )
    assert caller.stdout is not None
    pids = [int(pid) for pid in caller.stdout.readline().split()]
    assert len(pids) == 2
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    assert gone(pids)


def test_workspace_keeps_the_same_jobs_leftovers_and_no_others(job: TrainingJob) -> None:
    """A checkpoint stays for the same job and data; another rate, other data, ids or weights start afresh."""

    def leave() -> Path:
        (written(job, 3) / "resume").write_text("checkpoint-3")
        return job.workspace / "checkpoints" / "checkpoint-3"

    assert launch.prepare_workspace(job) == 2
    mark = leave()
    launch.prepare_workspace(job)
    assert mark.exists()
    launch.prepare_workspace(replace(job, learning_rate=2e-4))
    assert not mark.exists()

    launch.prepare_workspace(job)
    leave()
    pl.read_parquet(job.data).with_columns(kind=pl.lit("actor")).write_parquet(job.data)
    launch.prepare_workspace(job)
    assert mark.exists(), "the same token ids in a file written again"
    pl.read_parquet(job.data).reverse().write_parquet(job.data)
    launch.prepare_workspace(job)
    assert not mark.exists()

    leave()
    pl.read_parquet(job.data).with_columns(pl.col("pair_id").reverse()).write_parquet(job.data)
    launch.prepare_workspace(job)
    assert not mark.exists(), "the margins would be named after other pairs"

    leave()
    (job.model / "model.safetensors").write_bytes(b"other weights")
    launch.prepare_workspace(job)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"micro_batch_size": 8, "gradient_checkpointing": True, "cpu_threads": 1}, True),
        ({"save_steps": 5, "overwrite_checkpoint": True}, True),
        ({"num_processes": 2, "micro_batch_size": 16}, False),
        ({"micro_batch_size": 8, "precision": "bf16"}, False),
    ],
    ids=["speed and memory", "checkpoints", "processes", "precision"],
)
def test_leftovers_serve_a_job_that_is_only_faster_or_smaller(
    job: TrainingJob, changes: dict[str, Any], kept: bool
) -> None:
    """As after a message that says to lower micro_batch_size. Each of several processes has a part of a checkpoint."""
    launch.prepare_workspace(job)
    (job.workspace / "checkpoints").mkdir()
    changed = replace(job, **changes)
    launch.prepare_workspace(changed)
    assert (job.workspace / "checkpoints").exists() == kept
    assert TrainingJob.read(job.workspace / "job.json") == changed


def test_what_a_full_disk_cut_off_goes_before_anything_is_written(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that is not named, and a model; the checkpoint to resume from stays."""
    launch.prepare_workspace(job)
    folder = written(job, 3, 6)
    (folder / "resume").write_text("checkpoint-3")
    (job.workspace / "model").mkdir()

    def full(path: Path, data: bytes) -> int:
        raise OSError(ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        launch.prepare_workspace(job)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-3", "resume"]
    assert not (job.workspace / "model").exists()


def test_another_host_goes_on_under_another_path(job: TrainingJob, tmp_path: Path) -> None:
    """Its mount of the same storage: settings and contents are compared, and the job names the paths of now."""
    launch.prepare_workspace(job, "the fingerprint")
    (job.workspace / "checkpoints").mkdir()
    for path in tmp_path.rglob("*.safetensors"):
        os.utime(path, (0, 0))  # times are not those of the storage that was copied
    mount = tmp_path.with_name(f"{tmp_path.name}-mount")
    shutil.copytree(tmp_path, mount)
    there = {name: mount / getattr(job, name).relative_to(tmp_path) for name in ("model", "data", "out")}
    moved = replace(job, **there)
    launch.prepare_workspace(moved, "the fingerprint")
    assert (moved.workspace / "checkpoints").exists()
    assert TrainingJob.read(moved.workspace / "job.json") == moved
    launch.prepare_workspace(moved, "another model's")
    assert not (moved.workspace / "checkpoints").exists()


def test_what_an_earlier_version_left_of_a_training_is_gone_on_with(job: TrainingJob) -> None:
    """It noted the sizes and times of the starting weights, and no more of accelerate's file than its path."""
    launch.prepare_workspace(job)
    (job.workspace / "checkpoints").mkdir()
    note = job.workspace / "job.json"
    earlier = json.loads(note.read_text())
    assert earlier.pop("accelerate") is None
    for said, kept in ((earlier, True), (earlier | {"weights": {"model.safetensors": [1, 2]}}, False)):
        note.write_text(json.dumps(said))
        launch.prepare_workspace(job, "the fingerprint")
        assert (job.workspace / "checkpoints").exists() == kept


def test_accelerates_configuration_counts_by_what_it_says(job: TrainingJob, tmp_path: Path) -> None:
    """Not by where it lies."""
    files = [tmp_path / name for name in ("a.yaml", "b.yaml")]
    for file in files:
        file.write_text("mixed_precision: 'no'\n")
    first, second = (replace(job, accelerate_config=str(file)) for file in files)
    launch.prepare_workspace(first)
    (job.workspace / "checkpoints").mkdir()
    files[0].rename(files[1])
    launch.prepare_workspace(second)
    assert (job.workspace / "checkpoints").exists()
    files[1].write_text("mixed_precision: bf16\n")
    launch.prepare_workspace(second)
    assert not (job.workspace / "checkpoints").exists()


def test_a_row_that_is_too_long_is_an_error(job: TrainingJob) -> None:
    """The longest row has 2 + 3 = 5 tokens: max_length 5 takes it, 4 refuses it and says how many and how long."""
    launch.prepare_workspace(job)
    with pytest.raises(UserError, match=r"1 of 2 rows are longer than max_length = 4 tokens \(the longest has 5\)"):
        launch.prepare_workspace(replace(job, max_length=4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.head(0), "no rows"),
        (lambda data: data.drop("rejected_token_ids"), "cannot be read"),
        (lambda data: data.drop("pair_id"), "cannot be read"),
        (lambda data: data.with_columns(chosen_token_ids=pl.lit([], dtype=IDS)), "2 rows with an empty chosen"),
        (lambda data: data.with_columns(chosen_token_ids=pl.lit([10], dtype=IDS)), "has token id 10"),
    ],
    ids=["empty", "column missing", "no ids", "empty completion", "another vocabulary"],
)
def test_data_that_cannot_be_trained_on_is_an_error(job: TrainingJob, change: Any, message: str) -> None:
    """Told before a process starts."""
    change(pl.read_parquet(job.data)).write_parquet(job.data)
    with pytest.raises(UserError, match=message):
        launch.prepare_workspace(job)


def test_environment_is_free_of_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What vLLM sets in its own process would preload its libraries into ours or bind our threads."""
    names = ("LD_PRELOAD", "VLLM_CPU_KVCACHE_SPACE", "KMP_AFFINITY", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    environment = launch.trainer_environment(None)
    assert not set(names) & set(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert launch.trainer_environment(2)["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("optimizer", "loaded"), [("adamw_torch", False), ("adamw_8bit", True)])
def test_bitsandbytes_is_loaded_for_its_own_optimizer_alone(tmp_path: Path, optimizer: str, loaded: bool) -> None:
    """Whatever else asks for it, as peft does, takes it for not installed."""
    lines = (
        "from importlib.util import find_spec; from mr_assets.training.leash import follow_starter",
        "follow_starter(); print(find_spec('bitsandbytes') is not None)",
    )
    environment = launch.trainer_environment(None, optimizer=optimizer)
    launch.start([sys.executable, "-c", "\n".join(lines)], environment, tmp_path / "log").wait()
    assert (tmp_path / "log").read_text().split() == [str(loaded)]


@pytest.mark.parametrize(
    ("visible", "one", "two"),
    [
        (None, "0", None),
        ("2,3", "2", "2,3"),
        ("GPU-8932f937,GPU-01ab", "GPU-8932f937", "GPU-8932f937,GPU-01ab"),
        ("", "", ""),
    ],
)
def test_one_process_sees_one_gpu(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, one: str, two: str | None
) -> None:
    """The first of those that this process may use, whatever they are called; several processes see them all."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert launch.trainer_environment(None)["CUDA_VISIBLE_DEVICES"] == one
    assert launch.trainer_environment(None, num_processes=2).get("CUDA_VISIBLE_DEVICES") == two


def test_more_processes_than_gpus_are_refused(job: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is a workspace."""
    monkeypatch.setattr(launch, "check_model_folder", lambda folder: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with pytest.raises(UserError, match=r"num_processes = 2: CUDA_VISIBLE_DEVICES=2 leaves 1 GPUs"):
        launch.train(replace(job, num_processes=2, micro_batch_size=16))
    assert not job.workspace.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: .*No such file"),
        ("[", "cannot be read"),
        ("- FSDP", "cannot be read"),
        ("distributed_type: DEEPSPEED", "cannot be trained with.*\n.*DEEPSPEED: it saves bf16 weights"),
    ],
)
def test_an_accelerate_config_that_cannot_be_trained_with_is_refused(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, message: str
) -> None:
    """Here, too: the file may have changed since the run was launched."""
    monkeypatch.setattr(launch, "check_model_folder", lambda folder: None)
    if text is not None:
        (tmp_path / "a.yaml").write_text(text)
    wrong = replace(job, num_processes=2, micro_batch_size=16, accelerate_config=str(tmp_path / "a.yaml"))
    with pytest.raises(UserError, match=message):
        launch.train(wrong)
    assert not job.workspace.exists()


def test_one_process_runs_directly_and_several_through_accelerate(job: TrainingJob) -> None:
    """The same script and workspace either way."""
    assert launch.trainer_command(job)[1:] == ["-m", "mr_assets.training.dpo", str(job.workspace)]
    job = replace(job, micro_batch_size=4)
    several = launch.trainer_command(replace(job, num_processes=2, accelerate_config="fsdp.yaml"))
    assert several[1:4] == ["-m", "accelerate.commands.launch", "--num_processes=2"]
    assert several[4:7] == ["--mixed_precision=no", "--dynamo_backend=no", "--config_file=fsdp.yaml"]
    assert several[7:] == launch.trainer_command(job)[1:]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small program in place of every trainer; none waits before the test or after it."""
    launch.end_ahead()
    monkeypatch.setattr(launch, "trainer_program", lambda kind: [sys.executable, "-c", f"kind = {kind!r}\n{PROGRAM}"])
    yield
    launch.end_ahead()


def pid_of_training(job: TrainingJob) -> int:
    """Train, as `launch.train` does; the id of the process that did."""
    launch.prepare_workspace(job)
    log = job.workspace / "trainer.log"
    [line] = launch.watch(lambda: launch.trainer_of(job, log), log, job.workspace / "metrics.jsonl")
    assert log.read_text() == f"trains in {job.workspace}\n"
    pid: int = line["pid"]
    return pid


def pid_ahead() -> int:
    """The id of the trainer that waits."""
    process = launch.waiting_trainer()
    assert process is not None
    return process.pid


@pytest.mark.usefixtures("programs")
def test_a_trainer_that_waits_is_told_its_job_and_serves_once(job: TrainingJob) -> None:
    """It trains in the job's workspace and its output is in the log there; the next training has another process."""
    launch.start_ahead(None)
    ahead = pid_ahead()
    launch.start_ahead(None)
    assert pid_ahead() == ahead
    assert pid_of_training(job) == ahead
    assert launch.waiting_trainer() is None
    assert pid_of_training(job) != ahead


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("other", ["kind", "threads", "environment", "processes"])
def test_a_trainer_that_would_have_been_started_otherwise_is_ended(
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    other: Any,
) -> None:
    """Of another kind, for other threads, under another run's mark, or one where several are wanted."""
    launch.start_ahead(2 if other == "threads" else None)
    ahead = pid_ahead()
    if other == "environment":
        monkeypatch.setenv("MR_DAGSTER_RUN", "another run")
    if other == "kind":
        pl.read_parquet(job.data).rename({"chosen_token_ids": "completion_token_ids"}).write_parquet(job.data)
        job = replace(job, kind="sft")
    if other == "processes":
        several = [sys.executable, "-u", "-c", PROGRAM]  # in accelerate's place
        monkeypatch.setattr(launch, "trainer_command", lambda job: [*several, str(job.workspace)])
    assert pid_of_training(job) != ahead
    assert gone([ahead])


@pytest.mark.usefixtures("programs")
def test_a_trainer_that_ended_before_its_job_came_is_replaced(job: TrainingJob) -> None:
    """As when it was killed for its memory."""
    launch.start_ahead(None)
    ahead = pid_ahead()
    os.kill(ahead, signal.SIGKILL)
    assert gone([ahead])
    assert pid_of_training(job) != ahead
    launch.start_ahead(None)
    os.kill(pid_ahead(), signal.SIGKILL)
    assert gone([pid_ahead()])
    launch.start_ahead(None)
    assert not gone([pid_ahead()], seconds=0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("programs")
def test_the_error_of_a_trainer_that_fails_after_it_was_told_is_told(
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was loading still when its job came, and what it says of that is in the job's log."""
    program = "from mr_assets.training.leash import follow_starter as d; d(); import time; time.sleep(1); import gone"
    monkeypatch.setattr(launch, "trainer_program", lambda kind: [sys.executable, "-c", program])
    launch.start_ahead(None)
    time.sleep(0.5)
    with pytest.raises(launch.TrainingFailed, match="No module named 'gone'"):
        pid_of_training(job)


@pytest.mark.slow
def test_sigkill_of_the_caller_ends_the_trainer_that_waits() -> None:
    """As it ends one that trains."""
    script = (
        "import sys; from mr_assets.training import launch; from mr_assets_tests.training.test_launch import *\n"
        "launch.trainer_program = lambda kind: [sys.executable, '-c', PROGRAM]\n"
        "launch.start_ahead(None); print(pid_ahead(), flush=True); time.sleep(60)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(launch.__file__).parents[2]
    )
    assert caller.stdout is not None
    ahead = int(caller.stdout.readline())
    assert not gone([ahead], seconds=0.5)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert gone([ahead])


def test_a_finished_model_replaces_the_old_one_and_the_workspace_goes(job: TrainingJob) -> None:
    """Nothing of the old folder is left, nothing of the workspace either."""
    launch.prepare_workspace(job)
    job.out.mkdir()
    (job.out / "old.safetensors").touch()
    with pytest.raises(launch.TrainingFailed, match="without a model"):
        launch.install_model(job)
    assert (job.out / "old.safetensors").exists()
    model = job.workspace / "model"
    model.mkdir()
    (model / "training_log.jsonl").write_text(json.dumps({"step": 1}))
    launch.install_model(job)
    assert [path.name for path in job.out.iterdir()] == ["training_log.jsonl"]
    assert not job.workspace.exists()


@pytest.mark.parametrize("moment", ["the old one is aside", "the new one is there", "data are removed"])
def test_a_kill_while_the_model_takes_its_place_is_gone_on_from(job: TrainingJob, moment: str) -> None:
    """Whatever is left, there is a whole model in its place, data to train on, and room for the next model."""
    launch.prepare_workspace(job)
    job.workspace.joinpath("replaced").mkdir()
    (job.workspace / "replaced" / "old.safetensors").touch()
    (job.workspace / "checkpoints").mkdir()
    if moment != "the old one is aside":
        job.out.mkdir()
        (job.out / "new.safetensors").touch()
    if moment == "data are removed":
        (job.workspace / "data.arrow").unlink()
    launch.prepare_workspace(job)
    there = "old" if moment == "the old one is aside" else "new"
    assert [path.name for path in job.out.iterdir()] == [f"{there}.safetensors"]
    assert (job.workspace / "checkpoints").exists()
    assert (job.workspace / "data.arrow").stat().st_size > 0
    model = job.workspace / "model"
    model.mkdir()
    (model / "training_log.jsonl").touch()
    launch.install_model(job)
    assert [path.name for path in job.out.iterdir()] == ["training_log.jsonl"]


def trains_with_small_program(patch: pytest.MonkeyPatch) -> None:
    launch.end_ahead()
    patch.setattr(launch, "trainer_program", lambda kind: [sys.executable, "-c", KEEPS_ALL])
    patch.setattr(launch, "check_model_folder", lambda folder: None)


def every_epoch_in(folder: Path) -> TrainingJob:
    return replace(job_in(folder), keep_all_epochs=True, schedule_epochs=2, keep_epoch=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that was trained: two steps, one each in two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        trains_with_small_program(patch)
        assert steps_trained(with_inputs(every_epoch_in(folder))) == [1, 2]
    return folder


@pytest.fixture
def every_epoch(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingJob:
    """The trained job in a folder of its own: all epochs were kept, and the second is the result."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    trains_with_small_program(monkeypatch)
    return every_epoch_in(tmp_path)


def steps_trained(job: TrainingJob, code: str = "") -> list[int]:
    """The steps that `launch.train` had to train."""
    told: list[launch.Metrics] = []
    result = launch.train(job, told.append, code=code)
    assert not job.workspace.exists()
    assert (result.steps, result.last) == (job.keep_epoch, {"step": job.keep_epoch})
    weights = (job.out / "model.safetensors").read_text()
    assert weights == f"weights {job.keep_epoch} at {job.learning_rate}"
    return [line["step"] for line in told if "step" in line]


def test_another_epoch_that_was_kept_is_taken_without_training(every_epoch: Any) -> None:
    """Any of them, as often as one likes, with margins and log. The same data in a new file is the same."""
    first = replace(every_epoch, keep_epoch=1)
    assert steps_trained(first) == []
    assert (first.out / "reward_margins.parquet").read_text() == "margins 1"
    assert (first.out / "training_log.jsonl").read_text() == '{"step": 1}\n'
    pl.read_parquet(first.data).with_columns(kind=pl.lit("actor")).write_parquet(first.data)
    assert steps_trained(every_epoch) == []
    assert steps_trained(first) == []


def test_a_caller_that_ends_leaves_the_old_result(every_epoch: Any) -> None:
    """As in a training."""

    def end(line: launch.Metrics) -> None:
        raise KeyboardInterrupt

    first = replace(every_epoch, keep_epoch=1)
    with pytest.raises(KeyboardInterrupt):
        launch.train(first, end)
    assert (first.out / "model.safetensors").read_text().startswith("weights 2")
    assert steps_trained(first) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 2e-4), ("schedule_epochs", 3), ("seed", 1), ("beta", 0.2), ("batch_size", 64)],
)
def test_epochs_of_another_training_are_not_taken(every_epoch: Any, name: str, value: Any) -> None:
    """Any other setting."""
    assert 1 in steps_trained(replace(every_epoch, keep_epoch=1, **{name: value}))


@pytest.mark.parametrize(
    "change",
    [
        lambda job: pl.read_parquet(job.data).reverse().write_parquet(job.data),
        lambda job: (job.model / "model.safetensors").write_bytes(b"seventh"),
        lambda job: shutil.rmtree(job.out),
        lambda job: shutil.rmtree(job.out / "epochs" / "1"),
        lambda job: (job.out / "epochs" / "1" / "model.safetensors").write_bytes(b"weig"),
        lambda job: (job.out / "epochs" / "1" / "model.safetensors").write_text("weights 3 at 0.0001"),
        lambda job: (job.out / "epochs" / "1" / "reward_margins.parquet").unlink(),
        lambda job: (job.out / "epochs" / "1" / "training_log.jsonl").unlink(),
        lambda job: (job.out / "epochs" / "1" / "training_job.json").unlink(),
        lambda job: (job.out / "epochs" / "1" / "training_job.json").write_text("[1"),
        lambda job: (job.out / "epochs" / "1" / "training_job.json").write_text("[]"),
    ],
    ids=[
        *("data", "starting model", "no result", "no epoch", "cut off", "other weights", "no margins", "no log"),
        *("no note", "broken note", "another's note"),
    ],
)
def test_an_epoch_that_is_not_whole_or_not_this_trainings_is_not_taken(every_epoch: Any, change: Any) -> None:
    """It is trained as if nothing had been kept."""
    first = replace(every_epoch, keep_epoch=1)
    change(first)
    assert steps_trained(first) == [1, 2]
    assert steps_trained(every_epoch) == []


def test_epochs_of_other_code_are_not_taken(every_epoch: Any) -> None:
    """The record would name code that has not trained them."""
    assert steps_trained(replace(every_epoch, keep_epoch=1), "newer") == [1, 2]
    assert steps_trained(every_epoch, "newer") == []


def test_epochs_that_a_training_without_keep_all_epochs_would_drop_are_not_taken(every_epoch: Any) -> None:
    """The setting is one of the training's."""
    assert steps_trained(replace(every_epoch, keep_epoch=1, keep_all_epochs=False)) == [1, 2]
