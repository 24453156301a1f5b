"""Win rates against a baseline at equal style: Arena-Hard's style control (Li et al. 2024, lmarena/arena-hard-auto).

    style = style_of("# Title\\n\\n- **bold**")      headers 1, lists 1, bold 1
    StyleControl(models, wins, weights, [style_difference(style, baseline), ...]).fit().equal

Style is the length of an answer and how many Markdown headers, list items and bold passages it has, outside of code.
The logit of P(model m's answer to a prompt is preferred to the baseline's) is m's strength plus four terms, common to
all models, times the standardised differences in style: a Bradley-Terry model of battles with one baseline.

The official figure, `average`, is what each model would win at the average style difference of all battles of all
models in the table. So it depends on which models are in the table. `equal` is what it would win if its answers had the
baseline's style.
"""

import re
from typing import Any, NamedTuple

import numpy as np

from mr_assets.method.logistic import Numbers, fit_logistic

BYTES_PER_TOKEN = 4
"""Of UTF-8, where nobody has counted an answer's tokens. Of the 750 answers of o3-mini a token of GPT-4o has 4.2; the
bytes correlate with the tokens by 0.97 over pairs of answers in any two languages, characters by 0.90."""

_CODE = re.compile("```([^`]*)```")
_HEADERS = [re.compile(rf"^#{{{level}}}\s", re.MULTILINE) for level in range(1, 7)]
_LISTS = {
    "ordered": re.compile(r"^\s*\d+\.\s", re.MULTILINE),
    "unordered": re.compile(r"^\s*[-*+]\s", re.MULTILINE),
}
_BOLD = {"**": re.compile(r"\*\*[^*\n]+\*\*"), "__": re.compile(r"__[^_\n]+__")}


class Style(NamedTuple):
    """Of one answer: tokens, and how many headers, list items and bold passages."""

    tokens: float
    headers: int
    lists: int
    bold: int


def markdown_counts(answer: str) -> dict[str, dict[str, int]]:
    """The Markdown of an answer by kind, in the layout of the official tool, to the number.

    The tool takes out what stands between ``` and ```, and with it the same text elsewhere in the answer.
    """
    for block in _CODE.findall(answer):
        answer = answer.replace(block, "")
    return {
        "header_count": {f"h{n}": len(level.findall(answer)) for n, level in enumerate(_HEADERS, start=1)},
        "list_count": {kind: len(found.findall(answer)) for kind, found in _LISTS.items()},
        "bold_count": {kind: len(found.findall(answer)) for kind, found in _BOLD.items()},
    }


def style_of(answer: str, tokens: float | None = None) -> Style:
    """The style of an answer; its tokens, if nobody has counted them, from its bytes."""
    length = len(answer.encode()) / BYTES_PER_TOKEN if tokens is None else tokens
    return Style(length, *(sum(kinds.values()) for kinds in markdown_counts(answer).values()))


def style_difference(model: Style, baseline: Style) -> tuple[float, ...]:
    """How far two styles are apart, from -1 to 1 each: of the tokens, relative; of the rest, per token.

    (a - b) / (a + b) of the tokens; (a - b) / (a + b + 1) of the other densities, count / (tokens + 1).
    """
    both = model.tokens + baseline.tokens
    ours, theirs = (np.array(style[1:]) / (style.tokens + 1) for style in (model, baseline))
    length = (model.tokens - baseline.tokens) / both if both else 0.0
    return length, *((ours - theirs) / (ours + theirs + 1)).tolist()


class StyleControl:
    """The battles of some models with one baseline, ready to be fitted with any weights.

    models: (n,) from 0, which model a row is of. wins: (n,) the share that it won, from 0 to 1. weights: (n,) how many
    battles a row stands for. differences: (n, 4) as of `style_difference`.
    """

    def __init__(self, models: Any, wins: Any, weights: Any, differences: Any) -> None:
        which, style = np.asarray(models, dtype=np.int64), np.asarray(differences, dtype=np.float64)
        self._wins, self._weights = np.asarray(wins, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        total = self._weights.sum()
        mean = self._weights @ style / total
        deviation = np.sqrt(self._weights @ (style - mean) ** 2 / max(total - 1, 1.0))
        scale = np.where(np.ptp(style, axis=0) > 0, deviation, np.inf)  # what never varies has no term
        self._same = -mean / scale
        self._models = int(which.max()) + 1
        self._rows = np.hstack([np.eye(self._models)[which], (style - mean) / scale])
        self._all = fit_logistic(self._rows, self._wins, self._weights)

    def fit(self, times: Any = 1.0) -> "AtStyle":
        """What each model would win. times: (n,) how often a row is in a resample."""
        from scipy.special import expit

        weights = self._weights * np.broadcast_to(times, self._weights.shape)
        terms = fit_logistic(self._rows, self._wins, weights, start=self._all)
        strength, style = terms[: self._models], terms[self._models :]
        return AtStyle(expit(strength), expit(strength + self._same @ style), style)


class AtStyle(NamedTuple):
    """average, equal: (models,) shares won at the average style difference, and at none. terms: (4,) of the logit."""

    average: Numbers
    equal: Numbers
    terms: Numbers
