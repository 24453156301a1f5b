"""How a run goes, iteration by iteration, by the figures that its records keep: no table is read, no truth is asked.

    iteration   with a score   mean score   reliability   first position wins   loss
    1                   100%         2.83          0.94                  0.55   0.62
    2                   100%         3.47          0.97                  0.52   0.57

Records of earlier versions have fewer figures; what one lacks is None.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mr_assets.loop import Place
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run

Value = float | int | None
Form = Literal["share", "count", "number"]


def _number(name: str) -> Callable[[Record], Value]:
    """A figure of the record."""

    def value(record: Record) -> Value:
        found = record.numbers.get(name)
        return found if isinstance(found, int | float) else None

    return value


def _longer(record: Record) -> Value:
    """The mean characters of chosen completions, as a multiple of the rejected ones'."""
    chosen, rejected = (_number(f"mean {side} characters")(record) for side in ("chosen", "rejected"))
    return chosen / rejected if chosen is not None and rejected else None


@dataclass(frozen=True)
class Figure:
    """One figure of an iteration: what it is called, of which asset's record it is, and how it is written.

    asked: what the list of the asset's texts, if there is one, is asked for to have what was counted.
    """

    name: str
    asset: str
    value: Callable[[Record], Value]
    form: Form = "number"
    asked: Mapping[str, str] = field(default_factory=dict, hash=False)

    def shown(self, value: Value) -> str:
        """A value as a person reads it."""
        if value is None:
            return MISSING
        if self.form == "count":
            return f"{value:,.0f}"
        return f"{100 * value:.3g}%" if self.form == "share" else f"{value:.3g}"


MISSING = "-"
"""What is written where a figure is not known."""
INVALID = {"judgments": {"invalid": "any"}, "meta_judgments": {"invalid": "any", "sampled": "yes"}}
CUT_OFF = {"cut_off": "yes"}

FIGURES: dict[str, tuple[Figure, ...]] = {
    "responses and their scores": (
        Figure("characters", "responses", _number("mean characters")),
        Figure("duplicates", "responses", _number("duplicates"), "count", {"duplicate": "yes"}),
        Figure("responses cut off", "responses", _number("cut off"), "count", CUT_OFF),
        Figure("judgments cut off", "judgments", _number("cut off"), "count", CUT_OFF),
        Figure("with a score", "judgments", _number("parse rate"), "share", INVALID["judgments"]),
        Figure("mean score", "judgments", _number("mean score")),
        Figure("standard deviation", "judgments", _number("standard deviation of scores")),
        Figure("top scores", "judgments", _number("share of top scores"), "share"),
        Figure("reliability", "judgments", _number("score reliability")),
        Figure("reliability of one judgment", "judgments", _number("score reliability, one judgment")),
    ),
    "battles": (
        Figure("meta-judgments cut off", "meta_judgments", _number("cut off"), "count", CUT_OFF | {"sampled": "yes"}),
        Figure("with a winner", "meta_judgments", _number("parse rate"), "share", INVALID["meta_judgments"]),
        Figure("first position wins", "meta_judgments", _number("first position wins"), "share"),
        Figure("first wins, same score", "meta_judgments", _number("first position wins, same score"), "share"),
        Figure("first wins, other score", "meta_judgments", _number("first position wins, different score"), "share"),
        Figure("higher score wins", "meta_judgments", _number("higher score wins"), "share"),
        Figure("strongly connected", "battle_matrices", _number("share strongly connected"), "share"),
    ),
    "pairs": (
        Figure("prompts with an actor pair", "actor_pairs", _number("share of prompts with a pair"), "share"),
        Figure("score gap", "actor_pairs", _number("mean score gap")),
        Figure("chosen response, times rejected", "actor_pairs", _longer),
        Figure("matrices with a judge pair", "elo_pairs", _number("share of matrices with a pair"), "share"),
        Figure("Elo gap", "elo_pairs", _number("mean Elo gap")),
        Figure("chosen judgment, times rejected", "elo_pairs", _longer),
    ),
    "training": (
        Figure("loss", "checkpoints", _number("loss, mean of the last epoch")),
        Figure("reward accuracy", "checkpoints", _number("reward accuracy, mean of the last epoch"), "share"),
        Figure("reward margin", "checkpoints", _number("reward margin after training, mean over pairs")),
        Figure("margin of actor pairs", "checkpoints", _number("reward margin after training, mean over actor pairs")),
        Figure("margin of judge pairs", "checkpoints", _number("reward margin after training, mean over judge pairs")),
    ),
}
"""The figures of an iteration in groups, each a table. Their names are different."""


@dataclass(frozen=True)
class Row:
    """The figures of one iteration, by name, and why those that are stale are so."""

    iteration: str
    values: dict[str, Value]
    stale: dict[str, str]

    def why_stale(self, group: str) -> str | None:
        """Why the first figure of a group that is stale is so."""
        return next((self.stale[figure.name] for figure in FIGURES[group] if figure.name in self.stale), None)


def rows(run: Run, old: Mapping[Place, str]) -> list[Row]:
    """A row for each iteration of which a record is there. old: what of the run is stale, and why."""
    found = []
    for t in run.iterations:
        figures = [figure for group in FIGURES.values() for figure in group]
        records = {figure.asset: run.record(figure.asset, t) for figure in figures}
        if any(records.values()):
            values = {f.name: f.value(record) if (record := records[f.asset]) else None for f in figures}
            stale = {f.name: old[f.asset, t] for f in figures if records[f.asset] and (f.asset, t) in old}
            found.append(Row(t, values, stale))
    return found
