"""Start a training in a process of its own, pass its metrics on, and end it with its caller.

    result = train(job, on_metrics=lambda line: log.info(f"step {line['step']}/{line['total_steps']}"))

A metrics line: ``{"step": 12, "total_steps": 60, "epoch": 0.4, "loss": 0.61, "learning_rate": 4.9e-06, "grad_norm":
1.8, "rewards/chosen": 0.02, "rewards/rejected": -0.11, "rewards/margins": 0.13, "rewards/accuracies": 0.69, ...,
"seconds": 8.1, "seconds_left": 32.4}``. SFT has no rewards. While a kept model's reward margins are computed, a line
says of how many pairs they are known: ``{"pairs": 128, "total_pairs": 240}``. Where an earlier training with
`keep_all_epochs` left the epoch that is to be kept, nothing is trained, and the one line says which folder was taken:
``{"kept_epoch": 1, "folder": ".../checkpoints/2/epochs/1"}``.

A trainer loads its libraries for some seconds. `start_ahead` has it do that while this process is busy otherwise.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import yaml

from mr_assets.errors import UserError
from mr_assets.files import full_disk, write_json
from mr_assets.loop import WITHOUT_LORA
from mr_assets.model_folder import check_model_folder
from mr_assets.processes import killed
from mr_assets.section import speed_fields
from mr_assets.training.accelerate_config import accelerate_faults
from mr_assets.training.checkpoints import remove_others
from mr_assets.training.job import EPOCH_NOTE, EPOCHS, FAILURE, PLACES, Kind, TrainingJob, link_kept_epoch
from mr_assets.training.leash import LOG, OMITTED
from mr_assets.training.log import LOG as STEPS
from mr_assets.training.margins import MARGINS
from mr_assets.training.settings import TrainingSettings

Metrics = dict[str, Any]
POLL_SECONDS = 0.1
REPLACED = "replaced"
FREE_TO_CHANGE = {*speed_fields(TrainingSettings)} - {"num_processes"}
"""Settings with which a checkpoint of other ones is gone on with; of several processes, each has a part of its own."""
_CODE = Path(__file__).parents[2]
# vLLM preloads libraries and binds threads through its process's environment; a rank of another job is not ours.
_NOT_INHERITED = (
    *("LD_PRELOAD", "VLLM_", "OMP_", "KMP_", "GOMP_", "TORCHINDUCTOR_"),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ACCELERATE_"),
)


class TrainingFailed(Exception):
    """The training's process ended without a model. The message holds the end of its log."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: the model folder, and the metrics of the kept epoch's last optimizer step."""

    out: Path
    rows: int  # training examples
    steps: int  # optimizer steps up to the kept epoch
    resumed_at: int  # step of the checkpoint that this call started from; 0 is from the beginning, `steps`: none ran
    seconds: float  # this call's wall time
    last: Metrics


def train(
    job: TrainingJob, on_metrics: Callable[[Metrics], None] = lambda line: None, *, code: str = "", start: str = ""
) -> TrainingResult:
    """Train `job`, in as many attempts as it takes: a later call with the same job and data resumes.

    That call may come from another host, to which the same storage has another path: what is compared are settings
    and contents. `start` is the starting model's fingerprint; without one its weights' sizes and times stand for it.

    If ``job.out`` has the epoch to keep already, from this training with another `keep_epoch`, it is taken from there.
    `code` is the version of the code that trains: what another one trained is not taken.

    When it returns, ``job.out`` is a whole model folder and the workspace is gone. When it raises, ``job.out`` is what
    it was before. An exception of `on_metrics`, or an interrupt, ends the training's processes; checkpoints stay.

    Raises `UserError` if model or data cannot be trained on, `TrainingFailed` if the process fails.
    """
    started = time.monotonic()
    check_model_folder(job.model)
    _check_processes(job)
    rows = prepare_workspace(job, start)
    steps = job.steps_per_epoch(rows) * job.keep_epoch
    if _has_kept_epoch(job, code):
        link_kept_epoch(job, job.out / EPOCHS)
        on_metrics({"kept_epoch": job.keep_epoch, "folder": str(job.out / EPOCHS / str(job.keep_epoch))})
        first = steps
    else:
        first = _run(job, on_metrics)
        _note_epochs(job, code)
    install_model(job)
    lines = (job.out / STEPS).read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1]) if lines else {}
    return TrainingResult(job.out, rows, steps, first, time.monotonic() - started, last)


def _check_processes(job: TrainingJob) -> None:
    """Raise `UserError` for several processes that could not work, or would train something wrong."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible and job.num_processes > (gpus := len(visible.split(","))):
        raise UserError(
            f"num_processes = {job.num_processes}: CUDA_VISIBLE_DEVICES={visible} leaves {gpus} GPUs, and each process "
            "needs one. Lower num_processes, or let this process see more GPUs."
        )
    if job.accelerate_config is not None:
        try:
            config = yaml.safe_load(Path(job.accelerate_config).read_text(encoding="utf-8"))
            faults = list(accelerate_faults(job, config))
        except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise UserError(f"accelerate_config {job.accelerate_config} cannot be read: {error}. Mend it.") from error
        if faults:
            said = f"accelerate_config {job.accelerate_config} cannot be trained with. Mend it, or the recipe."
            raise UserError("\n  - ".join([said, *faults]))


