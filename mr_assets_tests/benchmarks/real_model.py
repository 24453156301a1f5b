"""The real model's run from beginning to end: time, processor time and memory per stage, and what its judge is worth.

    make real-model
    python -m mr_assets_tests.benchmarks.real_model --data /tmp/real_model

`mr run smollm2_135m`, two iterations of `--prompts` questions; the same command goes on where it was stopped. In it the
seed, M0, M1 and M2 each judge the held-out replies of Open Assistant, `--judgments` times (`human_agreement`). Last,
tokens per second of the judge's requests of the first iteration, in turns: a bare engine loop on one thread, on all of
them, and with `cpu_top_k_first`; and on all threads the product's own shards.

Processor time and memory are those of the command and all that it started, looked at twice a second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl
import psutil

from mr_assets.chat import ChatEncoder
from mr_assets.ids import model_id
from mr_assets.loop import Place
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.run import Run
from mr_assets.runs.stored import named_runs
from mr_assets.sampling.engine import Request, VLLMSampler
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import sample_shards, size_of_shard
from mr_assets.templates import judge_template
from mr_assets_tests.benchmarks.machine import spread, write_result
from mr_assets_tests.benchmarks.sampling import timed
from mr_assets_tests.real_model import RECIPE, inputs, missing, write_questions
from mr_assets_tests.real_run import sets

SECONDS_BETWEEN_LOOKS = 0.5
NAME = "real_model"
SHARDS = "all threads, all sorted, in shards"
Look = tuple[float, float, int]
"""Unix time, processor seconds so far, bytes of memory now: of the command and all that it started."""


def sizes(prompts: int, examples: int, judgments: int) -> tuple[str, ...]:
    """What makes the recipe small enough for a measurement, and measures each model's judge."""
    return (
        f"human_agreement={{n: {judgments}}}",
        f"iterations.all.prompts={prompts}",
        f"eft.examples={examples}",
        "sft.learning_rate=5e-5",  # few steps
        "sft.batch_size=8",
        "responses.k=4",
        "responses.max_tokens=160",
        "judgments.n=3",
        "judgments.max_tokens=96",
        "meta_judgments.max_tokens=96",
        "dpo.batch_size=8",
        "dpo.schedule_epochs=1",
        "iterations.all.keep_epoch=1",
        "guardrails.judgment_parse_rate_at_least={warn: 0.9, stop: null}",  # what comes is to be seen
        "guardrails.meta_judgment_parse_rate_at_least={warn: 0.9, stop: null}",
        "guardrails.cut_off_share={warn: 0.1, stop: null}",
    )


# ------------------------------------------------------------------------------------------------------------- the run


def run_recipe(data: Path, recipe: str, name: str, fields: Sequence[str], *options: str) -> list[Look]:
    """``mr run`` to its end; what was looked at meanwhile, also before it was stopped and begun again."""
    kept = data / "looks.json"
    looks: list[Look] = [(*look,) for look in json.loads(kept.read_text())] if kept.is_file() else []
    command = [sys.executable, "-m", "mr_assets.cli", "run", recipe, *sets(*fields), "--name", name, *options]
    with subprocess.Popen(command, env=os.environ | {"MR_DATA": str(data)}) as process:
        try:
            for look in _looks(process):
                looks.append(look)
        finally:
            kept.write_text(json.dumps(looks))
    if process.returncode:
        raise SystemExit(f"mr run ended with {process.returncode}. The same command goes on.")
    return looks


def _looks(process: subprocess.Popen[bytes]) -> Iterator[Look]:
    seconds: dict[int, float] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        memory = 0
        with suppress(psutil.Error):
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    spent = each.cpu_times()
                    seconds[each.pid] = spent.user + spent.system
                    memory += each.memory_info().rss
        yield time.time(), sum(seconds.values()), memory
        time.sleep(SECONDS_BETWEEN_LOOKS)


def stages(run: Run, looks: Sequence[Look]) -> dict[str, dict[str, Any]]:
    """Of each asset: seconds on the clock, processor seconds, most memory, tokens per second."""
    found = {}
    places: list[Place] = [(asset, None) for asset in run.loop.per("family")]
    places += [(asset, str(t)) for t in range(1, len(run.recipe.iterations) + 1) for asset in run.loop.per("iteration")]
    for asset, partition in places:
        record = run.record(asset, partition)
        assert record is not None
        end = datetime.fromisoformat(record.created).timestamp() + 1  # it has whole seconds
        during = [look for look in looks if end - record.seconds - 1 <= look[0] <= end]
        name = asset if partition is None else f"{asset} {partition}"
        found[name] = {"seconds": record.seconds, "rows": record.rows}
        if len(during) > 1:
            found[name]["processor_seconds"] = round(during[-1][1] - during[0][1], 1)
            found[name]["memory_gb"] = round(max(memory for _, _, memory in during) / 1e9, 2)
        if speed := record.numbers.get("tokens per second"):
            found[name]["tokens_per_s"] = speed
        print(name, found[name], flush=True)
    return found


