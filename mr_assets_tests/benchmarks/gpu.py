"""What only a GPU can settle, unattended, in slices of under ten minutes each.

    python -m mr_assets_tests.benchmarks.gpu              every slice, one after the other, then the table
    python -m mr_assets_tests.benchmarks.gpu --slice 3    one slice, for a machine that gives ten minutes at a time
    python -m mr_assets_tests.benchmarks.gpu --list       the steps by slice, what each settles, how long it may take
    python -m mr_assets_tests.benchmarks.gpu --table      what was measured so far, as a table

A slice is a few steps whose time limits together are under ten minutes. Each step is a process of its own, so that it
begins with an empty GPU; past its limit it is killed with all that it started; when it is done it leaves a file:
``OUT/<step>.json``. The same command goes on: what has its file is not measured again, what failed is. Without CUDA, or
with too few GPUs, a step is skipped by name.

Models are made on the spot: random weights in the shapes of Llama 3 8B and 1B. Their texts mean nothing; their speed
and memory are those of real ones. The folder WORK has them and takes about 55 GB at its fullest.

--cpu rehearses all of it with a tiny model on a machine without a GPU: the code is the same, the figures are no result.
`loop.iteration` then has the tests' engine and trainer, which are fakes; the tests of the loop have the real ones.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from mr_assets.errors import UserError
from mr_assets.files import fingerprint, write_json
from mr_assets.planning.data_sheets import gpu_of_device
from mr_assets.planning.devices import devices
from mr_assets.planning.lengths import Lengths, Pieces, assumed_lengths
from mr_assets.planning.memory import kv_tokens, training_memory
from mr_assets.planning.shapes import KNOWN, Shape
from mr_assets.planning.speed import sampling_roofline, training_roofline
from mr_assets.planning.stages import Sampling, Training, samplings
from mr_assets.processes import die_with_parent, end_group
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.stored import named_runs
from mr_assets.sampling import shards
from mr_assets.sampling.engine import CORE_PROCESS, Request, samples_on_cpu
from mr_assets.sampling.replicas import Replicas
from mr_assets.sampling.settings import EngineSettings, SamplingSettings
from mr_assets.sampling.shards import Progress, sample_shards
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.training.accelerate_config import SHIPPED
from mr_assets.training.job import UNUSED_IN_SFT, Kind, TrainingJob
from mr_assets.training.launch import train
from mr_assets_tests.benchmarks.machine import RESULTS, machine
from mr_assets_tests.benchmarks.padding import drawn_pairs
from mr_assets_tests.llama3_shape import make_model_of_shape

PROJECT = Path(__file__).parents[2]
SLICE_SECONDS = 570
REHEARSAL = 3  # times as long as on a GPU may a step take on a CPU, which others may use
ASSETS = ("responses", "judgments", "meta_judgments")
ABOUT_GB = 0.5  # by which the memory that is taken of a GPU may move by itself
Figures = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    large, small: the models; sets: of the paper's recipe; prompts: by sampling asset; pairs: to train on; loop: the
    small world's iteration.
    """

    large: Shape
    small: Shape
    sets: tuple[str, ...]
    prompts: dict[str, int]
    pairs: int
    loop: tuple[str, ...]

    @property
    def recipe(self) -> Recipe:
        """The paper's, with these sizes."""
        return load_recipe("llama_3_8b_meta_rewarding", self.sets)

    @property
    def lengths(self) -> Lengths:
        """Tokens of every text, as `mr plan` assumes them."""
        return assumed_lengths(self.recipe, judge_template(), meta_judge_template())


SMALL_LOOP = "iterations.all={prompts: 100, rho: 0.0, keep_epoch: 3, judge_training: true}"
ON_GPU = Sizes(
    KNOWN["8b"], KNOWN["1b"], (), {"responses": 96, "judgments": 16, "meta_judgments": 8}, 128, (SMALL_LOOP,)
)
_TINY = Shape("tiny", 1, 128, 384, 4, 2, 1024, tied=False, head=32)  # the CPU kernels need heads of 32
ON_CPU = Sizes(
    _TINY,
    _TINY,
    (
        *(f"{section}.cpu_threads=1" for section in ("sft", "dpo")),
        *(f"{asset}.max_tokens=16" for asset in ASSETS),
        "responses.k=2",
        "judgments.n=2",
        "dpo.batch_size=4",
        "sft.batch_size=4",
        "engine.max_model_len=2048",
        "engine.max_num_seqs=32",
        "engine.cpu_kv_cache_gib=0.25",
    ),
    {"responses": 4, "judgments": 2, "meta_judgments": 2},
    8,
    (
        "iterations.all={prompts: 4, rho: 0.0, keep_epoch: 1, judge_training: false}",
        "prompts.count=8",
        "eft.examples=8",
        "sft.keep_epoch=1",
        "evaluation=null",
    ),
)


