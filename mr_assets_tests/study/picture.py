"""A picture of the loop learning: one panel per figure, one line per recipe or arm, over the models."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

FIGURES = {"true_score": "actor: true score, 0 to 5", "judge_exact": "judge: share of exact scores"}

Lines = Mapping[str, tuple[str, str]]
"""Name and colour of each line, by what it is called in the data."""


def mean_and_spread(measured: pl.DataFrame) -> pl.DataFrame:
    """line, model, figure, seeds, mean, low, high, of rows of line, seed, model, figure, value; rounded to two digits.

    Lowest and highest are of the seeds.
    """
    value, by = pl.col("value"), ["line", "model", "figure"]
    return (
        measured.group_by(by, maintain_order=True)
        .agg(seeds=pl.col("seed").n_unique(), mean=value.mean(), low=value.min(), high=value.max())
        .with_columns(pl.col("mean", "low", "high").round(2))
    )


def draw(figures: pl.DataFrame, lines: Lines, place: Path) -> None:
    """The mean over seeds as a line, and a band from the lowest to the highest: rows of `mean_and_spread`."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8.4, 3.1), dpi=110, layout="constrained")
    panels = drawn.subplots(1, len(FIGURES))
    for axes, (figure, words) in zip(panels, FIGURES.items(), strict=True):
        for (key,), line in figures.filter(figure=figure).group_by("line", maintain_order=True):
            name, colour = lines[str(key)]
            seeds = line["seeds"][0]
            label = f"{name}, {seeds} seed{'s' * (seeds > 1)}"
            axes.fill_between(line["model"], line["low"], line["high"], color=colour, alpha=0.2, linewidth=0)
            axes.plot(line["model"], line["mean"], color=colour, marker="o", markersize=4, label=label)
        axes.set_title(words, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.locator_params(axis="y", nbins=6, steps=(1, 2, 5, 10))
        axes.grid(axis="y", alpha=0.3)
    panels[0].legend(frameon=False, fontsize=9, loc="lower right")
    drawn.savefig(place, metadata={"Software": None})
