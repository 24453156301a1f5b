"""MT-Bench (Zheng et al. 2023): a judge grades a model's two answers in a conversation from 1 to 10.

The files are those of the official tool (lm-sys/FastChat, fastchat/llm_judge), one JSON object per line:

    question.jsonl                  {"question_id": 81, "category": "writing", "turns": ["Compose ...", "Rewrite ..."]}
    reference_answer/gpt-4.jsonl    {"question_id": 101, "model_id": "gpt-4", "choices": [{"turns": ["...", "..."]}]}
    model_answer/MODEL.jsonl        the same of a model
    model_judgment/JUDGE_single.jsonl   {"question_id": 81, "model": "M1", "judge": ["gpt-4", "single-v1"],
                                         "judgment": "... [[7]]", "score": 7, "turn": 1}

The second question is asked after the model's own first answer. In math, reasoning and coding the judge sees reference
answers. An answer's score is the first [[number]], or else [number], in the judge's words; the official tool takes any
number, this one 1 to 10, as the judge is told, and -1, for none, counts nowhere. A model's score is the mean of all.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Answer, ChatRequest
from mr_assets.evaluation.json_lines import read_lines
from mr_assets.evaluation.judge_prompts import Messages, judge_messages
from mr_assets.evaluation.unread import KEY, count, unread
from mr_assets.method.bootstrap import mean_interval
from mr_assets.method.conversations import Prompt

SOURCE = "github.com/lm-sys/FastChat (fastchat/llm_judge/data/mt_bench)"
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""Of an answer, by the category of the question."""
OTHER_TEMPERATURE = 0.7
ANSWER_TOKENS = 1024
JUDGMENT_TOKENS = 2048
"""The judge's temperature is 0."""
WITH_REFERENCE = ("math", "reasoning", "coding")
TURNS = (1, 2)
RATINGS = (1, 10)
_RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]")

RATED = pl.Schema(
    [
        ("question_id", pl.Int64),
        ("category", pl.String),  # null where the questions are not known
        ("model", pl.String),
        ("judge", pl.String),
        ("turn", pl.Int64),  # 1 or 2
        ("score", pl.Float64),  # 1 to 10; null: none
        ("without", pl.String),  # why there is none, where there is none
    ]
)
Turns = tuple[str, str]


class Question(NamedTuple):
    """What a user says first, and after the answer."""

    id: int
    category: str
    turns: Turns

    @property
    def temperature(self) -> float:
        """That its answers are sampled at."""
        return TEMPERATURES.get(self.category, OTHER_TEMPERATURE)


class Answers(NamedTuple):
    """A model's two answers by the id of the question."""

    model: str
    turns: Mapping[int, Turns]

    def to(self, question: int) -> Turns:
        """The answers to a question. Raises `UserError` if there are none."""
        if question not in self.turns:
            raise UserError(f"{self.model}: has no answers to question {question}. Give the answers to all questions.")
        return self.turns[question]


class Grading(NamedTuple):
    """A model's answers to a question, of which the judge grades the one of a turn. reference: of some categories."""

    question: Question
    turn: int
    model: str
    answers: Turns
    reference: Turns | None

    @property
    def id(self) -> str:
        """Of the request."""
        return f"{self.model} {self.question.id} turn {self.turn}"

    @property
    def prompt(self) -> str:
        """The name of the prompt that the judge gets."""
        return f"single-{'math-' * (self.reference is not None)}v1{'-multi-turn' * (self.turn == 2)}"

    @property
    def messages(self) -> Messages:
        """What the judge is asked."""
        said = {f"{name}_{turn}": texts[turn - 1] for name, texts in self._texts.items() for turn in TURNS}
        return judge_messages(self.prompt, question=self.question.turns[0], answer=self.answers[0], **said)

    @property
    def _texts(self) -> dict[str, Turns]:
        shown = {"question": self.question.turns, "answer": self.answers}
        return shown if self.reference is None else shown | {"ref_answer": self.reference}