@dataclass(frozen=True)
class Place:
    """Where a step works, and with which sizes."""

    sizes: Sizes
    work: Path
    cpu: bool

    def model(self, shape: Shape) -> Path:
        """A model folder of that shape with random weights; made once, by a process that then gives the GPU back."""
        folder = self.work / "models" / shape.name
        if not folder.is_dir():
            began = time.monotonic()
            command = [sys.executable, "-m", __spec__.name, "--make", shape.name, "--work", str(self.work)]
            subprocess.run([*command, *_cpu(self)], cwd=PROJECT, check=True)
            print(f"made {folder} in {time.monotonic() - began:.0f} s", flush=True)
        return folder

    def make(self, name: str) -> None:
        """Make the folder of a shape of these sizes."""
        shape = next(shape for shape in (self.sizes.large, self.sizes.small) if shape.name == name)
        folder = self.work / "models" / name
        half = folder.with_name(f"{name}.half")
        shutil.rmtree(half, ignore_errors=True)
        make_model_of_shape(half, shape, "cpu" if self.cpu else "cuda")
        half.rename(folder)

    @contextmanager
    def engine(self, **changes: Any) -> Iterator[Replicas]:
        """The recipe's engine on the large model, in a process of its own, as on every CUDA host."""
        settings = self.sizes.recipe.engine.model_copy(update={"own_process": True, **changes})
        folder = self.model(self.sizes.large)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")  # it says then how large its cache is
        engine = Replicas(folder, fingerprint(folder / "config.json"), settings, log=self.log)
        try:
            yield engine
        finally:
            engine.close()

    @property
    def log(self) -> Path:
        """What the engine prints."""
        return self.work / "engine.log"


@dataclass(frozen=True)
class Step:
    """Something to measure: its title, what it settles, its time limit in seconds, the GPUs that it needs."""

    title: str
    settles: str
    limit: int
    gpus: int
    measure: Callable[[Place], Figures]


STEPS: dict[str, Step] = {}


def step(title: str, settles: str, limit: int, gpus: int = 1) -> Callable[[Callable[[Place], Figures]], None]:
    """Make a function a step."""

    def add(measure: Callable[[Place], Figures]) -> None:
        STEPS[title] = Step(title, settles, limit, gpus, measure)

    return add


# --------------------------------------------------------------------------------------------------------------- memory


def held() -> list[float]:
    """GB that are taken on each GPU; none where no driver tells."""
    return [(gpu.memory - gpu.free) / 1e9 for gpu in devices()]


def freed(before: list[float], seconds: float = 30) -> bool | None:
    """Whether no GPU has more taken than `before`, give or take 0.5 GB, after so many seconds at the latest."""
    if not before:
        return None
    until = time.monotonic() + seconds
    while over := any(now > then + ABOUT_GB for now, then in zip(held(), before, strict=True)):
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    return not over


class Peak:
    """The most GB that were taken on each GPU while it was open, besides what was before; none without a driver."""

    def __enter__(self) -> "Peak":
        self._before = self._most = held()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        over = False
        while not over:
            over = self._over.wait(0.1)
            self._most = list(map(max, self._most, held() or self._most))

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    @property
    def of_each(self) -> list[float]:
        """By GPU, rounded to a tenth."""
        return [round(most - before, 1) for most, before in zip(self._most, self._before, strict=True)]

    @property
    def gigabytes(self) -> float | None:
        """Of the GPU that had the most."""
        return max(self.of_each, default=None)


# ---------------------------------------------------------------------------------------------------------------- start


@step("start.engine", "seconds until an engine is ready, and again with compiled graphs; what it leaves", 420)
def start_engine(place: Place) -> Figures:
    place.model(place.sizes.large)
    before, seconds, closing = held(), [], 0.0
    for _ in range(2):
        began = time.monotonic()
        with place.engine():
            seconds.append(round(time.monotonic() - began, 1))
            began = time.monotonic()
        closing = round(time.monotonic() - began, 1)
    first, second = seconds
    return {"first_start_s": first, "second_start_s": second, "close_s": closing, "memory_given_back": freed(before)}


