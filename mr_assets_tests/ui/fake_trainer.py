"""A training that takes its time and can be resumed: steps that are counted, a checkpoint every few of them.

Its workspace, its leash and its metrics are the product's; only what a step does is not. The model's own content is a
hash over all steps, so that a step that is left out or done twice gives another model.
"""

import json
import os
import shutil
import time
from hashlib import blake2b
from pathlib import Path

import polars as pl

from mr_assets.training.leash import follow_starter
from mr_assets.training.margins import MARGINS
from mr_assets_tests.fakes import reward_margins

STEPS, SAVED_EVERY = 12, 3


def main() -> None:
    """Train what the workspace describes, when it is known."""
    workspace = follow_starter()()
    job = json.loads((workspace / "job.json").read_text())["job"]
    data, seconds = Path(os.environ["MR_DATA"]), float(os.environ.get("MR_FAKE_STEP_SECONDS", "0"))
    saved = workspace / "saved.json"
    step, value = (
        json.loads(saved.read_text())
        if saved.exists()
        else (0, blake2b((workspace / "data.arrow").read_bytes()).hexdigest())
    )
    if job["kind"] == "sft":
        time.sleep(float(os.environ.get("MR_FAKE_SFT_SECONDS", "0")))
    while step < STEPS:
        time.sleep(seconds)
        step, value = step + 1, blake2b(f"{value}{step}".encode()).hexdigest()
        _append(data / "steps.log", f"{job['out']} {os.getpid()}")
        _append(workspace / "metrics.jsonl", json.dumps(_metrics(step)))
        if step % SAVED_EVERY == 0:
            saved.with_suffix(".new").write_text(json.dumps([step, value]))
            saved.with_suffix(".new").replace(saved)
    model = workspace / "model"
    shutil.copytree(job["model"], model, ignore=shutil.ignore_patterns("complete.json", MARGINS))
    if job["kind"] == "dpo":
        pairs = pl.read_ipc_stream(workspace / "data.arrow")["pair_id"]
        reward_margins(pairs).write_parquet(model / MARGINS)
    (model / "trained.json").write_text(json.dumps(value))
    shutil.copy(workspace / "metrics.jsonl", model / "training_log.jsonl")


def _metrics(step: int) -> dict[str, float]:
    rewards = {"rewards/margins": 0.1, "rewards/accuracies": 0.5}
    return {"step": step, "total_steps": STEPS, "epoch": step / STEPS, "loss": 1 / step, **rewards}


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