def _run(job: TrainingJob, on_metrics: Callable[[Metrics], None]) -> int:
    """Train in a process of its own; returns the step of the checkpoint that it started from, 0 without one."""
    log, first = job.workspace / LOG, None
    with closing(watch(lambda: trainer_of(job, log), log, job.workspace / "metrics.jsonl")) as stream:
        for line in stream:
            if first is None and "step" in line:
                first = line["step"] - 1
            on_metrics(line)
    return first or 0


def _has_kept_epoch(job: TrainingJob, code: str) -> bool:
    """Whether ``job.out`` has the whole folder of the epoch to keep, of this training but for `keep_epoch`."""
    if not job.keep_all_epochs:
        return False
    folder = job.out / EPOCHS / str(job.keep_epoch)
    noted = _read(folder / EPOCH_NOTE)  # None: it was not kept, or nobody knows of what training it is
    files = _epoch_files(folder)
    whole = STEPS in files and (MARGINS in files or job.kind != "dpo")
    if not whole or not isinstance(noted, dict) or noted.get("files") != files:
        return False
    return _same(noted.get("of"), _of_any_epoch(job, code), job)


def _note_epochs(job: TrainingJob, code: str) -> None:
    """Note in the folder of each epoch in the result of what training it is, and of what files it is made."""
    for folder in (job.workspace / "model" / EPOCHS).glob("*"):
        write_json(folder / EPOCH_NOTE, {"of": _of_any_epoch(job, code), "files": _epoch_files(folder)})


def _epoch_files(folder: Path) -> dict[str, list[int]]:
    """The files of an epoch's folder without the note."""
    return {name: seen for name, seen in _files(folder).items() if name != EPOCH_NOTE}


def _of_any_epoch(job: TrainingJob, code: str) -> dict[str, Any]:
    """What the workspace was made for, whatever epoch is kept, and the code that trains."""
    identity: dict[str, Any] = json.loads((job.workspace / "job.json").read_text(encoding="utf-8"))
    settings = {name: value for name, value in identity["job"].items() if name != "keep_epoch"}
    return identity | {"job": settings, "code": code}


def _same(noted: Any, wanted: dict[str, Any], job: TrainingJob) -> bool:
    """Whether a note is of the wanted training, wherever model, data and result lay and however fast it was.

    So what was killed for want of memory goes on with smaller micro-batches. Earlier versions noted sizes and times of
    the starting weights, and nothing of LoRA or of what accelerate's file says.
    """
    if not isinstance(noted, dict) or not isinstance(noted.get("job"), dict):
        return False
    weights = _weights(job) if isinstance(noted.get("weights"), dict) else wanted["weights"]
    told = {"accelerate": wanted["accelerate"]} | noted | {"job": WITHOUT_LORA | noted["job"]}
    return _telling(told) == _telling(wanted | {"weights": weights})