@step("start.killed", "a run that is killed while it samples leaves no process and no memory on the GPU", 240)
def start_killed(place: Place) -> Figures:
    place.model(place.sizes.large)
    before = held()
    command = [sys.executable, "-m", __spec__.name, "--victim", "--work", str(place.work), *_cpu(place)]
    own = os.environ | {CORE_PROCESS: "1"}  # vLLM's process of its own, on a CPU as on CUDA
    with subprocess.Popen(command, cwd=PROJECT, env=own, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        said = victim.stdout.readline()
        if "samples" not in said:
            raise RuntimeError(f"the engine did not start: {said}")
        time.sleep(2)
        started = psutil.Process(victim.pid).children(recursive=True)
        used, began = held(), time.monotonic()
        victim.kill()
    while alive := [p for p in started if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        if time.monotonic() > began + 60:
            break
        time.sleep(0.05)
    gone = round(time.monotonic() - began, 1)
    figures = {"processes": len(started), "left": len(alive), "gone_after_s": gone}
    most = max(used, default=None)
    return figures | {"held_before_the_kill_gb": most and round(most, 1), "memory_given_back": freed(before)}


def victim(place: Place) -> None:
    """Sample until somebody kills this process."""
    die_with_parent()
    with place.engine() as engine:
        print("samples", flush=True)
        requests = (Request(str(i), [1 + i % 700] * 20, n=4) for i in count())
        settings = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=64)
        sample_shards(engine, requests, settings, place.work / "victim", signature={}, seed=0, shard_size=64)


@step("start.cause", "an engine that has no room for its cache says so in vLLM's words, and which field to change", 180)
def start_cause(place: Place) -> Figures:
    short = {"cpu_kv_cache_gib": 0.0001} if place.cpu else {"gpu_memory_utilization": 0.02}
    before = held()
    try:
        with place.engine(**short):
            raise RuntimeError("it started with no room for a cache")
    except UserError as error:
        said = str(error).splitlines()
    knob = next(iter(short))
    if not any(knob in line for line in said):
        raise RuntimeError(f"the message names no {knob}: {said}")
    return {"said": said[0][:300], "memory_given_back": freed(before)}


# ------------------------------------------------------------------------------------------------------------- sampling


def requests_of(stage: Sampling, prompts: int, recipe: Recipe, lengths: Lengths) -> list[Request]:
    """Requests of random token ids that share their beginnings as the loop's do."""
    rng = random.Random(0)

    def ids(tokens: float) -> list[int]:
        return [rng.randrange(700) for _ in range(round(tokens))]

    chat = ids(lengths.chat)
    fixed: dict[tuple[int, int], list[int]] = {}

    def filled(pieces: Pieces, texts: dict[str, list[int]]) -> list[int]:
        found = list(chat)
        for at, (name, tokens) in enumerate(pieces):
            found += texts[name] if name else fixed.setdefault((len(pieces), at), ids(tokens))
        return found + chat

    found = []
    for p in range(prompts):
        prompt = ids(lengths.prompt)
        if stage.asset == "responses":
            found.append(Request(f"{p}", chat + prompt + chat, recipe.responses.k))
            continue
        if stage.asset == "judgments":
            for r in range(recipe.responses.k):
                texts = {"prompt": prompt, "response": ids(lengths.response)}
                found.append(Request(f"{p}.{r}", filled(lengths.judge, texts), recipe.judgments.n, group=f"{p}"))
            continue
        response, judgments = ids(lengths.response), [ids(lengths.judgment) for _ in range(recipe.judgments.n)]
        for a, one in enumerate(judgments):
            for b, other in enumerate(judgments):
                if a != b:
                    texts = {"prompt": prompt, "response": response, "judgment_a": one, "judgment_b": other}
                    found.append(Request(f"{p}.{a}-{b}", filled(lengths.meta_judge, texts), group=f"{p}"))
    return found


def sampled(place: Place, engine: Replicas, settings: EngineSettings) -> Iterator[tuple[str, Figures]]:
    """Each sampling asset on a few prompts, in the lengths that `mr plan` assumes; held against its roofline.

    What passes before the first token and while the batch runs empty does not grow with the requests: its share is
    given of the stage that the recipe has, at the speed seen here.
    """
    shards.SECONDS_BETWEEN_REPORTS = 0.0  # every reading that an engine sends
    recipe, lengths = place.sizes.recipe, place.sizes.lengths
    longest = {"responses": lengths.response, "judgments": lengths.judgment, "meta_judgments": lengths.meta_judgment}
    here = devices()
    gpu = gpu_of_device(here[0].name, here[0].memory) if here else None
    for asset, prompts in place.sizes.prompts.items():
        row = recipe.iterations[0].model_copy(update={"prompts": prompts})
        small = recipe.model_copy(update={"iterations": [row]})
        stage, whole = (next(s for s in samplings(r, lengths, 1, {}) if s.asset == asset) for r in (small, recipe))
        drawn = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=round(longest[asset]))
        requests = requests_of(stage, prompts, recipe, lengths)
        folder = place.work / "shards"
        shutil.rmtree(folder, ignore_errors=True)
        seen: list[tuple[float, Progress]] = []
        began = time.monotonic()
        done = sample_shards(
            engine,
            requests,
            drawn,
            folder,
            signature={},
            seed=0,
            shard_size=recipe.engine.shard_size,
            on_progress=noting(seen),
        )
        seconds = time.monotonic() - began
        first, drain = first_and_drain(seen, seconds)
        figures: Figures = {
            "requests": len(requests),
            "requests_per_s": round(len(requests) / seconds, 2),
            "tokens_out_per_s": round(done.tokens / seconds),
            "hit_rate": done.stats.hit_rate and round(done.stats.hit_rate, 4),
            "hit_rate_ceiling": round(stage.cached, 4),
            "preemptions": done.stats.preemptions,
            "first_token_after_s": round(first, 2),
            "drain_s": round(drain, 2),
            "share_of_the_recipes_stage": round((first + drain) / (seconds * whole.completions / stage.completions), 4),
        }
        if gpu is not None:
            roofline = sampling_roofline(stage, place.sizes.large, settings, gpu)
            figures["share_of_roofline"] = round(roofline / seconds, 3)
        yield asset, figures


