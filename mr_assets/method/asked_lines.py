r"""Lines that are asked for again: the score of a judgment, the winner of a meta-judgment (docs/method.md, row 29).

    judgment     "The answer is right and short. I give it a four."           no_score
    continued    "The answer is right and short. I give it a four.\nScore: 4"

What was sampled stays as it was, and a line is put behind it: the label as given tokens, then one of a few choices.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from math import ceil, floor
from typing import NamedTuple

import polars as pl

from mr_assets.errors import UserError
from mr_assets.judging import Scoring, Verdicts
from mr_assets.method import DECIMALS
from mr_assets.method.judgments import with_scores
from mr_assets.method.meta_judgments import with_winners
from mr_assets.tables import TOKEN_IDS

MOST_CHOICES = 101
LINES: dict[str, pl.DataType | type[pl.DataType]] = {"id": pl.String, "line": pl.String, "line_ids": TOKEN_IDS}
"""Columns of the lines; beside them the value that each gives."""


class Line(NamedTuple):
    """A line that is asked for: its label, and what may follow it, by the value that it stands for."""

    label: str
    choices: Mapping[str, float | str]


def score_line(scoring: Scoring) -> Line:
    r"""The score's line: "\nScore:", then " 0" to " 5", the whole numbers of the scale."""
    numbers = range(ceil(scoring.lowest), floor(scoring.highest) + 1)
    return Line(f"\n{scoring.words}:", {f" {number}": float(number) for number in numbers})


def winner_line(verdicts: Verdicts) -> Line:
    r"""The winner's line: "\nWinner:", then " Judgement A" or " Judgement B"."""
    return Line(f"\n{verdicts.words}:", {f" {verdicts.first}": "first", f" {verdicts.second}": "second"})


def body(token_ids: Sequence[int], finish_reason: str) -> list[int]:
    """The token ids of a completion without its end token."""
    return list(token_ids[:-1] if finish_reason == "stop" else token_ids)


def split_tokens(line: Line, encode: Callable[[str], Sequence[int]]) -> tuple[list[int], list[int]]:
    """The tokens that all forms of a line begin with, and the one token in which each then differs.

    encode: token ids of a text. Raises `UserError` if a choice takes more tokens: the probability of such a choice
    is not that of one token.
    """
    written = [list(encode(line.label + choice)) for choice in line.choices]
    alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*written, strict=False))
    shared = sum(1 for _ in alike)
    if any(len(tokens) != shared + 1 for tokens in written):
        long = next(c for c, tokens in zip(line.choices, written, strict=True) if len(tokens) != shared + 1)
        raise UserError(
            f"judgments.score_line = expectation: the model's tokenizer writes{long} in several tokens, expected one "
            "for each number of the scale. Take a scale of numbers with one digit, or score_line: asked_again."
        )
    return written[0][:shared], [tokens[shared] for tokens in written]


def expectation(line: Line, probabilities: Sequence[float]) -> float:
    """The mean of a line's values, weighed by their probabilities (of any sum above 0)."""
    values = [float(value) for value in line.choices.values()]
    mean = sum(p * value for p, value in zip(probabilities, values, strict=True)) / sum(probabilities)
    return round(mean, DECIMALS)


def with_lines(rows: pl.DataFrame, lines: pl.DataFrame, *, key: str, text: str, value: str) -> pl.DataFrame:
    """Rows with the lines put behind their texts, and the values that these give.

    rows: columns `key`, `text`, `value`, token_ids, finish_reason and any others. lines: columns of `LINES` and
    `value`; a line that is null is no line, its value alone counts. A completion that had ended still ends in its end
    token; the column invalid keeps why its own text has no value.
    """
    given = lines.rename({"id": key, value: "_value"})
    ended, line_ids = pl.col("finish_reason") == "stop", pl.col("line_ids")
    kept = pl.when(ended).then(pl.col("token_ids").list.head(pl.col("token_ids").list.len() - 1)).otherwise("token_ids")
    end = pl.when(ended).then(pl.col("token_ids").list.tail(1)).otherwise(pl.lit([], TOKEN_IDS))
    return (
        rows.join(given, on=key, how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("line").is_null()).then(text).otherwise(pl.col(text) + pl.col("line")).alias(text),
            pl.when(line_ids.is_null())
            .then("token_ids")
            .otherwise(pl.concat_list(kept, line_ids.fill_null([]), end))
            .alias("token_ids"),
            pl.coalesce("_value", value).alias(value),
        )
        .select(rows.columns)
        .cast({"token_ids": TOKEN_IDS})
    )


def rescored(judgments: pl.DataFrame, scoring: Scoring, how: str) -> pl.DataFrame:
    """Score and invalid worked out again from texts; judgments: judgment, score and invalid, as they were recorded.

    how: `judgments.score_line`, not "sampled". Of an expectation the text does not say what it is: the recorded one is
    taken, if it is on the scale.
    """
    own, given = _own(judgments, "judgment", "score", score_line(scoring))
    parsed, recorded = with_scores(own, scoring), judgments["score"]
    if how == "asked_again":
        score = pl.coalesce(pl.Series(given, dtype=pl.Float64), "score")
    else:
        score = pl.when(recorded.is_between(scoring.lowest, scoring.highest)).then(recorded).otherwise("score")
    return judgments.with_columns(parsed.select(score.alias("score"), "invalid"))


def redecided(meta_judgments: pl.DataFrame, verdicts: Verdicts) -> pl.DataFrame:
    """Winner and invalid worked out again from texts; meta_judgments: meta_judgment, winner and invalid as recorded."""
    own, given = _own(meta_judgments, "meta_judgment", "winner", winner_line(verdicts))
    winner = pl.coalesce(pl.Series(given, dtype=pl.String), "winner").alias("winner")
    return meta_judgments.with_columns(with_winners(own, verdicts).select(winner, "invalid"))


def _own(rows: pl.DataFrame, text: str, value: str, line: Line) -> tuple[pl.DataFrame, list[float | str | None]]:
    """The texts without the lines that were put behind them, and what these lines give."""
    asked = rows[value].is_not_null() & rows["invalid"].is_not_null()
    parts = [
        said.rpartition(line.label) if put and said else (said, "", "")
        for said, put in zip(rows[text], asked, strict=True)
    ]
    own = pl.Series(text, [before for before, _, _ in parts], dtype=pl.String)
    return pl.DataFrame([own]), [line.choices.get(after) for _, _, after in parts]


def check_score_line(scoring: Scoring, how: str, encode: Callable[[str], Sequence[int]]) -> None:
    """Raise `UserError` if the scale, or the tokenizer `encode`, does not allow a `judgments.score_line`."""
    if how == "sampled":
        return
    line = score_line(scoring)
    if not 2 <= len(line.choices) <= MOST_CHOICES:
        raise UserError(
            f"judgments.score_line = {how}: the scale {scoring.said} has {len(line.choices)} whole numbers, expected 2 "
            f"to {MOST_CHOICES}. Take another scale, or score_line: sampled."
        )
    if how == "expectation":
        split_tokens(line, encode)