def _telling(identity: dict[str, Any]) -> dict[str, Any]:
    """An identity without the paths of its job, and without what a checkpoint can be gone on with otherwise."""
    untold = PLACES | FREE_TO_CHANGE
    return identity | {"job": {name: value for name, value in identity["job"].items() if name not in untold}}


def _weights(job: TrainingJob) -> dict[str, list[int]]:
    return _files(job.model, "*.safetensors")


def _files(folder: Path, pattern: str = "*") -> dict[str, list[int]]:
    """Size and time of each file in `folder`: they stand for a content that would take minutes to hash."""
    return {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.glob(pattern))}


def prepare_workspace(job: TrainingJob, start: str = "") -> int:
    """Check the data and make the workspace ready, keeping what the same job left; returns the number of rows.

    start: see `train`.
    """
    data = _read_data(job)
    buffer = data.write_ipc_stream(None, compat_level=pl.CompatLevel.oldest()).getvalue()
    accelerate = Path(job.accelerate_config).read_bytes() if job.accelerate_config else None
    identity = {
        "job": job.to_dict(),
        "data": blake2b(buffer).hexdigest(),
        "weights": start or _weights(job),
        "accelerate": blake2b(accelerate).hexdigest() if accelerate is not None else None,
    }
    recorded = job.workspace / "job.json"
    if not _same(_read(recorded), identity, job):
        shutil.rmtree(job.workspace, ignore_errors=True)
        job.workspace.mkdir(parents=True, exist_ok=True)
    remove_others(job)  # what was cut off while it was written goes first: it may be what fills the disk
    shutil.rmtree(job.workspace / "model", ignore_errors=True)
    replaced = job.workspace / REPLACED  # by an attempt that was killed as it put the new model in its place
    if replaced.exists() and not job.out.exists():
        replaced.rename(job.out)
    shutil.rmtree(replaced, ignore_errors=True)
    (job.workspace / "data.arrow").write_bytes(buffer)
    write_json(recorded, identity)  # with the paths of this host
    for name in ("metrics.jsonl", LOG):
        (job.workspace / name).write_bytes(b"")
    (job.workspace / FAILURE).unlink(missing_ok=True)
    return data.height