def noting(seen: list[tuple[float, Progress]]) -> Callable[[Progress], None]:
    """Adds what is known of a stage that begins now to `seen`, with the seconds since then."""
    began = time.monotonic()
    return lambda so_far: seen.append((time.monotonic() - began, so_far))


def first_and_drain(seen: Sequence[tuple[float, Progress]], seconds: float) -> tuple[float, float]:
    """Seconds until the first token, and from when the engine was last full until the end, of a stage's readings.

    seen: seconds from the stage's beginning, and what was known then. Full: nine tenths as many ran as ever did.
    """
    first = next(at for at, so_far in seen if so_far.tokens)
    most = max(so_far.stats.running for _, so_far in seen)
    full = max(at for at, so_far in seen if so_far.stats.running >= 0.9 * most)
    return first, seconds - full


def sampling(place: Place, **changes: Any) -> Figures:
    """All three assets on one engine, and how large its cache is against what was planned."""
    settings = place.sizes.recipe.engine.model_copy(update=changes)
    with Peak() as peak, place.engine(**changes) as engine:
        figures: Figures = dict(sampled(place, engine, settings))
    said = re.search(r"KV cache size: ([\d,]+) tokens", place.log.read_text(errors="replace"))
    figures["cache_tokens"] = int(said[1].replace(",", "")) if said else None
    if here := devices():
        figures["cache_tokens_planned"] = round(kv_tokens(place.sizes.large, settings, here[0].memory / 1e9))
    return figures | {"peak_gb": peak.gigabytes}


@step(
    "sampling.recipe",
    "speed, share of the roofline, hit rate, cache size, as planned; before the first token, and the drain",
    280,
)
def sampling_recipe(place: Place) -> Figures:
    return sampling(place)


@step("sampling.batched_2048", "what engine.max_num_batched_tokens at vLLM's 2,048 for this entry point costs", 280)
def sampling_batched(place: Place) -> Figures:
    return sampling(place, max_num_batched_tokens=2048)


@step("sampling.without_cache", "what the prefix cache saves", 280)
def sampling_without_cache(place: Place) -> Figures:
    return sampling(place, enable_prefix_caching=False)