class Score(NamedTuple):
    """What a judge gave a model.

    numbers: means from 1 to 10, each X with X_low and X_high, its 95% interval over questions: score, of both turns;
    turn_1 and turn_2; and of both turns by category; empty where there is no rating. ratings: how many there are;
    without: judgments without one; judgments_without: the same by the reason (`unread`).
    """

    model: str
    judge: str
    numbers: dict[str, float]
    ratings: int
    without: int
    judgments_without: dict[str, int]


def read_questions(path: Path) -> list[Question]:
    """The questions of a question.jsonl. Raises `UserError` if it is something else."""
    rows = read_lines(path, "MT-Bench's questions", {"question_id": int, "category": str, "turns": list}, SOURCE)
    return [
        Question(row["question_id"], row["category"], _turns(path, row["question_id"], row["turns"])) for row in rows
    ]


def read_answers(path: Path) -> Answers:
    """The answers of a model_answer/MODEL.jsonl or reference_answer/MODEL.jsonl; of several choices, the first.

    Raises `UserError` if it is something else, or of several models.
    """
    rows = read_lines(path, "a model's answers", {"question_id": int, "model_id": str, "choices": list}, SOURCE)
    if len(models := {row["model_id"] for row in rows}) > 1:
        raise UserError(f"{path}: has answers of {', '.join(sorted(models))}. Give one file for each model.")
    found = {}
    for row in rows:
        choice = row["choices"][0] if row["choices"] else None
        turns = choice.get("turns") if isinstance(choice, dict) else None
        found[row["question_id"]] = _turns(path, row["question_id"], turns)
    return Answers(rows[0]["model_id"], found)


def _turns(path: Path, question: int, turns: Any) -> Turns:
    match turns:
        case [str(first), str(second)]:
            return first, second
        case _:
            raise UserError(f"{path}, question {question}: expected two turns, both texts. Take those of {SOURCE}.")


def answer_rows(questions: Iterable[Question], answers: Answers) -> list[dict[str, Any]]:
    """The lines of a model_answer/MODEL.jsonl."""
    return [
        {
            "question_id": q.id,
            "answer_id": blake2b(f"{answers.model}|{q.id}|{answers.turns[q.id]}".encode(), digest_size=11).hexdigest(),
            "model_id": answers.model,
            "choices": [{"index": 0, "turns": list(answers.turns[q.id])}],
        }
        for q in questions
    ]


def answered(
    questions: Sequence[Question], answer: Callable[[Sequence[Prompt], float, int], Sequence[str]]
) -> dict[int, Turns]:
    """Both answers to each question, by its id: the second question is asked after the model's own first answer.

    answer: prompts that have one temperature, that temperature, and which turn it is, to the answers in order.
    """
    found: dict[int, Turns] = {}
    for temperature in sorted({q.temperature for q in questions}):
        asked = [q for q in questions if q.temperature == temperature]
        first = answer([q.turns[0] for q in asked], temperature, 1)
        talks = [
            [
                {"role": "user", "content": q.turns[0]},
                {"role": "assistant", "content": said},
                {"role": "user", "content": q.turns[1]},
            ]
            for q, said in zip(asked, first, strict=True)
        ]
        second = answer(talks, temperature, 2)
        found |= {q.id: turns for q, turns in zip(asked, zip(first, second, strict=True), strict=True)}
    return found


def gradings(
    questions: Sequence[Question], models: Sequence[Answers], references: Mapping[int, Turns]
) -> list[Grading]:
    """Both turns of each question and model, model by model.

    references: by the id of a question. Raises `UserError` if one is missing where the judge needs it, or an answer.
    """
    for q in questions:
        if q.category in WITH_REFERENCE and q.id not in references:
            raise UserError(
                f"question {q.id} ({q.category}): the judge needs a reference answer. Give the official "
                f"reference_answer/gpt-4.jsonl, from {SOURCE}."
            )
    return [
        Grading(q, turn, m.model, m.to(q.id), references[q.id] if q.category in WITH_REFERENCE else None)
        for m in models
        for q in questions
        for turn in TURNS
    ]