def _read(note: Path) -> Any:
    """What a JSON file says; None if there is none that can be read."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_data(job: TrainingJob) -> pl.DataFrame:
    """The columns of ids and of token ids; `UserError` if one is missing, empty or too long."""
    try:
        data = pl.read_parquet(job.data, columns=[*job.ids, *job.columns], glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"training data {job.data} cannot be read: {error}. Materialize it again.") from error
    if data.is_empty():
        raise UserError(f"training data {job.data} has no rows, so there is nothing to train on.")
    prompt, *completions = job.columns
    for name in job.columns:
        if empty := data.select((pl.col(name).list.len().fill_null(0) == 0).sum()).item():
            raise UserError(f"training data {job.data}: {empty} rows with an empty {name}. Leave them out upstream.")
    vocabulary = json.loads((job.model / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    largest = data.select(pl.max_horizontal(pl.col(job.columns).list.max()).max()).item()
    if vocabulary and largest >= vocabulary:
        raise UserError(
            f"training data {job.data} has token id {largest}, but the vocabulary of {job.model} has {vocabulary}. "
            "The data was made with another model's tokenizer: materialize it again."
        )
    lengths = pl.max_horizontal(pl.col(prompt).list.len() + pl.col(name).list.len() for name in completions)
    longest, count = data.select(lengths.max(), (lengths > job.max_length).sum().alias("count")).row(0)
    if count:
        raise UserError(
            f"training data {job.data}: {count} of {data.height} rows are longer than max_length = {job.max_length} "
            f"tokens (the longest has {longest}). Leave them out upstream or raise max_length; nothing is cut."
        )
    return data


def start_ahead(cpu_threads: int | None, optimizer: str = "adamw_torch") -> None:
    """Start a DPO trainer that loads its libraries and waits: `train` takes it for the next such job on one device.

    There is one at a time, and it does not outlive this process. It holds some 0.6 GB and, on a GPU, nothing there.
    """
    global _ahead
    environment = trainer_environment(cpu_threads, optimizer=optimizer)
    if _ahead is None or _ahead.environment != environment or _ahead.process.poll() is not None:
        end_ahead()
        _ahead = _Ahead(environment, start(trainer_program("dpo"), environment, None))


def end_ahead() -> None:
    """End the trainer that waits, if there is one."""
    global _ahead
    if _ahead is not None:
        _kill(_ahead.process)
        _ahead = None


class _Ahead(NamedTuple):
    environment: dict[str, str]
    process: subprocess.Popen[bytes]


_ahead: _Ahead | None = None


def waiting_trainer() -> subprocess.Popen[bytes] | None:
    """The process of the trainer that waits for its job."""
    return _ahead.process if _ahead else None


def trainer_of(job: TrainingJob, log: Path) -> subprocess.Popen[bytes]:
    """The waiting trainer, told of its job, if command and environment match; else a new one."""
    global _ahead
    command = trainer_command(job)
    environment = trainer_environment(job.cpu_threads, job.num_processes, job.optimizer)
    ahead, _ahead = _ahead, None
    if ahead is not None:
        if command == [*trainer_program("dpo"), str(job.workspace)] and environment == ahead.environment:
            with suppress(BrokenPipeError):  # it has ended, whatever the reason: a new one will tell
                assert ahead.process.stdin is not None
                ahead.process.stdin.write(json.dumps(str(job.workspace)).encode() + b"\n")
                return ahead.process
        _kill(ahead.process)
    return start(command, environment, log)


def start(command: Sequence[str], environment: dict[str, str], log: Path | None) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own. Its output is added to `log`; None: it goes nowhere."""
    with Path(log or os.devnull).open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            bufsize=0,
            stdin=subprocess.PIPE,  # its closing tells every process of the training that we are gone
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def trainer_program(kind: Kind) -> list[str]:
    """The command of a trainer, without its workspace."""
    return [sys.executable, "-m", f"mr_assets.training.{kind}"]


def trainer_command(job: TrainingJob) -> list[str]:
    """The command that trains `job`: the trainer itself, or accelerate with several of it."""
    python, *script = [*trainer_program(job.kind), str(job.workspace)]
    if job.num_processes == 1:
        return [python, *script]
    launcher = [python, "-m", "accelerate.commands.launch", f"--num_processes={job.num_processes}"]
    launcher += ["--mixed_precision=no", "--dynamo_backend=no"]  # in a file an unquoted no is false, which it refuses
    if job.accelerate_config:
        launcher.append(f"--config_file={job.accelerate_config}")
    else:
        launcher += ["--multi_gpu", "--num_machines=1"]
    return [*launcher, *script]


