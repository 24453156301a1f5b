"""Win rates from soft preferences, and what they would be at equal length (Dubois et al. 2024, section 3).

    fitted = length_controlled(preference, reference_chars, model_chars)
    fitted.win_rate     0.23: the share won if both answers had always been as long as each other

A preference is the probability, from 0 to 1, that the judge prefers the model's answer to the reference's; a draw is
0.5.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mr_assets.method.logistic import Numbers, fit_logistic


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
