"""Runs by the command that a person types, with the real engine and trainer, for the slow tests.

The engine and the trainers get one thread each. Two threads that wait for each other spin, and beside anything else on
the same two cores that turns a minute into twenty.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import psutil

V = TypeVar("V")
Row = dict[str, Any]

PROJECT = Path(__file__).parents[1]
PATIENCE = 900  # seconds until a minute of work counts as hung: a busy machine is no bug
ONE_THREAD = ("sft.cpu_threads=1", "dpo.cpu_threads=1")
SMALL = (  # one iteration of the default recipe, in which every kind of drop has a chance to occur
    *ONE_THREAD,
    "prompts.count=80",
    "eft.examples=64",
    "iterations.all.prompts=20",
    "iterations.all.rho=0.32",
    "iterations.all.max_chosen_chars=40",
    "iterations.all.max_chosen_judgment_chars=85",
    "responses.k=4",
    "responses.max_tokens=18",
    "judgments.n=5",
    "judgments.max_tokens=30",
    "engine.shard_size=64",
    "engine.max_num_seqs=64",
    "dpo.batch_size=8",
    "dpo.micro_batch_size=8",
    "evaluation={prompts: 8, samples: 1, judged_responses: 12, battles: 8}",
    "human_agreement={prompts: 6, n: 2}",
    "labelled_pairs={source: world, pairs: 6, n: 1, pairwise: true}",
)
ONE_ITERATION = (
    *("run", "small_world_meta_rewarding", "--iterations", "1"),
    *(part for field in SMALL for part in ("--set", field)),
)
# Python imports a module named sitecustomize at its start. It notes every prompt that vLLM itself is given. And it lets
# Dagster's history not wait for the disk, ten times at each of an iteration's 280 events: tests outlive no power cut.
RECORDER = """
import json, os, sqlite3
from mr_assets.sampling import engine

connect = sqlite3.dbapi2.connect

