"""Arena-Hard v0.1 and v2.0 (Li et al. 2024): a judge compares a model's answers with a baseline's, in both orders.

The files are those of the official tool (lmarena/arena-hard-auto), one JSON object per line:

    question.jsonl                      {"uid": "2edb...", "category": "hard_prompt", "prompt": "Write me ..."}
    model_answer/MODEL.jsonl            {"uid": ..., "model": "M1", "messages": [..., {"content": {"answer": "..."}}]}
    model_judgment/JUDGE/MODEL.jsonl    {"uid": ..., "model": "M1", "baseline": "seed", "judge": ..., "games":
                                         [{"score": "A>B", "judgment": {"answer": "... [[A>B]]"}, ...},
                                          {"score": null, ..., "without": "cut_off"}]}

In the first game A is the baseline, in the second the model. A verdict is [[A>>B]], [[A>B]], [[A=B]], [[B>A]] or
[[B>>A]]; one of the two "significantly better" counts as three battles, a tie as half a battle won. A question of which
a game has no verdict counts nowhere. The score is the share of battles won in percent, the baseline's 50.

The official figures are kept, but for their intervals: the official ones hold 90% and draw battles; these hold 95% and
draw questions, since the battles of one question are much alike. Style control is `method/style_control.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Answer, ChatRequest
from mr_assets.evaluation.json_lines import read_lines
from mr_assets.evaluation.judge_prompts import Messages, judge_messages
from mr_assets.evaluation.unread import KEY, count, unread
from mr_assets.method.bootstrap import bootstraps
from mr_assets.method.style_control import StyleControl, style_difference, style_of

SOURCE = "github.com/lmarena/arena-hard-auto (data/arena-hard-v0.1 and data/arena-hard-v2.0)"
BASELINES = {
    "arena-hard-v0.1": "gpt-4-0314",
    "hard_prompt": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
"""By the category of a question, whose answers the official leaderboard compares with."""
MAX_TOKENS = {"arena-hard-v0.1": 4096, "hard_prompt": 16000, "creative_writing": 16000}
"""Of a judgment, by category; the judge's temperature is 0."""
CREATIVE = "creative_writing"

WON = {
    "A>>B": (1.0, 3),
    "A>B": (1.0, 1),
    "A=B": (0.5, 1),
    "A<B": (0.0, 1),
    "A<<B": (0.0, 3),
    "B>>A": (0.0, 3),
    "B>A": (0.0, 1),
    "B=A": (0.5, 1),
    "B<A": (1.0, 1),
    "B<<A": (1.0, 3),
}
"""By verdict, the share that A won of so many battles."""
_VERDICTS = re.compile(r"\[\[([AB<>=]+)\]\]"), re.compile(r"\[([AB<>=]+)\]")

JUDGMENTS = pl.Schema(
    [
        *((name, pl.String) for name in ("uid", "category", "judge", "model", "baseline")),
        ("first", pl.String),  # the verdict with the baseline as A; null: none
        ("second", pl.String),  # with the model as A
        ("first_without", pl.String),  # why the first game has no verdict, where it has none and that is known
        ("second_without", pl.String),
    ]
)


class Question(NamedTuple):
    """uid: its name in every file. category: "arena-hard-v0.1", or v2.0's "hard_prompt" or "creative_writing"."""

    uid: str
    category: str
    prompt: str


class Answers(NamedTuple):
    """A model's answers by the uid of the question; tokens: of those whose file says how many they have."""

    model: str
    texts: Mapping[str, str]
    tokens: Mapping[str, int] = {}

    def to(self, uid: str) -> str:
        """The answer to a question. Raises `UserError` if there is none."""
        if uid not in self.texts:
            raise UserError(f"{self.model}: has no answer to the question {uid}. Give the answers to all questions.")
        return self.texts[uid]


class Match(NamedTuple):
    """Two answers to a question, which the judge compares in both orders."""

    question: Question
    model: str
    baseline: str
    answer: str
    against: str

    @property
    def ids(self) -> tuple[str, str]:
        """Of the two requests: with the baseline's answer first, and with the model's first."""
        return f"{self.model} {self.question.uid} 1", f"{self.model} {self.question.uid} 2"

    @property
    def games(self) -> tuple[Messages, Messages]:
        """What the judge is asked, in that order."""
        name = "arena-hard-creative-writing" if self.question.category == CREATIVE else "arena-hard"
        first, second = (
            judge_messages(name, QUESTION=self.question.prompt, ANSWER_A=a, ANSWER_B=b)
            for a, b in ((self.against, self.answer), (self.answer, self.against))
        )
        return first, second


class Score(NamedTuple):
    """What a model won against a baseline in a category.

    numbers: percent, each X with X_low and X_high, its 95% interval over questions: score; and where the answers are
    known style_controlled, at the average difference in style of all models in the table, as the official tool has
    it, and equal_style, at the baseline's style; empty where no question counts. questions: judged in both orders;
    without: those of which a game has no verdict; games_without: of their games, by the reason (`unread`).
    """

    category: str
    judge: str
    model: str
    baseline: str
    numbers: dict[str, float]
    questions: int
    without: int
    games_without: dict[str, int]


