"""The README's picture of the loop learning, drawn from learning.csv.

    .venv/bin/python docs/pictures/learning.py                 draws learning.png
    .venv/bin/python docs/pictures/learning.py RUN [RUN ...]   first writes learning.csv from the evaluations of runs

Runs of one recipe are one line: the mean over its seeds, and a band from the lowest to the highest.
"""

import sys
from pathlib import Path

import polars as pl

from mr_assets.runs.data_folder import data_root
from mr_assets.runs.stored import named_runs

HERE = Path(__file__).parent
FIGURES = {"true_score": "actor: true score, 0 to 5", "judge_exact": "judge: share of exact scores"}
LINES = {
    "small_world_meta_rewarding": ("Meta-Rewarding", "#3b6ea8"),
    "small_world_self_rewarding": ("Self-Rewarding + LC", "#d1783c"),
}


def measured(names: list[str]) -> pl.DataFrame:
    """What the evaluations of finished runs say: columns of learning.csv."""
    rows = [
        (run.origin[0], name, "seed" if key == "seed" else f"M{key}", figure, record.numbers[figure])
        for name, run in named_runs(data_root(), *names).items()
        for key in run.models
        for figure in FIGURES
        if (record := run.record("evaluation", key))
    ]
    columns = {"recipe": pl.String, "run": pl.String, "model": pl.String, "figure": pl.String, "value": pl.Float64}
    value, by = pl.col("value"), ["recipe", "model", "figure"]
    return (
        pl.DataFrame(rows, schema=columns, orient="row")
        .group_by(by, maintain_order=True)
        .agg(seeds=pl.col("run").n_unique(), mean=value.mean(), low=value.min(), high=value.max())
        .select("recipe", "seeds", "model", "figure", pl.col("mean", "low", "high").round(2))
    )


def draw(figures: pl.DataFrame, place: Path) -> None:
    """One panel per figure, one line per recipe."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8.4, 3.1), dpi=110, layout="constrained")
    panels = drawn.subplots(1, len(FIGURES))
    for axes, (figure, words) in zip(panels, FIGURES.items(), strict=True):
        for (recipe,), line in figures.filter(figure=figure).group_by("recipe", maintain_order=True):
            name, colour = LINES[str(recipe)]
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


if __name__ == "__main__":
    if sys.argv[1:]:
        measured(sys.argv[1:]).write_csv(HERE / "learning.csv", float_precision=2)
    draw(pl.read_csv(HERE / "learning.csv"), HERE / "learning.png")
