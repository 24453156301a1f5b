"""The log that a trained model's folder keeps: a line per optimizer step, and what the last epoch came to."""

import json
from pathlib import Path

import polars as pl

from mr_assets.errors import UserError

LOG = "training_log.jsonl"
COLUMNS = {
    "loss": "loss",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "reward accuracy",
}
SCHEMA = pl.Schema({"step": pl.Int64(), "epoch": pl.Float64(), **{name: pl.Float64() for name in COLUMNS.values()}})


def read_log(folder: Path) -> pl.DataFrame:
    """One row per step of the model in `folder`: step, epoch, loss, reward margin and accuracy (null in SFT).

    Without a log there are no rows. Raises `UserError` if it is damaged.
    """
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        steps = [json.loads(line) for line in lines if line.strip()]
        rows = [
            {"step": s["step"], "epoch": s["epoch"], **{new: s.get(old) for old, new in COLUMNS.items()}} for s in steps
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error!r}. Materialize the model again.") from error
    return pl.DataFrame(rows, schema=SCHEMA, strict=False)


def last_epoch(log: pl.DataFrame) -> dict[str, float | None]:
    """Means over the steps of the last epoch; nothing of what was not logged."""
    last = log.filter(pl.col("epoch").ceil() == pl.col("epoch").ceil().max())
    means = {f"{name}, mean of the last epoch": last[name].mean() for name in COLUMNS.values()}
    return {name: float(mean) for name, mean in means.items() if isinstance(mean, float)}
