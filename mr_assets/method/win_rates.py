"""Win rates from preferences, soft or not, and what they would be at equal length (Dubois et al. 2024, section 3).

    fitted = length_controlled(preference, reference_chars, model_chars)
    fitted.win_rate     0.23: the share won if both answers had always been as long as each other

A preference is the probability, from 0 to 1, that the judge prefers the model's answer to the reference's; a draw is
0.5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.method import DECIMALS
from mr_assets.method.bootstrap import bootstraps, mean_with_interval
from mr_assets.method.logistic import Numbers, fit_logistic
from mr_assets.tables import WIN_RATES

Texts = tuple[str, str]
"""A prompt and a response to it."""


class Known(NamedTuple):
    """Rows whose outcome is known beforehand, of a model that differs from the reference in length alone.

    They have no quality term, so they tell the fit what length by itself is worth. All (n,): difference is
    `length_term`, difficulty that of the instruction, preference from 0 to 1; weight is that of each row.
    """

    difference: Numbers
    difficulty: Numbers
    preference: Numbers
    weight: float


@dataclass(frozen=True)
class Fitted:
    """The model logit P(win) = length * tanh(d / sd) + difficulty * gamma_i + quality, fitted by likelihood.

    d: characters of the reference's answer minus those of the model's; sd: its standard deviation over the rows.
    So a model that wins by writing more has a negative `length`. win_rate: the mean of P(win) at d = 0, from 0 to 1.
    """

    length: float
    difficulty: float
    quality: float
    win_rate: float


def length_term(reference_chars: Any, model_chars: Any) -> Numbers:
    """tanh(d / sd) of each row, from -1 to 1; 0 everywhere if the difference d never varies."""
    difference = np.asarray(reference_chars, dtype=np.float64) - np.asarray(model_chars, dtype=np.float64)
    deviation = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return np.asarray(np.tanh(difference / deviation)) if deviation > 0 else np.zeros_like(difference)


def length_controlled(
    preference: Any, reference_chars: Any, model_chars: Any, difficulty: Any = None, known: Known | None = None
) -> Fitted:
    """Fit the length-controlled win rate of one model against one reference.

    preference: (n,), from 0 to 1. reference_chars, model_chars: (n,) lengths in characters. difficulty: (n,) of the
    instructions, or None if nothing is known of them. Raises ValueError if there is no row.
    """
    from scipy.special import expit

    wins = np.asarray(preference, dtype=np.float64)
    if not len(wins):
        raise ValueError("a win rate needs at least one preference")
    hard = np.zeros_like(wins) if difficulty is None else np.asarray(difficulty, dtype=np.float64)
    rows = np.stack([length_term(reference_chars, model_chars), hard, np.ones_like(wins)], axis=1)
    weights = np.ones_like(wins)
    everything = rows
    if known is not None:
        without_quality = np.stack([known.difference, known.difficulty, np.zeros_like(known.difference)], axis=1)
        everything = np.concatenate([rows, without_quality])
        wins = np.concatenate([wins, known.preference])
        weights = np.concatenate([weights, np.full(len(known.difference), known.weight)])

    best = fit_logistic(everything, wins, weights)
    length, hardness, quality = (float(term) for term in best)
    return Fitted(length, hardness, quality, win_rate=float(expit(rows[:, 1:] @ best[1:]).mean()))


# ----------------------------------------------------------------------------------------------- held-out responses


def texts_of(tables: Iterable[pl.DataFrame]) -> list[Texts]:
    """Each (prompt, response) of the tables once: what several have is judged once, so that equal responses draw."""
    rows = (row for table in tables for row in table.select("prompt", "response").iter_rows())
    return list(dict.fromkeys(rows))


def scored(table: pl.DataFrame, scores: Mapping[Texts, float | None]) -> pl.DataFrame:
    """A table of prompts and responses with the column score."""
    each = [scores[row] for row in table.select("prompt", "response").iter_rows()]
    return table.with_columns(score=pl.Series(each, dtype=pl.Float64))


def win_rates(responses: pl.DataFrame, reference: pl.DataFrame, judge: str) -> pl.DataFrame:
    """Each response beside the reference's to the same prompt: columns of `WIN_RATES`, in the order of `responses`.

    responses, reference: response_id, prompt_id, response, score (null if it has none), of the same response_ids.
    judge: who gave the scores. The higher score wins; equal ones, rounded to `DECIMALS` (row 11), are a draw.
    """
    score, other = pl.col("score").round(DECIMALS), pl.col("seed_score").round(DECIMALS)
    seeds = reference.select("response_id", seed_score="score", seed_response="response")
    return (
        responses.join(seeds, on="response_id", maintain_order="left")
        .with_columns(
            pl.lit(judge).alias("judge"),
            preference=pl.when(score > other).then(1.0).when(score == other).then(0.5).when(score < other).then(0.0),
            chars=pl.col("response").str.len_chars().cast(pl.Int64),
            seed_chars=pl.col("seed_response").str.len_chars().cast(pl.Int64),
        )
        .select(list(WIN_RATES.columns))
    )


def win_rate_numbers(rows: pl.DataFrame) -> dict[str, float | int | None]:
    """rows: columns of `WIN_RATES`. Means and rates with 95% intervals, bootstrap over prompts; None of no row.

    A row without a preference counts in no rate and is counted. The length-controlled rate knows no difficulty of the
    prompts: length and quality are all that is fitted.
    """
    compared, preference = rows.drop_nulls("preference"), pl.col("preference")
    counts = {"wins": 1.0, "draws": 0.5, "losses": 0.0}
    numbers: dict[str, float | int | None] = {
        "prompts": compared["prompt_id"].n_unique(),
        "without a preference": rows.height - compared.height,
        **{name: compared.filter(preference == won).height for name, won in counts.items()},
        **_rates_with_intervals(compared),
    }
    columns = {"characters": "chars", "seed_characters": "seed_chars", "score": "score", "seed_score": "seed_score"}
    for name, column in columns.items():
        numbers |= mean_with_interval(name, rows, column)
    return numbers


_RATES = ("win_rate", "length_controlled_win_rate")


def _rates_with_intervals(compared: pl.DataFrame) -> dict[str, float | None]:
    if compared.is_empty():
        return {f"{name}{end}": None for name in _RATES for end in ("", "_low", "_high")}
    columns = [compared[name].to_numpy() for name in ("preference", "seed_chars", "chars")]
    places = compared.with_row_index().group_by("prompt_id", maintain_order=True).agg("index")["index"].to_list()
    rows_of = [np.asarray(rows) for rows in places]

    def rates(prompts: Sequence[int] | NDArray[np.intp]) -> tuple[float, float]:
        rows = np.concatenate([rows_of[prompt] for prompt in prompts])
        preference, seed_chars, chars = (column[rows] for column in columns)
        return float(preference.mean()), length_controlled(preference, seed_chars, chars).win_rate

    found = zip(_RATES, rates(range(len(rows_of))), bootstraps(rates, len(rows_of)), strict=True)
    numbers: dict[str, float | None] = {}
    for name, rate, (low, high) in found:
        numbers |= {name: rate, f"{name}_low": low, f"{name}_high": high}
    return numbers