# ----------------------------------------------------------------------------------------------------------- the judge


def judges(run: Run) -> dict[str, Any]:
    """What each model's scores of the held-out replies are worth: parse rate, agreement with people's ranks."""
    found = {}
    for model in run.models:
        record = run.record("human_agreement", model)
        assert record is not None
        found[model_id(model)] = {name: record.numbers[name] for name in sorted(record.numbers)}
        print(model_id(model), found[model_id(model)], flush=True)
    return found


# ----------------------------------------------------------------------------------------------------------- the speed


def fits(request: Request, recipe: Recipe) -> bool:
    """Whether the judge's prompt and judgment fit into the context."""
    return len(request.prompt_ids) + recipe.judgments.max_tokens <= recipe.engine.max_model_len


def complete(engine: VLLMSampler, requests: Sequence[Request], settings: SamplingSettings) -> dict[str, Any]:
    """The bare engine loop: text and number of tokens of every completion, by request."""
    engine.reseed(0)
    for request in requests:
        engine.add(request, settings)
    done: dict[str, Any] = {}
    while engine.in_flight:
        done |= {i: [(c.text, len(c.token_ids)) for c in completions] for i, completions in engine.step()}
    return done


def in_shards(engine: VLLMSampler, requests: Sequence[Request], recipe: Recipe) -> int:
    """The same as `judgments` samples them, written shard by shard; returns the number of tokens."""
    size = size_of_shard(len(requests), recipe.judgments.n, recipe.engine.shard_size)
    with tempfile.TemporaryDirectory() as folder:
        return sample_shards(
            engine, requests, recipe.judgments, Path(folder), signature={}, seed=0, shard_size=size
        ).tokens


def speed(folder: Path, run: Run, turns: int) -> dict[str, Any]:
    """Tokens per second of the judge's requests of iteration 1: bare loops and the product's shards, in turns."""
    recipe = run.recipe
    encode = ChatEncoder.load(folder, **recipe.model.rendering())
    prompts = dict(pl.read_parquet(run.path("prompts", "1")).select("prompt_id", "prompt").iter_rows())
    responses = pl.read_parquet(run.path("responses", "1")).filter(pl.col("duplicate_of").is_null())
    requests = [
        Request(i, encode.template_ids(judge_template(), {"prompt": prompts[prompt], "response": response}), 3)
        for i, prompt, response in responses.select("response_id", "prompt_id", "response").iter_rows()
    ]
    fitting = [request for request in requests if fits(request, recipe)]
    ways: dict[str, dict[str, Any]] = {
        "one thread, all sorted": {"cpu_threads": 1},
        "all threads, all sorted": {},
        SHARDS: {},
        "all threads, 1,024 first": {"cpu_top_k_first": 1024},
    }
    measured: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            engine = VLLMSampler(folder, "M0", recipe.engine.model_copy(update=ways[name]), encode.stop_token_ids)

            def work(name: str = name, engine: VLLMSampler = engine) -> int:
                if name == SHARDS:
                    return in_shards(engine, fitting, recipe)
                done = complete(engine, fitting, recipe.judgments)
                return sum(tokens for said in done.values() for _, tokens in said)

            wall, spent, tokens = timed(work)
            engine.close()
            measured[name].append(tokens / wall)
            processor[name].append(tokens / spent)
            print(name, round(tokens / wall), "tokens/s", round(tokens / spent), "per processor second", flush=True)
    return {
        "requests": len(fitting),
        "tokens_per_s": {name: spread(values) for name, values in measured.items()},
        "tokens_per_processor_s": {name: spread(values) for name, values in processor.items()},
    }


def main() -> None:
    """Measure and write ``benchmarks/results/real_model.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder of the run; it stays")
    parser.add_argument("--prompts", type=int, default=16, help="of each iteration")
    parser.add_argument("--examples", type=int, default=120, help="of EFT")
    parser.add_argument("--judgments", type=int, default=3, help="of each held-out reply")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)

    data = args.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    questions = write_questions(data.parent / f"{data.name}_questions.jsonl", 40)
    looks = run_recipe(data, RECIPE, NAME, (*inputs(questions), *sizes(args.prompts, args.examples, args.judgments)))
    run = named_runs(data, NAME)[NAME]
    result: dict[str, Any] = {"prompts": args.prompts, "examples": args.examples, "stages": stages(run, looks)}
    result["seconds"] = round(sum(found["seconds"] for found in result["stages"].values()), 1)
    result["judges"] = judges(run)
    result["speed"] = speed(run.path(*run.model_at("0")), run, args.turns)
    result["mean_tokens_per_s"] = round(
        fmean(found["tokens_per_s"] for found in result["stages"].values() if "tokens_per_s" in found), 1
    )
    if not args.dry:
        print(write_result(NAME, result))


if __name__ == "__main__":
    main()