def requests(gradings: Iterable[Grading]) -> list[ChatRequest]:
    """The question to the judge of each."""
    return [ChatRequest(g.id, g.messages, {"temperature": 0.0, "max_tokens": JUDGMENT_TOKENS}) for g in gradings]


def rating(judgment: str | None) -> int | float | None:
    """The first [[number]] from 1 to 10 in the judge's words, or else [number]; None if there is none."""
    for pattern in _RATING:
        if found := pattern.search(judgment or ""):
            number = float(found[1]) if "." in found[1] else int(found[1])
            return number if RATINGS[0] <= number <= RATINGS[1] else None
    return None


def judgment_row(grading: Grading, judge: str, said: Mapping[str, Answer]) -> dict[str, Any]:
    """A line of a model_judgment/JUDGE_single.jsonl. said: what the judge said by the id of the request.

    One without a rating says why (`unread`).
    """
    text, found = said[grading.id].text, rating(said[grading.id].text)
    row = {
        "question_id": grading.question.id,
        "model": grading.model,
        "judge": [judge, grading.prompt],
        "user_prompt": grading.messages[-1]["content"],
        "judgment": text or "",
        "score": -1 if found is None else found,
        "turn": grading.turn,
    }
    return row | {KEY: unread(said[grading.id])} if found is None else row


def read_ratings(path: Path, questions: Sequence[Question] = ()) -> pl.DataFrame:
    """The ratings of a model_judgment/JUDGE_single.jsonl; columns as in `RATED`. Raises `UserError` if it is none."""
    keys = {"question_id": int, "model": str, "judge": list, "turn": int}
    return ratings(read_lines(path, "a judge's ratings", keys, SOURCE), questions, str(path))


def ratings(
    rows: Iterable[Mapping[str, Any]], questions: Sequence[Question] = (), place: str = "the ratings"
) -> pl.DataFrame:
    """The ratings of the lines of a file of judgments; columns as in `RATED`.

    questions: those that were asked, or none: then no category is known. place: for the errors.
    """
    categories = {q.id: q.category for q in questions}
    found = []
    for number, row in enumerate(rows, start=1):
        said, question = row.get("score"), row["question_id"]
        rated = isinstance(said, int | float) and not isinstance(said, bool) and row["turn"] in TURNS and row["judge"]
        if said is None or not rated or (questions and question not in categories):
            raise UserError(
                f"{place}, line {number}: expected a judge, a score, turn 1 or 2 and a question of the question file. "
                "Give the questions that were judged, or judge again."
            )
        which = question, categories.get(question), row["model"], str(row["judge"][0]), row["turn"]
        valid = RATINGS[0] <= said <= RATINGS[1]
        found.append((*which, *((float(said), None) if valid else (None, str(row.get(KEY, "unreadable"))))))
    return pl.DataFrame(found, RATED, orient="row")


def score(rated: pl.DataFrame) -> list[Score]:
    """The scores of each model by each judge, in the order of the table; columns as in `RATED`."""
    return [_score(group) for group in rated.partition_by("model", "judge", maintain_order=True)]


def _score(rated: pl.DataFrame) -> Score:
    """Of one model and judge."""
    model, judge = rated.select("model", "judge").row(0)
    kept, without = rated.drop_nulls("score"), rated.filter(pl.col("score").is_null())
    parts = {"score": kept, **{f"turn_{turn}": kept.filter(pl.col("turn") == turn) for turn in TURNS}}
    for category in kept["category"].drop_nulls().unique(maintain_order=True):
        parts[category] = kept.filter(pl.col("category") == category)
    numbers: dict[str, float] = {}
    for name, part in parts.items():
        groups = part.group_by("question_id", maintain_order=True).agg("score")["score"].to_list()
        if groups:
            low, high = mean_interval(groups)
            numbers |= {name: part["score"].mean(), f"{name}_low": low, f"{name}_high": high}  # type: ignore[dict-item]
    reasons = without["without"].fill_null("unreadable")
    return Score(model, judge, numbers, kept.height, without.height, count(reasons))
