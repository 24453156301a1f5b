"""What is known of the models of a run: every figure of the assets that there is one of for each model, and of
benchmarks that another judge decided.

    evaluation, "judge_exact": seed 0.55 (0.52 to 0.58), M0 0.56 (...), M1 ...
    data/RUN/benchmarks/arena_hard/results.json, judged by gpt-4.1: {"benchmark": ..., "judge": ..., "rows": [...]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import model_id
from mr_assets.loop import Place
from mr_assets.runs.estimates import Estimate, estimates
from mr_assets.runs.run import Run

RESULTS = "benchmarks/*/results.json"
"""Where the results of benchmarks lie in a run's folder."""
JUDGE = "judge"
"""The number of a record, and the field of results.json, that names who judged if the run's own judges did not."""
PROMPT = "prompt_id"


@dataclass(frozen=True)
class Key:
    """A figure: source is the asset or benchmark that it is of, judge who judged, "" for the run's own or the truth."""

    source: str
    name: str
    judge: str = ""


@dataclass(frozen=True)
class Measured:
    """A figure of every model that it is known of, by the model's name, in order; which of these are stale.

    by_prompt: per model the values by prompt whose mean the figure is, where the asset's table has them.
    """

    key: Key
    values: dict[str, Estimate] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    by_prompt: dict[str, dict[str, float]] = field(default_factory=dict)


def measured(run: Run, old: Mapping[Place, str]) -> dict[Key, Measured]:
    """Every figure of the models of a run. old: what of the run is stale, as `mr_assets.runs.status.stale` says."""
    found: dict[Key, Measured] = {}
    for asset in run.loop.per("model"):
        for partition in run.models:
            if record := run.record(asset, partition):
                name, judge = model_id(partition), record.numbers.get(JUDGE)
                for figure, value in estimates(record.numbers).items():
                    key = Key(asset, figure, judge if isinstance(judge, str) else "")
                    each = found.setdefault(key, Measured(key))
                    each.values[name] = value
                    if (asset, partition) in old:
                        each.stale.add(name)
                    if by_prompt := _by_prompt(run.path(asset, partition), figure, value.value):
                        each.by_prompt[name] = by_prompt
    for path in sorted(run.folder.glob(RESULTS)):
        _add_results(found, path, [model_id(key) for key in run.models])
    return found


def _by_prompt(table: Path, figure: str, value: float) -> dict[str, float]:
    """The values of a figure by prompt; none unless the table has them and the figure is their mean."""
    if not table.exists() or not {PROMPT, figure} <= set(schema := pl.read_parquet_schema(table)):
        return {}
    if not (schema[figure].is_numeric() or schema[figure] == pl.Boolean):
        return {}
    rows = pl.read_parquet(table, columns=[PROMPT, figure], glob=False).drop_nulls()
    means = rows.group_by(PROMPT).agg(pl.col(figure).cast(pl.Float64).mean()).sort(PROMPT)
    found: dict[str, float] = dict(means.iter_rows())
    return found if found and abs(sum(found.values()) / len(found) - value) < 1e-6 * max(1.0, abs(value)) else {}


def _add_results(found: dict[Key, Measured], path: Path, models: Sequence[str]) -> None:
    """What a benchmark says of the models. Raises `UserError` if its file is not as it should be."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        source, judge, rows = str(said["benchmark"]), str(said[JUDGE]), list(said["rows"])
        named: list[tuple[str, Mapping[str, Any]]] = [(str(row["model"]), row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no result of a benchmark ({type(error).__name__}: {error}). Expected benchmark, judge and "
            "rows. Remove it, or score the benchmark again."
        ) from error
    for name, row in named:
        model = model_id(name) if name == "seed" or name.isdigit() else name
        for figure, value in estimates(row).items():
            key = Key(source, figure, judge)
            found.setdefault(key, Measured(key)).values[model] = value
    order = {name: place for place, name in enumerate(models)}
    for key, each in found.items():
        if key.source == source:
            ordered = sorted(each.values.items(), key=lambda item: order.get(item[0], len(order)))
            each.values.clear()
            each.values.update(ordered)
