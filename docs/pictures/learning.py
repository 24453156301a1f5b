"""The README's picture of the loop learning, drawn from learning.csv.

    .venv/bin/python -m docs.pictures.learning                 draws learning.png
    .venv/bin/python -m docs.pictures.learning RUN [RUN ...]   first writes learning.csv from the evaluations of runs

Runs of one recipe are one line: the mean over its seeds, and a band from the lowest to the highest.
"""

import sys
from pathlib import Path

import polars as pl

from mr_assets.runs.data_folder import data_root
from mr_assets.runs.stored import named_runs
from mr_assets_tests.study.picture import FIGURES, draw, mean_and_spread

HERE = Path(__file__).parent
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
    columns = {"line": pl.String, "seed": pl.String, "model": pl.String, "figure": pl.String, "value": pl.Float64}
    return mean_and_spread(pl.DataFrame(rows, schema=columns, orient="row"))


if __name__ == "__main__":
    if sys.argv[1:]:
        measured(sys.argv[1:]).write_csv(HERE / "learning.csv", float_precision=2)
    draw(pl.read_csv(HERE / "learning.csv"), LINES, HERE / "learning.png")
