"""AlpacaEval 2 (Dubois et al. 2024): win rate, length-controlled win rate and length, from a judge's annotations.

    mr alpaca-eval results/my_model/weighted_alpaca_eval_gpt4_turbo/annotations.json

The win rate is that of the official tool to the last digit. The length-controlled one is the official model: length,
instruction difficulty and quality in a logistic regression. Two of its inputs are made here, as the official ones are a
download: the difficulties of the 805 instructions (`alpaca_eval.csv`, see `mr_assets_tests/evaluation/difficulty.py`),
and what two models that differ from the reference in length alone would win. Over 40 models it is 0.2 points off the
official leaderboard on average, and at most 1.0; over ten others, 0.7 and 1.8.

The official tool looks the difficulty up by the number of the row, not by the instruction: where rows are missing, all
that follow take a neighbour's. So does this one, or its numbers could not stand beside the leaderboard's.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mr_assets.errors import UserError
from mr_assets.method.win_rates import Fitted, Known, length_controlled, length_term

INSTRUCTIONS = 805

# The official length-controlled fits of GPT-4 Turbo told to be verbose, and concise: length, difficulty, quality
# (alpaca_eval, metrics/weights). Their length terms were fitted with their own rows as known ones; 0.9 undoes that:
# with it the length terms of 40 models agree with the official ones on average.
GAMED = {"verbose": (-1.5835 * 0.9, 0.8335, 0.1924), "concise": (-1.6425 * 0.9, 0.6836, -0.3182)}
GAMED_WEIGHT = 0.1  # official: 0.2 for the two together
RESAMPLES = 500

COLUMNS = ("preference", "reference_chars", "model_chars")


class Score(NamedTuple):
    """What the leaderboard says of a model: percent, with 95% bootstrap intervals over instructions.

    average_length: characters of the model's answers. rows: annotations with a preference; missing: without one.
    """

    model: str
    win_rate: float
    win_rate_interval: tuple[float, float]
    length_controlled: float
    length_controlled_interval: tuple[float, float]
    average_length: float
    rows: int
    missing: int


@cache
def _instructions() -> pl.DataFrame:
    """index, difficulty, verbose, concise, instruction (its fingerprint): see the file's maker."""
    with (files("mr_assets.evaluation") / "alpaca_eval.csv").open("rb") as file:
        return pl.read_csv(file, schema_overrides={"instruction": pl.String})


def fingerprint_of(instruction: str) -> str:
    """Eight hex digits of an instruction, by which the official ones are known."""
    return sha256(instruction.encode()).hexdigest()[:8]


def are_official(instructions: Sequence[str]) -> bool:
    """Whether these are AlpacaEval's instructions in their order, or the first of them."""
    known = _instructions()["instruction"].head(len(instructions)).to_list()
    return [fingerprint_of(each) for each in instructions] == known


@cache
def _gamed() -> Known:
    table = _instructions()
    difficulty = table["difficulty"].to_numpy()
    differences, preferences = [], []
    for name, (length, hard, quality) in GAMED.items():
        difference = length_term(table[name].to_numpy(), np.zeros(table.height))
        differences.append(difference)
        preferences.append(1 / (1 + np.exp(-(length * difference + hard * difficulty + quality))))
    both = np.concatenate([difficulty, difficulty])
    return Known(np.concatenate(differences), both, np.concatenate(preferences), GAMED_WEIGHT)