@step("sampling.replicas", "two engines on two GPUs, beside sampling.recipe", 280, gpus=2)
def sampling_replicas(place: Place) -> Figures:
    return sampling(place, replicas=2)


# ------------------------------------------------------------------------------------------------------------- training


def trained(place: Place, kind: Kind, shape: Shape, **changes: Any) -> Figures:
    """A training of one epoch by the recipe's section, on pairs of the paper's lengths: speed and memory."""
    recipe, name = place.sizes.recipe, f"{kind}-{shape.name}"
    given = recipe.dpo if kind == "dpo" else recipe.sft
    assert given is not None
    section = given.model_copy(update=changes)
    rng, lengths = random.Random(0), drawn_pairs(place.sizes.pairs, seed=0)
    rows = [[[rng.randrange(700) for _ in range(n)] for n in (60, max(1, c - 60), max(1, r - 60))] for c, r in lengths]
    prompt, chosen, rejected = (pl.Series([row[i] for row in rows], dtype=pl.List(pl.Int32)) for i in range(3))
    columns = {"prompt_token_ids": prompt}
    if kind == "dpo":
        pairs = pl.Series([f"1.{i}.actor" for i in range(len(rows))])
        columns = {"pair_id": pairs, **columns, "chosen_token_ids": chosen, "rejected_token_ids": rejected}
    else:
        columns |= {"completion_token_ids": chosen}
    data, out = place.work / f"{name}.parquet", place.work / name
    pl.DataFrame(columns).write_parquet(data)
    tokens = [sum(map(len, row)) + (60 if kind == "dpo" else -len(row[2])) for row in rows]
    shutil.rmtree(out, ignore_errors=True)
    given_to = UNUSED_IN_SFT | section.model_dump() | {"keep_epoch": 1}
    job = TrainingJob(kind=kind, model=place.model(shape), data=data, out=out, **given_to)
    shutil.rmtree(job.workspace, ignore_errors=True)
    lines: list[Figures] = []
    with Peak() as peak:
        began = time.monotonic()
        result = train(job, lambda line: lines.append(line | {"at": time.monotonic() - began}))
    shutil.rmtree(out)  # a model of 8B has 32 GB
    steps = [line for line in lines if "step" in line]
    seconds = [b["seconds"] - a["seconds"] for a, b in pairwise(steps)]
    per_second = sum(tokens) / len(steps) / statistics.median(seconds)
    figures = {
        "steps": len(steps),
        "seconds_per_step": round(statistics.median(seconds), 2),
        "tokens_per_s": round(per_second),
        "first_step_after_s": round(steps[0]["at"], 1),
        "in_all_s": round(result.seconds, 1),
        "first_loss": round(steps[0]["loss"], 4),
        "peak_gb": peak.gigabytes,
    }
    longest = max(60 + len(side) for row in rows for side in (row[1:] if kind == "dpo" else row[1:2]))
    as_drawn = section.model_copy(update={"max_length": longest})
    memory = training_memory(shape, as_drawn, sharded=section.accelerate_config is not None)
    figures |= {"peak_gb_planned": round(memory.needed / 1e9, 1)}
    if (here := devices()) and (gpu := gpu_of_device(here[0].name, here[0].memory)):
        stage = Training("checkpoints", "1", len(rows), 1, len(steps), sum(tokens))
        roofline = training_roofline(stage, shape, section, gpu)
        figures["share_of_roofline"] = round(roofline / (statistics.median(seconds) * len(steps)), 3)
    return figures


@step("training.dpo", "seconds per step, tokens per second and peak memory of the recipe's DPO at 8B", 420)
def training_dpo(place: Place) -> Figures:
    return trained(place, "dpo", place.sizes.large)


