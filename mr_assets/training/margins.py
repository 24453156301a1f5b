"""The reward margin of every pair after the training that took it: a table in the model's folder, beside its log.

    pair_id               chosen_reward  rejected_reward  reward_margin
    2.3f1c09aa72be.actor           0.41            -0.42           0.83

A completion's reward is beta times the log-ratio of its probabilities under the trained model and under the model that
it was trained from, which is its reference. Before training the two are one model, and every reward is 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.tables import REWARD_MARGINS

MARGINS = "reward_margins.parquet"
# Figures of a table, by which pairs they are over: "pairs", "actor pairs" or "judge pairs"
MEAN = "reward margin after training, mean over {}"
POSITIVE = "share of {} with a positive margin after training"


def margins_table(pair_ids: Sequence[str], chosen: Any, rejected: Any) -> pl.DataFrame:
    """Rows of `REWARD_MARGINS` from the rewards of both sides of each pair, sequences or arrays of numbers."""
    rewards = pl.DataFrame({"pair_id": pair_ids, "chosen_reward": chosen, "rejected_reward": rejected})
    margins = rewards.with_columns(reward_margin=pl.col("chosen_reward") - pl.col("rejected_reward"))
    return margins.cast(REWARD_MARGINS.schema)


def scan_margins(folder: Path) -> pl.LazyFrame | None:
    """The table of the model in `folder`, lazily. None if it has none: after SFT, or of an earlier version.

    Raises `UserError` if it cannot be read or has another version's columns.
    """
    path = folder / MARGINS
    if not path.is_file():
        return None
    try:
        return REWARD_MARGINS.scan(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path} cannot be read: {error}. Materialize checkpoints again.") from error


def margin_figures(margins: pl.DataFrame) -> dict[str, float]:
    """Mean margin and share of positive ones: over all pairs, and over those of each kind that there is.

    So every figure goes on through all iterations that have such pairs, those without a judge's side too.
    margins: rows of `REWARD_MARGINS`. Without rows there are no figures.
    """
    margin, pair = pl.col("reward_margin"), pl.col("pair_id")
    kinds = {f"{kind} pairs": margins.filter(pair.str.ends_with(f".{kind}")) for kind in ("actor", "judge")}
    figures: dict[str, float | None] = {}
    for pairs, rows in {"pairs": margins, **kinds}.items():
        mean, positive = rows.select(margin.mean(), (margin > 0).mean().alias("positive")).row(0)
        figures |= {MEAN.format(pairs): mean, POSITIVE.format(pairs): positive}
    return {name: figure for name, figure in figures.items() if figure is not None}