def unwaiting(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.execute("PRAGMA synchronous=OFF")
    return connection

sqlite3.dbapi2.connect = unwaiting

start = engine.start_engine

def recorded(folder, settings, log):
    llm, device = start(folder, settings, log)
    add_request = llm.add_request
    def add(request_id, prompt, *args, **kwargs):
        with open(os.environ["ENGINE_PROMPTS"], "a") as file:
            file.write(json.dumps([request_id, list(prompt["prompt_token_ids"])]) + "\\n")
        return add_request(request_id, prompt, *args, **kwargs)
    llm.add_request = add
    return llm, device

engine.start_engine = recorded
"""
UNLESS_IT_ONLY_WAITS = """
import sys

if not any("watch_orphans" in argument for argument in sys.orig_argv):  # Dagster's, two for each step
    import recorder
"""


def environment(data: Path) -> dict[str, str]:
    """The environment of a command that writes to `data`; the engine's prompts go to `data`/engine_prompts.jsonl.

    The commands of this Python's own environment are not on its PATH, as for whoever types `make ui`.
    """
    own = str(Path(sys.executable).parent) if sys.prefix != sys.base_prefix else None
    recorder = data / "recorder"
    recorder.mkdir(parents=True, exist_ok=True)
    (recorder / "recorder.py").write_text(RECORDER)
    (recorder / "sitecustomize.py").write_text(UNLESS_IT_ONLY_WAITS)
    inherited = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
    return inherited | {
        "PATH": os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != own),
        "MR_DATA": str(data),
        "ENGINE_PROMPTS": str(data / "engine_prompts.jsonl"),
        "PYTHONPATH": os.pathsep.join([str(recorder), str(PROJECT)]),
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }


@contextmanager
def started(
    data: Path, *arguments: str, module: str = "mr_assets.cli", log: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m <module>`` with `arguments`, in a process group of its own that does not outlive the block.

    What it prints goes to its `stdout`, which is a file; `log` names it where several commands work at a time.
    """
    command = [sys.executable, "-m", module, *arguments]
    with in_a_group(command, data.parent / f"{log or data.name}.log", environment(data), data) as process:
        yield process


@contextmanager
def in_a_group(
    command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The same of any command, which prints to `log`."""
    with log.open("w+b") as output:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
        process.stdout = output
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def printed(process: subprocess.Popen[bytes]) -> str:
    """What a started command has printed up to now."""
    assert process.stdout is not None
    return Path(process.stdout.name).read_text(encoding="utf-8", errors="replace")


def mr(data: Path, *arguments: str, module: str = "mr_assets.cli") -> str:
    """Run a command to its end and return what it printed; a failure shows the end of that."""
    with started(data, *arguments, module=module) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        status, said = process.poll(), printed(process)
    assert status == 0, f"mr {' '.join(arguments)} ended with {status}:\n{said[-6000:]}"
    return said


def sets(*fields: str) -> list[str]:
    """The fields as --set options."""
    return [part for field in fields for part in ("--set", field)]


def wait_for(what: Callable[[], V | None], seconds: float, process: subprocess.Popen[bytes] | None = None) -> V:
    """The first true value of `what`; an assertion fails after `seconds`, or when `process` ends."""
    until = time.monotonic() + seconds
    while not (found := what()):
        said = f":\n{printed(process)[-6000:]}" if process else ""
        assert time.monotonic() < until, f"waited {seconds} s in vain{said}"
        assert process is None or process.poll() is None, f"the command ended too early{said}"
        time.sleep(0.02)
    return found


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that a process started, and theirs."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; a process that nobody waited for has ended, too."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@dataclass(frozen=True)
class RealRun:
    """What a run has written, read as any program would: parquet and JSON files."""

    data: Path
    name: str
    said: str = ""

    @property
    def family(self) -> str:
        """Folder of what the run shares with its family, as its stored recipe says."""
        return (self.data / self.name / "recipe.yaml").read_text().splitlines()[0].split()[-1]

    def folder(self, asset: str) -> Path:
        """Where an asset's files lie."""
        shared = asset in ("seed_prompts", "eft_dataset", "sft_checkpoint")
        return self.data / (self.family if shared else self.name) / asset

    def table(self, asset: str, t: int = 1) -> list[Row]:
        """The rows of an asset's table."""
        return pl.read_parquet(self.folder(asset) / f"{t}.parquet").to_dicts()

    def by_id(self, asset: str, t: int = 1) -> dict[str, Row]:
        """The rows by the table's key; each key once."""
        rows = self.table(asset, t)
        found = {row[KEYS[asset]]: row for row in rows}
        assert len(found) == len(rows), f"{asset} has keys twice"
        return found

    def dropped(self, asset: str, t: int = 1) -> dict[str, tuple[str, Row]]:
        """What an asset dropped: reason and numbers by id."""
        rows = pl.read_parquet(self.folder("dropped") / asset / f"{t}.parquet").to_dicts()
        found = {row["id"]: (row["reason"], json.loads(row["numbers"])) for row in rows}
        assert len(found) == len(rows), f"{asset} left something out twice"
        return found

    def record(self, asset: str, t: int | None = 1) -> Row:
        """An artifact's record."""
        folder = self.folder(asset)
        if asset == "sft_checkpoint":
            path = folder / "complete.json"
        elif asset == "checkpoints":
            path = folder / str(t) / "complete.json"
        else:
            path = folder.with_suffix(".json") if t is None else folder / f"{t}.json"
        record: Row = json.loads(path.read_text())
        return record

    def engine_prompts(self) -> dict[str, list[int]]:
        """Request id to prompt token ids, of the requests of the loop: the evaluation's ids are numbers."""
        lines = (self.data / "engine_prompts.jsonl").read_text().splitlines()
        given = [(i, ids) for i, ids in map(json.loads, lines) if not i.isdigit()]
        return dict(given)


KEYS = {
    "prompts": "prompt_id",
    "responses": "response_id",
    "judgments": "judgment_id",
    "actor_pairs": "pair_id",
    "selected_responses": "response_id",
    "meta_judgments": "meta_judgment_id",
    "battle_matrices": "response_id",
    "elo_pairs": "pair_id",
    "dpo_dataset": "pair_id",
}


def check_token_identity(run: RealRun, t: int, tokenizer: Any) -> None:
    """What iteration t trained on is, id by id, what the engine saw and sampled (architecture.md, "Token identity")."""
    given, ends = run.engine_prompts(), set(end_ids(run.data / run.record("policy", t)["model"]["path"]))
    pairs = run.by_id("actor_pairs", t) | run.by_id("elo_pairs", t)
    sampled = run.by_id("responses", t) | run.by_id("judgments", t)
    for pair_id, row in run.by_id("dpo_dataset", t).items():
        pair = pairs[pair_id]
        asked = pair["prompt_id"] if row["kind"] == "actor" else pair["response_id"]
        assert row["prompt_token_ids"] == given[asked]
        [message] = row["prompt"]
        natural = tokenizer.apply_chat_template([message], add_generation_prompt=True, return_dict=False)
        assert row["prompt_token_ids"] == list(natural)
        for side in ("chosen", "rejected"):
            completion = sampled[pair[f"{side}_id"]]
            [said], ids = row[side], row[f"{side}_token_ids"]
            text = completion["response" if row["kind"] == "actor" else "judgment"]
            assert ids == completion["token_ids"]
            assert said == {"role": "assistant", "content": text}
            assert tokenizer.decode(ids, skip_special_tokens=True) == text
            assert (ids[-1] in ends) == (completion["finish_reason"] == "stop")
            assert not ends & set(ids[:-1])


def end_ids(folder: Path) -> list[int]:
    """The tokens that end a completion, as the model's generation settings name them."""
    ids = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    return ids if isinstance(ids, list) else [ids]