@step("training.attention", "a pass forth and back with each attention that is there, on rows with padding", 120)
def training_attention(place: Place) -> Figures:
    import torch
    from transformers import AutoModelForCausalLM

    device, tokens = ("cpu", 64) if place.cpu else ("cuda", 1024)
    ids = torch.randint(700, (4, tokens), device=device)
    mask = torch.ones_like(ids)
    mask[::2, tokens // 2 :] = 0
    figures: Figures = {}
    for kind in ("sdpa", "eager", "flash_attention_2"):
        try:
            model = AutoModelForCausalLM.from_pretrained(
                place.model(place.sizes.small), dtype=torch.float32, attn_implementation=kind, local_files_only=True
            ).to(device)
        except (ImportError, ValueError) as error:
            figures[kind] = str(error).splitlines()[0][:120]
            continue
        seconds = []
        for _ in range(4):
            began = time.monotonic()
            with torch.autocast(device, dtype=torch.bfloat16):
                model(input_ids=ids, attention_mask=mask).logits.float().mean().backward()
            if not place.cpu:
                torch.cuda.synchronize()
            seconds.append(time.monotonic() - began)
        figures[kind] = {"seconds": round(statistics.median(seconds[1:]), 4)}
        del model
    return figures


@step("training.lora", "the same with adapters of rank 16: the memory that an 80 GB card needs", 280)
def training_lora(place: Place) -> Figures:
    return trained(place, "dpo", place.sizes.large, lora_r=16)


@step("training.sft", "seconds per step and memory of SFT at 1B", 200)
def training_sft(place: Place) -> Figures:
    return trained(place, "sft", place.sizes.small)


@step("training.small", "DPO at 1B, for the three steps that follow", 190)
def training_small(place: Place) -> Figures:
    return trained(place, "dpo", place.sizes.small)


@step("training.adamw_torch", "what adamw_torch takes in place of adamw_8bit", 190)
def training_adamw(place: Place) -> Figures:
    return trained(place, "dpo", place.sizes.small, optimizer="adamw_torch")


@step("training.without_checkpointing", "what gradient checkpointing saves and costs", 190)
def training_without_checkpointing(place: Place) -> Figures:
    return trained(place, "dpo", place.sizes.small, gradient_checkpointing=False)


@step("training.one_of_several", "a training of one process works where several GPUs are visible, and uses one", 190, 2)
def training_one_of_several(place: Place) -> Figures:
    with Peak() as peak:
        figures = trained(place, "dpo", place.sizes.small)
    used = [number for number, gigabytes in enumerate(peak.of_each) if gigabytes > ABOUT_GB]
    if peak.of_each and len(used) != 1:
        raise RuntimeError(f"one GPU is to be used; GB that were taken of each: {peak.of_each}")
    return figures | {"peak_gb_of_each": peak.of_each}


@step("training.fsdp", "FSDP over two GPUs: the same first loss, and the memory that is planned", 280, gpus=2)
def training_fsdp(place: Place) -> Figures:
    several: Figures = {"num_processes": 2, "accelerate_config": str(SHIPPED["fsdp"]), "optimizer": "adamw_torch"}
    return trained(place, "dpo", place.sizes.small, **several)


# ----------------------------------------------------------------------------------------------------------------- loop


@step("loop.iteration", "an iteration of the small world from end to end, as `mr run` does it", 540)
def loop_iteration(place: Place) -> Figures:
    data, before = place.work / "loop", held()
    shutil.rmtree(data, ignore_errors=True)
    seed = PROJECT / "data" / "seeds" / "small-world"
    fields = [part for field in (f"model.seed={seed}", *place.sizes.loop) for part in ("--set", field)]
    program = "mr_assets_tests.ui" if place.cpu else "mr_assets.cli"
    command = [sys.executable, "-m", program, "run", "small_world_meta_rewarding", "--iterations", "1", *fields]
    environment = os.environ | {"MR_DATA": str(data), "MR_EXECUTOR": "in_process"}
    environment.pop("DAGSTER_HOME", None)
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--name", "loop"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-3000:])
    run = named_runs(data, "loop")["loop"]
    took = {}
    for asset in ("sft_checkpoint", *ASSETS, "checkpoints"):
        if record := run.record(asset, None if asset == "sft_checkpoint" else "1"):
            took[asset] = round(record.seconds, 1)
    return {"in_all_s": round(seconds, 1), "seconds_by_asset": took, "memory_given_back": freed(before)}


# ------------------------------------------------------------------------------------------------------------ together


def slices() -> list[list[Step]]:
    """The steps in their order, as many to a slice as its time has room for."""
    found: list[list[Step]] = []
    for each in STEPS.values():
        if not found or sum(step.limit for step in found[-1]) + each.limit > SLICE_SECONDS:
            found.append([])
        found[-1].append(each)
    return found


def why_not(each: Step, cpu: bool) -> str:
    """Why a step cannot be measured here; "" if it can."""
    if cpu:
        return ""
    if samples_on_cpu():
        return "vLLM's build for CPUs is installed; on a CUDA host install the project with .[cuda]"
    here = len(devices())
    return "" if here >= each.gpus else f"needs {each.gpus} GPUs, NVIDIA's driver tells of {here}"


def file_of(each: Step, out: Path) -> Path:
    """Where a step's figures are."""
    return out / f"{each.title}.json"


def done(each: Step, out: Path) -> Figures | None:
    """A step's figures; None if it was not measured."""
    with suppress(OSError, ValueError):
        figures: Figures = json.loads(file_of(each, out).read_text(encoding="utf-8"))["figures"]
        return figures
    return None


def carry_out(each: Step, place: Place, out: Path) -> bool:
    """Measure a step in a process of its own, for so long as it may take; whether it left its file."""
    command = [sys.executable, "-m", __spec__.name, "--inside", each.title]
    command += ["--work", str(place.work), "--out", str(out), *_cpu(place)]
    began, limit = time.monotonic(), each.limit * (REHEARSAL if place.cpu else 1)
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, start_new_session=True)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        print(f"{each.title}: killed after {limit} s", flush=True)
    finally:
        end_group(process.pid)
        process.wait()
    figures = done(each, out)
    said = json.dumps(figures) if figures is not None else f"failed with status {process.returncode}, see above"
    print(f"{each.title}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return figures is not None


def measure(each: Step, place: Place, out: Path) -> None:
    """In the step's own process: measure, and write the figures with the machine."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    place.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    figures = each.measure(place)
    head = {
        "step": each.title,
        "settles": each.settles,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rehearsal": place.cpu,
        "machine": machine() | {"gpus": [asdict(gpu) for gpu in devices()]},
        "large": place.sizes.large.name,
        "small": place.sizes.small.name,
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(file_of(each, out), head | {"figures": figures})


def run_slice(steps: Sequence[Step], place: Place, out: Path) -> int:
    """Measure what has no figures yet; the number of steps that failed."""
    failed = 0
    for each in steps:
        if done(each, out) is not None:
            print(f"{each.title}: measured already, in {file_of(each, out)}", flush=True)
        elif why := why_not(each, place.cpu):
            print(f"{each.title}: skipped: {why}", flush=True)
        else:
            failed += not carry_out(each, place, out)
    return failed


def table(out: Path) -> str:
    """What was measured, as Markdown."""
    lines = ["| step | what it settles | measured |", "|---|---|---|"]
    for each in STEPS.values():
        figures = done(each, out)
        said = "not yet" if figures is None else "; ".join(_flat(figures))
        lines.append(f"| {each.title} | {each.settles} | {said} |")
    return "\n".join(lines)


def _flat(figures: Figures) -> Iterator[str]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield f"{name}: {', '.join(_flat(value))}"
        else:
            yield f"{name} {value}"


def _cpu(place: Place) -> list[str]:
    return ["--cpu"] if place.cpu else []


def main() -> None:
    """Measure; the status is 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = range(1, len(slices()) + 1)
    parser.add_argument("--slice", type=int, choices=numbers, action="append", help="repeatable; default: every slice")
    parser.add_argument("--step", choices=STEPS, action="append", metavar="NAME", help="of these slices; repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu", help="folder of the figures")
    parser.add_argument("--work", type=Path, default=PROJECT / "data" / "gpu", help="folder for models and shards")
    parser.add_argument("--cpu", action="store_true", help="rehearse with a tiny model on a machine without a GPU")
    parser.add_argument("--list", action="store_true", help="print the steps and measure nothing")
    parser.add_argument("--table", action="store_true", help="print what was measured and measure nothing")
    parser.add_argument("--inside", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--victim", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    place, out = Place(ON_CPU if args.cpu else ON_GPU, args.work.resolve(), args.cpu), args.out.resolve()
    if args.make:
        place.make(args.make)
    elif args.victim:
        victim(place)
    elif args.inside:
        measure(STEPS[args.inside], place, out)
    elif args.list:
        for number, steps in enumerate(slices(), start=1):
            print(f"slice {number}")
            print("\n".join(f"  {each.title:32} {each.limit:4} s  {each.settles}" for each in steps))
    elif args.table:
        print(table(out))
    else:
        failed = 0
        for number, steps in enumerate(slices(), start=1):
            if number in (args.slice or numbers):
                failed += run_slice([each for each in steps if each.title in (args.step or STEPS)], place, out)
        print(table(out))
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
