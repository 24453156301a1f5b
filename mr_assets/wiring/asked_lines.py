"""The lines that a recipe asks for again (`judgments.score_line`, `meta_judgments.winner_line`), by the engine.

Each asset that samples judgments or meta-judgments calls this with what it has. Its requests are sharded and seeded as
all are, so that a killed run finds them again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.ids import response_of
from mr_assets.judging import Scoring
from mr_assets.method.asked_lines import (
    LINES,
    Line,
    body,
    expectation,
    score_line,
    split_tokens,
    winner_line,
    with_lines,
)
from mr_assets.method.judgments import number_at
from mr_assets.method.responses import is_blank
from mr_assets.recipes.recipe import Judgments, MetaJudgments
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import ChoiceSettings, SamplingSettings
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.sampling import sample


@dataclass(frozen=True)
class Asking:
    """By what lines are asked for again.

    encode: of the policy's tokenizer. prompt_of: the token ids of the prompt that a completion answered, by the id of
    its row. ask: has requests completed; takes how many there are, the settings and what it is about, and gives
    request_id, text, finish_reason and token_ids.
    """

    encode: ChatEncoder
    prompt_of: Callable[[str], list[int]]
    ask: Callable[[Iterator[Request], int, ChoiceSettings, str], pl.LazyFrame]


def asking(work: Materialization, encode: ChatEncoder, prompt_of: Callable[[str], list[int]]) -> Asking:
    """By the engine of the asset under way."""

    def ask(requests: Iterator[Request], count: int, settings: ChoiceSettings, role: str) -> pl.LazyFrame:
        return sample(work, encode, requests, count, settings, n=1, role=role).completions

    return Asking(encode, prompt_of, ask)


def with_scores_asked(judgments: pl.DataFrame, section: Judgments, by: Asking) -> pl.DataFrame:
    """Judgments with the scores that the recipe asks for; not for a section that takes those that were sampled.

    A blank one is not asked: it has no score (row 14).

    judgments: judgment_id, judgment, score, invalid, finish_reason, token_ids and any others.
    """
    line, written = score_line(section.scoring), judgments.filter(~is_blank(pl.col("judgment")))
    if section.score_line == "asked_again":
        unread = written.filter(pl.col("score").is_null())
        lines = _drawn(unread, "judgment_id", line, section, by).rename({"value": "score"})
    else:
        lines = _weighed(written, line, section, by).rename({"value": "score"})
    lines = lines.cast({"score": pl.Float64})
    return with_lines(judgments, lines, key="judgment_id", text="judgment", value="score")


def with_winners_asked(meta_judgments: pl.DataFrame, section: MetaJudgments, by: Asking) -> pl.DataFrame:
    """Meta-judgments with the winners of those that named none asked for again; copied ones take what is copied."""
    named = pl.coalesce("copied_from", "meta_judgment_id")
    unread = meta_judgments.filter(
        pl.col("winner").is_null() & ~is_blank(pl.col("meta_judgment")) & pl.col("copied_from").is_null()
    )
    lines = _drawn(unread, "meta_judgment_id", winner_line(section.verdicts), section, by)
    lines = lines.rename({"value": "winner"}).cast({"winner": pl.String})
    rows = meta_judgments.with_columns(_named=named)
    return with_lines(rows, lines, key="_named", text="meta_judgment", value="winner").drop("_named")


def _drawn(rows: pl.DataFrame, key: str, line: Line, section: SamplingSettings, by: Asking) -> pl.DataFrame:
    """The lines of `rows`, each drawn among its choices by the section's settings, through structured outputs."""
    label, columns = by.encode.text_ids(line.label), ("finish_reason", "token_ids")
    longest = max(len(by.encode.text_ids(choice)) for choice in line.choices)
    settings = ChoiceSettings(
        temperature=section.temperature,
        top_p=section.top_p,
        max_tokens=longest + 1,  # and the end token
        choices=tuple(line.choices),
    )

    def requests() -> Iterator[Request]:
        for row in rows.select(key, *columns).iter_rows(named=True):
            sampled = body(row["token_ids"], row["finish_reason"])
            yield Request(row[key], [*by.prompt_of(row[key]), *sampled, *label], group=response_of(row[key]))

    completions = by.ask(requests(), rows.height, settings, "asked again").collect()
    found = [
        (id, line.label + text, [*label, *body(tokens, reason)], line.choices[text])
        for id, text, reason, tokens in completions.select("request_id", "text", *columns).iter_rows()
        if text in line.choices
    ]
    kind = pl.String if key == "meta_judgment_id" else pl.Float64
    return pl.DataFrame(found, schema=pl.Schema({**LINES, "value": kind}), orient="row")


def _weighed(rows: pl.DataFrame, line: Line, section: Judgments, by: Asking) -> pl.DataFrame:
    """The expectation over the numbers of the scale of every judgment, where its score stands.

    A judgment without a score gets a line with the likeliest number.
    """
    shared, choices = split_tokens(line, by.encode.text_ids)
    settings = ChoiceSettings(
        temperature=1.0, top_p=1.0, max_tokens=1, choices=tuple(line.choices), weighed=tuple(choices)
    )

    def requests() -> Iterator[Request]:
        columns = ("judgment_id", "judgment", "token_ids", "finish_reason")
        for row in rows.select(columns).iter_rows(named=True):
            tokens, id = body(row["token_ids"], row["finish_reason"]), row["judgment_id"]
            at = _token_at(by.encode, row["judgment"], tokens, choices, section.scoring)
            asked = [*by.prompt_of(id), *([*tokens, *shared] if at is None else tokens[:at])]
            yield Request(id, asked, group=response_of(id))

    completions = by.ask(requests(), rows.height, settings, "expectation").collect()
    unread = dict(rows.select("judgment_id", pl.col("score").is_null()).iter_rows())
    found = []
    for id, text in completions.select("request_id", "text").iter_rows():
        probabilities = json.loads(text)
        if not sum(probabilities):
            continue
        likeliest = probabilities.index(max(probabilities))
        choice = list(line.choices)[likeliest]
        added = (line.label + choice, [*shared, choices[likeliest]]) if unread[id] else (None, None)
        found.append((id, *added, expectation(line, probabilities)))
    return pl.DataFrame(found, schema=pl.Schema({**LINES, "value": pl.Float64}), orient="row")


def _token_at(encode: ChatEncoder, text: str, tokens: list[int], choices: list[int], scoring: Scoring) -> int | None:
    """The place among a judgment's tokens of the one that begins the number of its score, if that is a choice's."""
    place, known = number_at(text, scoring), set(choices)
    if place is None:
        return None
    for at, token in enumerate(tokens):
        if token in known:
            through = encode.tokenizer.decode(tokens[: at + 1], skip_special_tokens=True)
            if len(through) > place:
                before = encode.tokenizer.decode(tokens[:at], skip_special_tokens=True)
                return at if len(before) <= place else None
    return None