def read_annotations(path: Path) -> dict[str, pl.DataFrame]:
    """The annotations of each model in a file: preference (1 to 2, null or 0), reference_chars, model_chars; in order.

    Takes what the official tool writes (annotations.json: output_1 is the reference's answer, output_2 the model's,
    preference 1.0 to 2.0, generator_2 the model), and the same as .jsonl. Raises UserError if it is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else None
        rows = json.loads(text) if rows is None else rows
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: could not be read as annotations ({error}). Give the tool's annotations.json."
        ) from error
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected a list of annotations, as in the tool's annotations.json.")
    found: dict[str, list[tuple[float | None, int, int]]] = {}
    references: dict[str, set[Any]] = {}
    for number, row in enumerate(rows, start=1):
        model, annotation = _annotation(path, number, row)
        found.setdefault(model, []).append(annotation)
        references.setdefault(model, set()).add(row.get("generator_1"))
    for model, names in references.items():
        if len(names) > 1:
            known = ", ".join(sorted(map(str, names)))
            raise UserError(
                f"{path}: {model} is compared with {len(names)} references ({known}). A win rate is against one: "
                "split the file."
            )
    schema = dict(zip(COLUMNS, (pl.Float64, pl.Int64, pl.Int64), strict=True))
    return {model: pl.DataFrame(each, schema, orient="row") for model, each in found.items()}


def _annotation(path: Path, number: int, row: Any) -> tuple[str, tuple[float | None, int, int]]:
    missing = [key for key in ("output_1", "output_2", "preference") if not isinstance(row, dict) or key not in row]
    if missing:
        raise UserError(
            f"{path}, annotation {number}: has no {', '.join(missing)}. Expected those of the official tool."
        )
    preference = row["preference"]
    number_like = isinstance(preference, int | float) and not isinstance(preference, bool)
    if preference is not None and not (number_like and (preference == 0 or 1 <= preference <= 2)):
        raise UserError(
            f"{path}, annotation {number}: preference is {preference!r}. Expected 1 (the reference's answer is better) "
            "to 2 (the model's is), 0 for a draw, or null."
        )
    for key in ("output_1", "output_2"):
        if row[key] is not None and not isinstance(row[key], str):
            raise UserError(f"{path}, annotation {number}: {key} is {row[key]!r}. Expected a text.")
    lengths = len(row["output_1"] or ""), len(row["output_2"] or "")
    return str(row.get("generator_2", path.parent.name)), (None if preference is None else float(preference), *lengths)


def won(preference: pl.Expr) -> pl.Expr:
    """The official reading of a preference, from 0 (lost) to 1 (won): 1 to 2 less one, and 0 is a draw."""
    return pl.when(preference == 0).then(0.5).otherwise(preference - 1)


def score(model: str, annotations: pl.DataFrame, seed: int = 0, *, official: bool = True) -> Score:
    """What the leaderboard would say of a model, from its annotations in the order of the instructions.

    Columns as from `read_annotations`. Up to 805 rows; a row without a preference counts nowhere but keeps its place.
    official: whether these are AlpacaEval's instructions, whose difficulty is known. Of others the length-controlled
    win rate is fitted of length and quality alone.
    Raises UserError if there are more rows of official ones, or none with a preference.
    """
    if not official:
        table = annotations.with_columns(won=won(pl.col("preference")))
        return _score(model, table, seed, _rates_of_others)
    if annotations.height > INSTRUCTIONS:
        raise UserError(
            f"{model}: {annotations.height:,} annotations. AlpacaEval has {INSTRUCTIONS} instructions: score one model "
            "and one judge at a time."
        )
    difficulty = _instructions()["difficulty"].head(annotations.height)
    return _score(model, annotations.with_columns(difficulty, won=won(pl.col("preference"))), seed, _rates)


def _score(
    model: str, annotations: pl.DataFrame, seed: int, rates_of: Callable[[pl.DataFrame], tuple[float, float]]
) -> Score:
    table = annotations.filter(pl.col("won").is_not_null())
    if table.is_empty():
        raise UserError(f"{model}: no annotation has a preference. Annotate again.")
    rates = rates_of(table)
    draw = np.random.default_rng(seed)
    drawn = (table[draw.integers(0, table.height, table.height)] for _ in range(RESAMPLES))
    again = np.array([rates_of(each) for each in drawn])
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    return Score(
        *(model, rates[0], (float(low[0]), float(high[0])), rates[1], (float(low[1]), float(high[1]))),
        average_length=float(annotations["model_chars"].mean()),  # type: ignore[arg-type]
        rows=table.height,
        missing=annotations.height - table.height,
    )


def _rates(table: pl.DataFrame) -> tuple[float, float]:
    fitted = length_controlled(
        *(table["won"], table["reference_chars"], table["model_chars"]), table["difficulty"], _gamed()
    )
    return _percent(table, fitted)


def _rates_of_others(table: pl.DataFrame) -> tuple[float, float]:
    return _percent(table, length_controlled(table["won"], table["reference_chars"], table["model_chars"]))


def _percent(table: pl.DataFrame, fitted: Fitted) -> tuple[float, float]:
    return 100 * float(table["won"].mean()), 100 * fitted.win_rate  # type: ignore[arg-type]