def trainer_environment(
    cpu_threads: int | None, num_processes: int = 1, optimizer: str = "adamw_torch"
) -> dict[str, str]:
    """This process's environment, without what an engine that ran here put into it; offline and quiet.

    A single process sees the first of the visible GPUs alone: of several, TRL would share each batch out to all.

    OpenMP's threads sleep while they wait: spinning ones made a step ten times slower when the cores were shared. The
    allocator keeps freed memory: that halves the page faults on a CPU, a twentieth of the time.

    bitsandbytes, where it is installed, is loaded for its own optimizer alone: peft loads it in any case, and with it
    torch's compiler, a sixth of a trainer's start.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    ours |= {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_CODE), os.environ.get("PYTHONPATH")])),
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
        "MALLOC_MMAP_THRESHOLD_": str(2**25),
    }
    if optimizer != "adamw_8bit":
        ours[OMITTED] = "bitsandbytes"
    if cpu_threads:
        ours["OMP_NUM_THREADS"] = str(cpu_threads)
    if num_processes == 1:
        ours["CUDA_VISIBLE_DEVICES"] = ours.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return ours


def watch(started: Callable[[], subprocess.Popen[bytes]], log: Path, metrics: Path) -> Generator[Metrics, None, None]:
    """Yield the JSON lines that come to `metrics` while the process lives that `started` returns, as `start` makes it.

    However the loop ends, the process's whole group is dead afterwards. Raises `TrainingFailed` if the exit status is
    not 0: with what the process that failed first wrote of it beside `log`, else with the disk that is full, else with
    the tail of `log`.
    """
    process = started()
    position = steps = 0
    try:
        running = True
        while running:
            running = process.poll() is None
            with metrics.open("rb") as file:
                file.seek(position)
                for line in file:
                    if line.endswith(b"\n"):
                        position += len(line)
                        told: Metrics = json.loads(line)
                        steps += "step" in told
                        yield told
            if running:
                time.sleep(POLL_SECONDS)
    finally:
        _kill(process)
    if process.returncode:
        raise TrainingFailed(_failure(process.returncode, log, steps))


def _failure(status: int, log: Path, steps: int) -> str:
    """Why a training failed, in words.

    steps: those that were made. Of several processes, the first one that a signal ended is the cause, whatever the
    others noted: they only miss it.
    """
    ended = f"the training's process ended with status {status}."
    text = log.read_text(encoding="utf-8", errors="replace")
    if cause := _signalled(text, steps) or _noted(log.with_name(FAILURE)) or full_disk(log.parent):
        return f"{ended} {cause}\nIts whole log is {log}."
    if status == -signal.SIGKILL:
        why = f" It was killed.{_killed(steps, False)}"
    else:
        why = f" It was ended by {_name(-status)}." if status < 0 else ""
    return f"{ended}{why} Its log {log} ends:\n" + "\n".join(text.splitlines()[-25:])


def _noted(failure: Path) -> str:
    """What the process that failed first noted; "" if it could not, as on a full disk, where the file may be empty."""
    return failure.read_text(encoding="utf-8", errors="replace").strip() if failure.exists() else ""


def _signalled(text: str, steps: int) -> str:
    """Which of several processes, or whether accelerate's launcher of them, a signal ended first; "" if none.

    text: the log, in which torchelastic says so.
    """
    if (number := _LAUNCHER_SIGNALLED.search(text)) is not None:
        return (
            f"accelerate's launcher was ended by {_name(int(number[1]))}, and with it every process. Start again: the "
            "training goes on from its last checkpoint."
        )
    if (found := _SIGNALLED.search(text)) is None:
        return ""
    rank, by = int(found["rank"]), found["signal"]
    return f"Process {rank + 1} (rank {rank}) was ended by {by}.{_killed(steps, True) if by == 'SIGKILL' else ''}"


# What torchelastic prints of the process that failed first, two lines among others:
#   rank      : 1 (local_rank: 1)
#   exitcode  : -9 (pid: 5714)  (SIGKILL)
_SIGNALLED = re.compile(
    r"Root Cause \(first observed failure\):.*?rank\s*: (?P<rank>\d+) [^\n]*\n"
    r"\s*exitcode\s*: -\d+ [^\n]*\((?P<signal>SIG\w+)\)",
    re.DOTALL,
)

# And of the launcher itself.
_LAUNCHER_SIGNALLED = re.compile(r"^torch\.distributed\..*SignalException: Process \d+ got signal: (\d+)", re.MULTILINE)


def _name(number: int) -> str:
    """What a signal is called."""
    return next((each.name for each in signal.Signals if each == number), f"signal {number}")


def _killed(steps: int, several: bool) -> str:
    """What to do about a process that somebody killed, as a machine does that runs out of memory."""
    if steps:
        return killed(": lower micro_batch_size.")
    fewer = "lower num_processes, each of which loads the whole model, " if several else ""
    return killed(f". No step was made: the models were being loaded. To do: {fewer}free some, or take a larger one.")


def _kill(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def install_model(job: TrainingJob) -> None:
    """Put the finished model in the place of `out`; what was there goes only when the new one is whole."""
    model = job.workspace / "model"
    if not (model / STEPS).is_file():
        raise TrainingFailed(f"the training's process ended without a model in {model}.")
    if job.out.exists():
        job.out.rename(job.workspace / REPLACED)
    model.rename(job.out)
    (job.workspace / "job.json").unlink()  # a kill while the rest is removed leaves nothing to go on with
    shutil.rmtree(job.workspace)