def read_questions(path: Path) -> list[Question]:
    """The questions of a question.jsonl, v0.1's or v2.0's. Raises `UserError` if it is something else."""
    rows = read_lines(path, "Arena-Hard's questions", {"uid": str, "category": str, "prompt": str}, SOURCE)
    if unknown := sorted({row["category"] for row in rows} - set(BASELINES)):
        raise UserError(f"{path}: has the category {unknown[0]!r}, expected {', '.join(BASELINES)}. Take {SOURCE}.")
    return [Question(row["uid"], row["category"], row["prompt"]) for row in rows]


def bench_name(questions: Sequence[Question]) -> str:
    """The folder that the official tool has for them: arena-hard-v0.1 or arena-hard-v2.0."""
    old = all(question.category == "arena-hard-v0.1" for question in questions)
    return "arena-hard-v0.1" if old else "arena-hard-v2.0"


def read_answers(path: Path) -> Answers:
    """The answers of a model_answer/MODEL.jsonl. Raises `UserError` if it is something else, or of several models."""
    rows = read_lines(path, "a model's answers", {"uid": str, "model": str, "messages": list}, SOURCE)
    texts = {}
    for number, row in enumerate(rows, start=1):
        match row["messages"]:
            case [*_, {"content": {"answer": str(text)}}]:
                texts[row["uid"]] = text
            case _:
                raise UserError(
                    f"{path}, answer {number}: its last message has no content with an answer. Expected a model's "
                    f"answers, as in {SOURCE}."
                )
    if len(models := {row["model"] for row in rows}) > 1:
        raise UserError(f"{path}: has answers of {', '.join(sorted(models))}. Give one file for each model.")
    counted = {row["uid"]: row["metadata"]["token_len"] for row in rows if "token_len" in (row.get("metadata") or {})}
    return Answers(rows[0]["model"], texts, counted)


def answer_rows(questions: Iterable[Question], answers: Answers) -> list[dict[str, Any]]:
    """The lines of a model_answer/MODEL.jsonl.

    They have no `metadata`, as their tokens are not counted here with the official tokenizer, which is a download: the
    official utils/add_markdown_info.py adds it.
    """
    return [
        {
            "uid": q.uid,
            "ans_id": blake2b(f"{answers.model}|{q.uid}|{answers.texts[q.uid]}".encode(), digest_size=11).hexdigest(),
            "model": answers.model,
            "messages": [
                {"role": "user", "content": q.prompt},
                {"role": "assistant", "content": {"answer": answers.texts[q.uid]}},
            ],
        }
        for q in questions
    ]


def matches(questions: Sequence[Question], models: Sequence[Answers], baselines: Sequence[Answers]) -> list[Match]:
    """Each model's answers and the baseline's, model by model; a model that is the baseline has none with itself.

    The baseline of a category is the official one where `baselines` has it, else their first. Raises `UserError` if
    one of the answers is missing.
    """
    of = {q.category: next((b for b in baselines if b.model == BASELINES[q.category]), baselines[0]) for q in questions}
    return [
        Match(q, model.model, of[q.category].model, model.to(q.uid), of[q.category].to(q.uid))
        for model in models
        for q in questions
        if model.model != of[q.category].model
    ]


def requests(matches: Iterable[Match]) -> list[ChatRequest]:
    """The two questions to the judge of each match."""
    return [
        ChatRequest(id, messages, {"temperature": 0.0, "max_tokens": MAX_TOKENS[match.question.category]})
        for match in matches
        for id, messages in zip(match.ids, match.games, strict=True)
    ]


def verdict(judgment: str | None) -> str | None:
    """The last verdict in the judge's words, [[A>B]] or else [A>B]; None if there is none, or one like [[A>A]]."""
    for pattern in _VERDICTS:
        if found := pattern.findall((judgment or "").upper()):
            return found[-1] if found[-1] in WON else None
    return None


def judgment_row(match: Match, judge: str, said: Mapping[str, Answer]) -> dict[str, Any]:
    """A line of a model_judgment/JUDGE/MODEL.jsonl. said: what the judge said by the ids of the requests.

    A game that the server refused is null; one without a verdict says why (`unread`).
    """
    games = []
    for id, messages in zip(match.ids, match.games, strict=True):
        text, found = said[id].text, verdict(said[id].text)
        game = {"score": found, "judgment": {"answer": text}, "prompt": messages}
        games.append(None if text is None else game if found else game | {KEY: unread(said[id])})
    names = {"uid": match.question.uid, "category": match.question.category, "judge": judge}
    return names | {"model": match.model, "baseline": match.baseline, "games": games}


def read_judgments(path: Path) -> pl.DataFrame:
    """The verdicts of a model_judgment/JUDGE/MODEL.jsonl; columns as in `JUDGMENTS`.

    Raises `UserError` if it is something else, or has a verdict that there is not.
    """
    keys = {"uid": str, "category": str, "judge": str, "model": str, "baseline": str, "games": list}
    return verdicts(read_lines(path, "a judge's games", keys, SOURCE), str(path))


