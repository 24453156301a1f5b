"""Lines that are asked for again: what the engine is asked, and what comes of its answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.recipes.recipe import Judgments, MetaJudgments
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import ChoiceSettings
from mr_assets.tables import TOKEN_IDS
from mr_assets.wiring.asked_lines import Asking, with_scores_asked, with_winners_asked
from mr_assets_tests.method.tables import COMPLETIONS
from mr_assets_tests.tiny import model_folder, tiny_recipe

Rows = Sequence[tuple[str, str | None, float | str | None, str | None, str]]
PROMPT = [7]
DIGITS = ("0", "1", "2", "3", "4", "5")


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> ChatEncoder:
    """A tokenizer to which a byte is a token."""
    return ChatEncoder.load(model_folder(tmp_path_factory.mktemp("asked") / "model"))


@dataclass
class Engine:
    """Answers by the ids of the requests, as texts that end; and what it was asked."""

    encode: ChatEncoder
    answers: Mapping[str, str]
    asked: dict[str, Request] = field(default_factory=dict)
    known: list[tuple[int, ChoiceSettings, str]] = field(default_factory=list)

    def ask(self, requests: Iterator[Request], count: int, settings: ChoiceSettings, role: str) -> pl.LazyFrame:
        self.known.append((count, settings, role))
        self.asked |= {request.id: request for request in requests}
        rows = [
            (id, 0, self.answers[id], "stop", self.encode.completion_ids(self.answers[id]))
            for id in self.asked
            if id in self.answers
        ]
        return pl.LazyFrame(rows, schema=COMPLETIONS, orient="row")

    @property
    def by(self) -> Asking:
        return Asking(self.encode, lambda id: [*PROMPT, int(id[-1])], self.ask)

    def after_prompt(self, id: str) -> str:
        """What a request has behind the prompt of its row, as a text."""
        request = self.asked[id]
        assert request.prompt_ids[:2] == [*PROMPT, int(id[-1])]
        return str(self.encode.tokenizer.decode(request.prompt_ids[2:]))


def table(encode: ChatEncoder, key: str, text: str, value: str, rows: Rows) -> pl.DataFrame:
    """Rows of (id, text, value, invalid, finish_reason), with the tokens of the text and of its end."""
    tokens = [
        None if said is None else (encode.completion_ids if reason == "stop" else encode.text_ids)(said)
        for _, said, _, _, reason in rows
    ]
    columns: dict[str, Any] = dict(
        zip((key, text, value, "invalid", "finish_reason"), zip(*rows, strict=True), strict=True)
    )
    kinds = {value: pl.String if value == "winner" else pl.Float64, "invalid": pl.String}
    return pl.DataFrame(columns, schema_overrides=kinds).with_columns(token_ids=pl.Series(tokens, dtype=TOKEN_IDS))


def judgments(encode: ChatEncoder, *rows: tuple[str, str | None, float | None, str | None, str]) -> pl.DataFrame:
    return table(encode, "judgment_id", "judgment", "score", rows)


def section(line: str) -> Judgments:
    return tiny_recipe("judgments.temperature=0.7", "judgments.top_p=0.9").judgments.model_copy(
        update={"score_line": line}
    )


def test_a_judgment_without_a_score_is_asked_for_its_line(encode: ChatEncoder) -> None:
    """Not one that has a score, and not a blank one. What was sampled stays; its end token comes last again."""
    rows = judgments(
        encode,
        ("1.p.r0.j0", "Score: 2", 2.0, None, "stop"),
        ("1.p.r0.j1", "Fine.", None, "no_score", "stop"),
        ("1.p.r1.j0", " \n", None, "empty", "stop"),
        ("1.p.r1.j2", "A good", None, "cut_off", "length"),
        ("1.p.r1.j3", "Hm.", None, "no_score", "stop"),
    )
    engine = Engine(encode, {"1.p.r0.j1": " 4", "1.p.r1.j2": " 0", "1.p.r1.j3": " six"})
    found = with_scores_asked(rows, section("asked_again"), engine.by)
    assert found["score"].to_list() == [2, 4, None, 0, None]
    assert found["judgment"].to_list() == ["Score: 2", "Fine.\nScore: 4", " \n", "A good\nScore: 0", "Hm."]
    before, after = (table["token_ids"].to_list() for table in (rows, found))
    ended, cut = encode.completion_ids("Fine.\nScore: 4"), encode.text_ids("A good\nScore: 0")
    assert after == [before[0], ended, before[2], cut, before[4]]
    assert found.drop("score", "judgment", "token_ids").equals(rows.drop("score", "judgment", "token_ids"))


def test_the_line_is_drawn_among_the_scores_by_the_sections_settings(encode: ChatEncoder) -> None:
    """Behind what was sampled, without its end, and the label. A choice has two tokens here, and the end is one."""
    rows = judgments(
        encode,
        ("1.p.r0.j1", "Fine.", None, "no_score", "stop"),
        ("1.p.r1.j2", "A good", None, "cut_off", "length"),
    )
    engine = Engine(encode, {})
    with_scores_asked(rows, section("asked_again"), engine.by)
    drawn = ChoiceSettings(temperature=0.7, top_p=0.9, max_tokens=3, choices=tuple(f" {digit}" for digit in DIGITS))
    assert engine.known == [(2, drawn, "asked again")]
    assert [engine.after_prompt(id) for id in engine.asked] == ["Fine.\nScore:", "A good\nScore:"]
    assert [(request.n, request.group) for request in engine.asked.values()] == [(1, "1.p.r0"), (1, "1.p.r1")]


def test_a_score_is_the_expectation_where_it_stands(encode: ChatEncoder) -> None:
    """0.1 for 3 and 0.3 for 4: 3.75, and a judgment without a score gets the likeliest line. Without probabilities all
    stays as it was.
    """
    rows = judgments(
        encode,
        ("1.p.r0.j0", "I see 4 letters. Score: 4. Done", 4.0, None, "stop"),
        ("1.p.r0.j1", "Fine.", None, "no_score", "stop"),
        ("1.p.r1.j0", "", None, "empty", "stop"),
        ("1.p.r1.j1", "Score: 2", 2.0, None, "stop"),
        ("1.p.r1.j2", "Hm.", None, "no_score", "stop"),
    )
    weighed = json.dumps([0, 0, 0, 0.1, 0.3, 0])
    answers = {"1.p.r0.j0": weighed, "1.p.r0.j1": weighed, "1.p.r1.j1": json.dumps([0] * 6)}
    engine = Engine(encode, {**answers, "1.p.r1.j2": json.dumps([0] * 6)})
    found = with_scores_asked(rows, section("expectation"), engine.by)
    assert found["score"].to_list() == [3.75, 3.75, None, 2, None]
    assert found["judgment"].to_list() == [rows["judgment"][0], "Fine.\nScore: 4", "", "Score: 2", "Hm."]
    assert found["token_ids"][1].to_list() == encode.completion_ids("Fine.\nScore: 4")
    assert found["token_ids"][0].equals(rows["token_ids"][0])
    assert {id: engine.after_prompt(id) for id in engine.asked} == {
        "1.p.r0.j0": "I see 4 letters. Score: ",
        "1.p.r0.j1": "Fine.\nScore: ",
        "1.p.r1.j1": "Score: ",
        "1.p.r1.j2": "Hm.\nScore: ",
    }


def test_an_expectation_weighs_the_one_token_in_which_scores_differ(encode: ChatEncoder) -> None:
    engine = Engine(encode, {})
    rows = judgments(encode, ("1.p.r0.j1", "Fine.", None, "no_score", "stop"))
    with_scores_asked(rows, section("expectation"), engine.by)
    digits = tuple(encode.text_ids(digit)[0] for digit in DIGITS)
    choices = tuple(f" {digit}" for digit in DIGITS)
    whole = ChoiceSettings(temperature=1.0, top_p=1.0, max_tokens=1, choices=choices, weighed=digits)
    assert engine.known == [(1, whole, "expectation")]


def test_a_meta_judgment_without_a_winner_is_asked_for_it(encode: ChatEncoder) -> None:
    """Once for all of the same battle: what is copied of it takes its answer. A battle of equal texts has none."""
    rows = table(
        encode,
        "meta_judgment_id",
        "meta_judgment",
        "winner",
        [
            ("1.p.r0.j0-j1", "Both.", None, "no_winner", "stop"),
            ("1.p.r0.j2-j1", "Both.", None, "no_winner", "stop"),
            ("1.p.r0.j1-j0", "Winner: Judgement B", "second", None, "stop"),
            ("1.p.r0.j0-j2", None, None, "identical_battle", "stop"),
            ("1.p.r0.j1-j2", " ", None, "empty", "stop"),
        ],
    ).with_columns(copied_from=pl.Series([None, "1.p.r0.j0-j1", None, None, None], dtype=pl.String))
    engine = Engine(encode, {"1.p.r0.j0-j1": " Judgement A"})
    asked: MetaJudgments = tiny_recipe("meta_judgments.temperature=0.3").meta_judgments
    found = with_winners_asked(rows, asked, engine.by)
    assert found["winner"].to_list() == ["first", "first", "second", None, None]
    said = "Both.\nWinner: Judgement A"
    assert found["meta_judgment"].to_list() == [said, said, "Winner: Judgement B", None, " "]
    assert found["token_ids"][1].to_list() == encode.completion_ids(said)
    assert (found.columns, found["invalid"].to_list()) == (rows.columns, rows["invalid"].to_list())
    [(count, settings, role)] = engine.known
    assert (count, role, settings.temperature) == (1, "asked again", 0.3)
    assert settings.choices == (" Judgement A", " Judgement B")
    assert engine.after_prompt("1.p.r0.j0-j1") == "Both.\nWinner:"
    assert [request.group for request in engine.asked.values()] == ["1.p.r0"]
