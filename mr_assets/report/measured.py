"""What is known of the models of a run: every figure of the assets that there is one of for each model, and of
benchmarks that another judge decided.

    evaluation, "judge_exact": seed 0.55 (0.52 to 0.58), M0 0.56 (...), M1 ...
    data/RUN/benchmarks/arena_hard/gpt-4.1/results.json: {"benchmark": ..., "judge": ..., "rows": [...]}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from statistics import fmean

import polars as pl

from mr_assets.evaluation.results import FILE, FOLDER, Results, read_results
from mr_assets.ids import model_id
from mr_assets.loop import Place
from mr_assets.runs.estimates import Estimate, estimates
from mr_assets.runs.object_store import store_of
from mr_assets.runs.run import Run

JUDGE = "judge"
"""The number of a record, and the field of results.json, that names who judged if the run's own judges did not."""
PROMPT = "prompt_id"
EACH = "_each"
"""How the column of a figure's values by question ends, where a table has one row for all."""
COLUMNS = {"win_rate": "preference", "characters": "chars"}
"""Figures whose values by prompt are in a column of another name."""

SPEED = frozenset({"tokens per second", "prompt tokens cached", "preemptions", "most completions waiting"})
"""Figures of the engine, not of the model that it sampled."""
TWICE = {
    "probe_judgments": {"mean score", "standard deviation of scores", "share of top scores", "score entropy"},
    "win_rates": {"seed_score", "seed_characters"},
}
"""By asset, figures that stand elsewhere: with their intervals in `scoring_shift`, and under the seed model itself."""


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
    """Every figure of the models of a run; counts, `SPEED` and `TWICE` aside.

    old: what of the run is stale, as `runs.status.stale` says.
    """
    found: dict[Key, Measured] = {}
    for asset in run.loop.per("model"):
        for partition in run.models:
            if record := run.record(asset, partition):
                name, judge = model_id(partition), record.numbers.get(JUDGE)
                aside = SPEED | TWICE.get(asset, set())
                for figure, value in estimates(record.numbers).items():
                    if figure in aside:
                        continue
                    key = Key(asset, figure, judge if isinstance(judge, str) else "")
                    each = found.setdefault(key, Measured(key))
                    each.values[name] = value
                    if (asset, partition) in old:
                        each.stale.add(name)
                    if by_prompt := _by_prompt(run.path(asset, partition), figure, value.value):
                        each.by_prompt[name] = by_prompt
    trained = {model_id(key): run.record(*run.model_at(key)) for key in run.models if key != "seed"}
    there = {name: record.model["fingerprint"] for name, record in trained.items() if record and record.model}
    if store := store_of(run.folder):
        store.fetch_given(run.folder / FOLDER, FILE)
    for results in read_results(run.folder):
        _add_results(found, results, ["seed", *trained], there)
    return {key: each for key, each in found.items() if not _is_count(each.values.values())}


def _is_count(values: Iterable[Estimate]) -> bool:
    """Whether a figure is one that others rest on, such as the number of prompts: whole, and known for certain."""
    return all(isinstance(each.value, int) and each.low is None for each in values)


def _by_prompt(table: Path, figure: str, value: float) -> dict[str, float]:
    """The values of a figure by prompt; none unless the table has them and the figure is their mean."""
    schema = pl.read_parquet_schema(table) if table.exists() else {}
    if f"{figure}{EACH}" in schema:
        return _of_each(pl.read_parquet(table, columns=[f"{figure}{EACH}"], glob=False), value)
    column = next((name for name in (figure, COLUMNS.get(figure)) if name in schema), None)
    if column is None or PROMPT not in schema or not schema[column].is_numeric():
        return {}
    rows = pl.read_parquet(table, columns=[PROMPT, column], glob=False).drop_nulls()
    found: dict[str, float] = dict(rows.group_by(PROMPT).agg(pl.col(column).mean()).sort(PROMPT).iter_rows())
    return found if found and isclose(fmean(found.values()), value, rel_tol=1e-6, abs_tol=1e-9) else {}


def _of_each(row: pl.DataFrame, value: float) -> dict[str, float]:
    """The values of a list of one row by their places; the questions of as many are the same in every artifact."""
    values = row.to_series().explode().drop_nulls().to_list()
    known = bool(values) and isclose(fmean(values), value, rel_tol=1e-6, abs_tol=1e-9)
    return {f"{n} of {len(values)}": each for n, each in enumerate(values, start=1)} if known else {}


def _add_results(found: dict[Key, Measured], said: Results, order: Sequence[str], there: Mapping[str, str]) -> None:
    """What a benchmark says of the models, those of the run first, in their order.

    there: the fingerprints of the trained models; a result that notes another one is stale.
    """
    rows = {str(row["model"]): row for row in said.rows}
    asked: Mapping[str, str] = said.about.get("models", {})
    for name in sorted(rows, key=lambda name: order.index(name) if name in order else len(order)):
        for figure, value in estimates(rows[name]).items():
            key = Key(said.benchmark, figure, said.judge)
            each = found.setdefault(key, Measured(key))
            each.values[name] = value
            if name in asked and asked[name] != there.get(name, asked[name]):
                each.stale.add(name)
