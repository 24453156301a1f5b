"""The data side of one iteration at the paper's scale: everything between the model's completions and the DPO dataset.

    python -m mr_assets_tests.benchmarks.data_side [--prompts 5000] [--repeats 5]

5,000 prompts, 35,000 responses, 385,000 judgments and 550,000 meta-judgments, about 900 MB of synthetic text in parquet
files. Every step runs in a fresh process of its own, reads its tables from parquet and is timed without the imports.
"completions to pairs" runs them one after the other in one process, up to the Elo pairs; the goals are for this one.
"all" goes on to the DPO dataset, which reads the token ids as well. CPU time is beside wall time, because a busy
machine doubles the one and hardly the other. Memory is the peak beyond what the process has after the imports.
The encoder of the DPO dataset is a stand-in: tokenising 10,000 prompts is the tokenizer's time, not the data side's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mr_assets.ids import prompt_id
from mr_assets.method.actor_pairs import actor_pairs
from mr_assets.method.battle_matrices import battle_matrices
from mr_assets.method.conversations import Prompt
from mr_assets.method.dpo_dataset import dpo_dataset
from mr_assets.method.elo_pairs import elo_pairs
from mr_assets.method.judgments import with_scores
from mr_assets.method.meta_judgments import battles, with_winners
from mr_assets.method.responses import mark_duplicates
from mr_assets.method.selected_responses import select_responses
from mr_assets.tables import TOKEN_IDS
from mr_assets.templates import Template, judge_template
from mr_assets_tests.benchmarks.machine import peak_rss_bytes, spread, write_result

RESPONSES, JUDGMENTS = 7, 11
RESPONSE_CHARS, JUDGMENT_CHARS, META_JUDGMENT_CHARS = 1800, 550, 1140
RESPONSE_TOKENS, JUDGMENT_TOKENS = 450, 120
GOAL = {"completions to pairs": {"s": 3.0, "peak_gb": 0.5}}


class FewTokens:
    """An encoder that costs nothing."""

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        return [len(prompt)]

    def template_ids(self, template: Template, values: dict[str, str]) -> list[int]:
        return [len(values["response"])]


def scan(folder: Path, table: str) -> pl.LazyFrame:
    return pl.scan_parquet(folder / f"{table}.parquet")


def duplicates(f: Path) -> pl.DataFrame:
    return mark_duplicates(scan(f, "responses").drop("token_ids")).select("response_id", "duplicate_of").collect()


def scores(f: Path) -> pl.DataFrame:
    judged = with_scores(scan(f, "judgments").select("judgment_id", "judgment"))
    return judged.select("judgment_id", "score", "invalid").collect(engine="streaming")


def pairs_of_actor(f: Path) -> pl.DataFrame:
    made = actor_pairs(scan(f, "responses"), scan(f, "judgments"), rho=0.32, max_chosen_chars=2500, seed=1)
    return made.rows


def selected(f: Path) -> pl.DataFrame:
    return select_responses(scan(f, "responses"), scan(f, "judgments"), seed=1).rows


def all_battles(f: Path) -> pl.DataFrame:
    return battles(scan(f, "selected_responses"), scan(f, "judgments"))


def winners(f: Path) -> pl.DataFrame:
    fought = with_winners(scan(f, "meta_judgments").select("meta_judgment_id", "meta_judgment"))
    return fought.select("meta_judgment_id", "winner", "invalid").collect(engine="streaming")


def matrices(f: Path) -> pl.DataFrame:
    return battle_matrices(scan(f, "meta_judgments"), scan(f, "selected_responses")).rows


def pairs_of_judge(f: Path) -> pl.DataFrame:
    return elo_pairs(scan(f, "battle_matrices"), scan(f, "judgments"), max_chosen_chars=1100, seed=1).rows


def dataset(f: Path) -> pl.DataFrame:
    tables = [scan(f, t) for t in ("actor_pairs", "elo_pairs", "responses", "judgments", "prompts")]
    return dpo_dataset(*tables, judge_template=judge_template(), encoder=FewTokens(), max_length=4096, seed=1).rows


STEPS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "mark duplicates": duplicates,
    "parse scores": scores,
    "actor pairs": pairs_of_actor,
    "selected responses": selected,
    "battles": all_battles,
    "parse winners": winners,
    "battle matrices": matrices,
    "Elo pairs": pairs_of_judge,
    "DPO dataset": dataset,
}


CHAINS = {"completions to pairs": list(STEPS)[:-1], "all": list(STEPS)}


def texts(rng: np.random.Generator, count: int, chars: int, ends: list[str]) -> list[str]:
    """Texts of about `chars` characters that look like prose to a compressor, each with one of the ends."""
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(5000)]
    prose = " ".join(rng.choice(words, 2_000_000))
    starts = rng.integers(0, len(prose) - 2 * chars, count)
    lengths = rng.integers(chars // 2, chars * 3 // 2, count)
    chosen = rng.integers(0, len(ends), count)
    return [prose[s : s + n] + ends[e] for s, n, e in zip(starts, lengths, chosen, strict=True)]


def tokens(rng: np.random.Generator, count: int, length: int) -> pl.Series:
    return pl.Series(rng.integers(0, 128_000, (count, length), dtype=np.int32)).cast(TOKEN_IDS)


def make(folder: Path, prompts: int) -> dict[str, float]:
    """Write all tables of an iteration; returns the MB of text in each."""
    rng = np.random.default_rng(0)
    texts_of_prompts = [f"{n} {text}" for n, text in enumerate(texts(rng, prompts, 240, ["?"]))]
    texts_of_prompts.sort(key=prompt_id)  # in the order of ids, as in a run
    ids = [prompt_id(text) for text in texts_of_prompts]
    count = prompts * RESPONSES
    finish = pl.Series(np.where(rng.random(count) < 0.02, "length", "stop"))
    tables = {
        "prompts": pl.DataFrame({"prompt_id": ids, "prompt": texts_of_prompts}),
        "responses": pl.DataFrame(
            {
                "response_id": [f"1.{i}.r{k}" for i in ids for k in range(RESPONSES)],
                "prompt_id": [i for i in ids for _ in range(RESPONSES)],
                "k": list(range(RESPONSES)) * prompts,
                "response": texts(rng, count, RESPONSE_CHARS, [".", "!"]),
                "finish_reason": finish,
            }
        ).with_columns(token_ids=tokens(rng, count, RESPONSE_TOKENS)),
    }
    tables["responses"] = mark_duplicates(tables["responses"])
    count *= JUDGMENTS
    ends = [f"\n\nScore: {s}" for s in (0, 1, 2, 3, 4, 5, 4.5)] + ["\n\n**Score:** <4>", "\n\nScore: 4/5"]
    ends = [*ends * 10, "\n\nScore: 50"]
    responses = tables["responses"]["response_id"].to_list()
    judged = pl.DataFrame(
        {
            "judgment_id": [f"{r}.j{n}" for r in responses for n in range(JUDGMENTS)],
            "response_id": [r for r in responses for _ in range(JUDGMENTS)],
            "n": list(range(JUDGMENTS)) * len(responses),
            "judgment": texts(rng, count, JUDGMENT_CHARS, ends),
            "finish_reason": np.where(rng.random(count) < 0.02, "length", "stop"),
        }
    )
    tables["judgments"] = with_scores(judged).with_columns(token_ids=tokens(rng, count, JUDGMENT_TOKENS))
    tables["selected_responses"] = select_responses(tables["responses"], tables["judgments"], seed=1).rows
    fought = battles(tables["selected_responses"], tables["judgments"])
    verdicts = ["\n\nWinner: Judgement A", "\n\n**Winner:** [Judgment B]", "\n\nWinner: Judgement B", "\n\nWinner: Tie"]
    said = pl.Series(texts(rng, fought.height, META_JUDGMENT_CHARS, verdicts))
    tables["meta_judgments"] = with_winners(fought.with_columns(meta_judgment=said))
    tables["battle_matrices"] = battle_matrices(tables["meta_judgments"]).rows
    tables["elo_pairs"] = elo_pairs(tables["battle_matrices"], tables["judgments"], max_chosen_chars=1100, seed=1).rows
    tables["actor_pairs"] = actor_pairs(
        tables["responses"], tables["judgments"], rho=0.32, max_chosen_chars=2500, seed=1
    ).rows
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet", row_group_size=20_000)
    spoken = {"prompts": "prompt", "responses": "response", "judgments": "judgment", "meta_judgments": "meta_judgment"}
    return {name: round(int(tables[name][text].str.len_bytes().sum()) / 1e6, 1) for name, text in spoken.items()}


def measure(folder: Path, step: str) -> dict[str, float]:
    """Run one step, or a chain of them, in this process: seconds, CPU seconds, rows, peak GB beyond the imports."""
    before = peak_rss_bytes()
    start, cpu, rows = time.perf_counter(), time.process_time(), 0
    for name in CHAINS.get(step, [step]):
        rows = STEPS[name](folder).height
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"s": seconds, "cpu_s": cpu, "rows": rows, "peak_gb": (peak_rss_bytes() - before) / 1e9}


def child(*args: str) -> dict[str, float]:
    """What this script prints when it is run again in a fresh process."""
    command = [sys.executable, "-m", "mr_assets_tests.benchmarks.data_side", *args]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measure, print a table, write ``benchmarks/results/data_side.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        print(json.dumps(make(args.make, args.prompts)))
        return
    if args.step:
        print(json.dumps(measure(Path(args.step[0]), args.step[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        text = child("--make", folder, "--prompts", str(args.prompts))
        runs = {step: [child("--step", folder, step) for _ in range(args.repeats)] for step in [*STEPS, *CHAINS]}
        on_disk = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    steps: dict[str, dict[str, Any]] = {
        step: {
            "s": spread([m["s"] for m in made]),
            "cpu_s": spread([m["cpu_s"] for m in made]),
            "peak_gb": spread([m["peak_gb"] for m in made]),
            "rows": int(made[0]["rows"]),
        }
        for step, made in runs.items()
    }
    print(f"{'step':<20} {'rows':>7} {'s min':>7} {'median':>7} {'max':>7} {'CPU s':>7} {'peak GB':>8}")
    for step, figures in steps.items():
        s, peak = figures["s"], figures["peak_gb"]
        cpu = figures["cpu_s"]["median"]
        print(
            f"{step:<20} {figures['rows']:>7} {s['min']:>7.2f} {s['median']:>7.2f} {s['max']:>7.2f} "
            f"{cpu:>7.2f} {peak['max']:>8.2f}"
        )
    print(f"{'goal (to pairs)':<20} {'':>7} {'':>7} {'<= 3':>7} {'':>7} {'':>7} {'<= 0.5':>8}")
    result = {
        "what": "from completions to pairs and to the DPO dataset, reading from parquet included",
        "goal": GOAL,
        "text_mb": {**text, "all": round(sum(text.values()), 1)},
        "parquet_mb": round(on_disk, 1),
        "polars_threads": pl.thread_pool_size(),
        "steps": steps,
        "load_average_1min_after": round(os.getloadavg()[0], 2),
    }
    print(write_result("data_side", result))


if __name__ == "__main__":
    main()