def verdicts(rows: Iterable[Mapping[str, Any]], place: str = "the judgments") -> pl.DataFrame:
    """The verdicts of the lines of a file of judgments; columns as in `JUDGMENTS`. place: for the errors."""
    found = []
    for number, row in enumerate(rows, start=1):
        games = row["games"]
        known = [game or {KEY: "refused"} for game in games if game is None or isinstance(game, dict)]
        scores = [game.get("score") for game in known]
        if len(scores) != 2 or not {*scores} <= {None, *WON}:
            raise UserError(
                f"{place}, line {number}: expected two games with a score such as 'A>B' or null, came {scores}. "
                "Judge again."
            )
        reasons = [None if game.get("score") else str(game.get(KEY, "unreadable")) for game in known]
        found.append((*(row[name] for name in JUDGMENTS.names()[:5]), *scores, *reasons))
    return pl.DataFrame(found, JUDGMENTS, orient="row")


def score(judgments: pl.DataFrame, answers: Sequence[Answers] = ()) -> list[Score]:
    """What each model won, by category, judge and baseline; the models of each in the order of the table.

    judgments: columns as in `JUDGMENTS`. answers: the models' and the baselines', for the control of style. A model
    that has no question with both verdicts has no figures. Raises `UserError` if some of a model's answers are given
    and others not.
    """
    texts = {each.model: each for each in answers}
    groups = judgments.partition_by("category", "judge", "baseline", maintain_order=True)
    return [each for group in groups for each in _scores(group, texts)]


def _scores(judgments: pl.DataFrame, answers: Mapping[str, Answers]) -> list[Score]:
    """Of one category, judge and baseline."""
    category, judge, baseline = judgments.select("category", "judge", "baseline").row(0)
    numbers = _numbers(judgments.drop_nulls(["first", "second"]), baseline, answers)
    found = []
    for name in judgments["model"].unique(maintain_order=True):
        asked = judgments.filter(pl.col("model") == name)
        games = [
            asked.filter(pl.col(game).is_null()).get_column(f"{game}_without").fill_null("unreadable")
            for game in ("first", "second")
        ]
        questions = asked.drop_nulls(["first", "second"]).height
        counts = questions, asked.height - questions, count(pl.concat(games))
        found.append(Score(category, judge, name, baseline, numbers.get(name, {}), *counts))
    return found


def _numbers(judged: pl.DataFrame, baseline: str, answers: Mapping[str, Answers]) -> dict[str, dict[str, float]]:
    """The figures of each model that has a question; judged: those with verdicts in both orders."""
    if judged.is_empty():
        return {}
    names = judged["model"].unique(maintain_order=True).to_list()
    models = np.array([names.index(name) for name in judged["model"]])
    uids, rows = np.unique(judged["uid"].to_numpy(), return_inverse=True)
    won, battles = np.array([_won(*verdict) for verdict in judged.select("first", "second").iter_rows()]).T

    known = {*names, baseline} <= {*answers}
    pairs = judged.select("model", "uid").iter_rows() if known else ()
    differences = [_difference(answers[model], answers[baseline], uid) for model, uid in pairs]
    style = StyleControl(models, won / battles, battles, differences) if known else None

    def figures(drawn: Any) -> list[float]:
        """Of the questions drawn, by their places: each model's score, then what it wins at the two styles."""
        times = np.bincount(drawn, minlength=len(uids))[rows]
        with np.errstate(invalid="ignore"):  # of few questions, a draw may have none of a model's
            share = np.bincount(models, times * won, len(names)) / np.bincount(models, times * battles, len(names))
        at = style.fit(times) if style else None
        return [100 * float(each) for each in (*share, *((*at.average, *at.equal) if at else ()))]

    found, ends = figures(range(len(uids))), bootstraps(figures, len(uids))
    titles = ("score", "style_controlled", "equal_style") if style else ("score",)
    numbers: dict[str, dict[str, float]] = {name: {} for name in names}
    for at, name in enumerate(names):
        for title, place in zip(titles, range(at, len(found), len(names)), strict=True):
            numbers[name] |= {title: found[place], f"{title}_low": ends[place][0], f"{title}_high": ends[place][1]}
    return numbers


def _won(first: str, second: str) -> tuple[float, int]:
    """Of a question's two games: how many battles the model won, and how many there were."""
    (theirs, many), (ours, more) = WON[first], WON[second]
    return (1 - theirs) * many + ours * more, many + more


def _difference(model: Answers, baseline: Answers, uid: str) -> tuple[float, ...]:
    """In style; where only one of the two has its tokens counted, both are taken from their bytes."""
    for each in (model, baseline):
        if uid not in each.texts:
            raise UserError(
                f"{each.model}: has no answer to the question {uid}, which was judged. Give all its answers."
            )
    counted = uid in model.tokens and uid in baseline.tokens
    ours, theirs = (style_of(each.to(uid), each.tokens[uid] if counted else None) for each in (model, baseline))
    return style_difference(ours, theirs)
