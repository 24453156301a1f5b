"""MT-Bench: two turns, the official files, and scores that a reader can redo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Answer
from mr_assets.evaluation.json_lines import read_lines, write_lines
from mr_assets.evaluation.mt_bench import (
    RATED,
    Answers,
    Question,
    answer_rows,
    answered,
    gradings,
    judgment_row,
    rating,
    ratings,
    read_answers,
    read_questions,
    read_ratings,
    requests,
    score,
)
from mr_assets.method.conversations import Prompt

SHARED = Path(__file__).parents[3] / "shared" / "benchmarks"
WRITING = Question(81, "writing", ("Write.", "Again."))
MATH = Question(111, "math", ("1+1?", "And 2+2?"))
STEM = Question(141, "stem", ("Why?", "How?"))


@pytest.mark.parametrize(
    ("judgment", "found"),
    [
        ("Rating: [[7]]", 7),
        ("Rating: [[8.5]]", 8.5),
        ("[[3]] rather than [[9]]", 3),
        ("see [2]: [[6]]", 6),
        ("Rating: [4]", 4),
        ("[[rating]]", None),
        ("[[0]]", None),
        ("[[11]]", None),
        ("7", None),
        (None, None),
    ],
)
def test_the_first_rating_counts(judgment: str | None, found: float | None) -> None:
    assert rating(judgment) == found


def test_the_second_question_follows_the_models_own_first_answer() -> None:
    """One stage for each temperature and turn; writing has 0.7, math 0 and what is not known 0.7."""
    asked: list[tuple[float, int, list[Prompt]]] = []

    def answer(prompts: Sequence[Prompt], temperature: float, turn: int) -> list[str]:
        asked.append((temperature, turn, list(prompts)))
        return [f"turn {turn}, {n}" for n in range(len(prompts))]

    other = Question(7, "poems", ("Sing.", "More."))
    found = answered([WRITING, MATH, other], answer)
    assert found == {
        81: ("turn 1, 0", "turn 2, 0"),
        7: ("turn 1, 1", "turn 2, 1"),
        111: ("turn 1, 0", "turn 2, 0"),
    }
    assert [(temperature, turn, len(prompts)) for temperature, turn, prompts in asked] == [
        *((0.0, 1, 1), (0.0, 2, 1)),
        *((0.7, 1, 2), (0.7, 2, 2)),
    ]
    assert asked[0][2] == ["1+1?"]
    assert asked[1][2] == [
        [
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": "turn 1, 0"},
            {"role": "user", "content": "And 2+2?"},
        ]
    ]


def test_the_judge_sees_reference_answers_where_there_is_a_right_answer() -> None:
    mine = Answers("M1", {81: ("a", "b"), 111: ("2", "4")})
    found = gradings([WRITING, MATH], [mine], {81: ("no", "no"), 111: ("two", "four")})
    assert [(each.id, each.prompt) for each in found] == [
        *(("M1 81 turn 1", "single-v1"), ("M1 81 turn 2", "single-v1-multi-turn")),
        *(("M1 111 turn 1", "single-math-v1"), ("M1 111 turn 2", "single-math-v1-multi-turn")),
    ]
    writing, _, first, second = (request.messages[1]["content"] for request in requests(found))
    assert "no" not in writing.split("[Question]")[1]
    assert "[Question]\n1+1?\n\n[The Start of Reference Answer]\ntwo\n" in first
    assert "four" not in first
    assert "### User:\nAnd 2+2?\n\n### Reference answer:\nfour\n" in second
    assert "### User:\n1+1?\n\n### Assistant A:\n2\n\n### User:\nAnd 2+2?\n\n### Assistant A:\n4\n" in second


def test_an_answer_that_is_needed_and_missing_is_an_error() -> None:
    mine = Answers("M1", {111: ("2", "4")})
    with pytest.raises(UserError, match=r"question 111 \(math\): the judge needs a reference answer"):
        gradings([MATH], [mine], {})
    with pytest.raises(UserError, match="M1: has no answers to question 81"):
        gradings([WRITING], [mine], {})


def rated(*rows: tuple[Question, int, float | None], model: str = "M1", judge: str = "j") -> pl.DataFrame:
    table = [(q.id, q.category, model, judge, turn, said, None if said else "cut_off") for q, turn, said in rows]
    return pl.DataFrame(table, RATED, orient="row")


def test_a_score_is_the_mean_of_both_turns() -> None:
    """(8 + 4 + 6) / 3 = 6; turn 1: (8 + 6) / 2 = 7, turn 2: 4; writing: 6, math: 6. Only turn 1 has two values."""
    (found,) = score(rated((WRITING, 1, 8), (WRITING, 2, 4), (MATH, 1, 6), (MATH, 2, None)))
    values = {"score": 6, "turn_1": 7, "turn_2": 4, "writing": 6, "math": 6}
    ends = {f"{name}_{end}": value for name, value in values.items() for end in ("low", "high")}
    assert found.numbers == values | ends | {"turn_1_low": 6, "turn_1_high": 8}
    assert (found.ratings, found.without, found.model, found.judge) == (3, 1, "M1", "j")


def test_each_model_and_judge_has_a_score() -> None:
    table = pl.concat([rated((STEM, 1, 2)), rated((STEM, 1, 3), model="M2"), rated((STEM, 1, 4), judge="k")])
    assert [(each.model, each.judge, each.numbers["score"]) for each in score(table)] == [
        *(("M1", "j", 2), ("M2", "j", 3)),
        ("M1", "k", 4),
    ]


def test_the_same_ratings_give_the_same_intervals() -> None:
    questions = [Question(n, "stem", ("a", "b")) for n in range(20)]
    table = rated(*[(q, turn, 1 + (q.id * turn) % 10) for q in questions for turn in (1, 2)])
    assert score(table) == score(table)


def test_a_model_without_a_rating_has_no_score() -> None:
    (found,) = score(rated((STEM, 1, None)))
    assert (found.model, found.numbers, found.ratings, found.without) == ("M1", {}, 0, 1)
    assert found.judgments_without == {"refused": 0, "cut_off": 1, "unreadable": 0}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    mine = Answers("M1", {81: ("é", "b"), 111: ("2", "4")})
    write_lines(tmp_path / "answers.jsonl", answer_rows([WRITING, MATH], mine))
    assert read_answers(tmp_path / "answers.jsonl") == mine
    _, second = gradings([WRITING], [mine], {})
    rows = [judgment_row(second, "j", {second.id: Answer(said)}) for said in ("Fine. [[7]]", "Fine.", None)]
    assert rows[0] == {
        **{"question_id": 81, "model": "M1", "judge": ["j", "single-v1-multi-turn"], "turn": 2, "score": 7},
        **{"user_prompt": second.messages[1]["content"], "judgment": "Fine. [[7]]"},
    }
    write_lines(tmp_path / "j_single.jsonl", rows)
    read = read_ratings(tmp_path / "j_single.jsonl", [WRITING])
    assert read["score"].to_list() == [7, None, None]
    assert read["without"].to_list() == [None, "unreadable", "refused"]
    assert read.equals(ratings(rows, [WRITING]))


def test_another_file_is_refused(tmp_path: Path) -> None:
    def refused(read: Any, row: dict[str, Any]) -> str:
        write_lines(tmp_path / "file.jsonl", [row])
        with pytest.raises(UserError) as refusal:
            read(tmp_path / "file.jsonl")
        return str(refusal.value)

    question = {"question_id": 81, "category": "writing", "turns": ["one"]}
    assert "question 81: expected two turns, both texts" in refused(read_questions, question)
    said = {"question_id": 81, "model_id": "m", "choices": [{"turns": ["a", None]}]}
    assert "question 81: expected two turns, both texts" in refused(read_answers, said)
    judged = {"question_id": 82, "model": "m", "judge": ["j", "p"], "turn": 1, "score": 3}
    wrong = refused(lambda path: read_ratings(path, [WRITING]), judged)
    assert "line 1: expected a judge, a score, turn 1 or 2 and a question of the question file" in wrong


@pytest.mark.skipif(not SHARED.is_dir(), reason="the official files are not here")
def test_the_official_files_are_read_and_written(tmp_path: Path) -> None:
    questions = read_questions(SHARED / "mt_bench_question.jsonl")
    path = SHARED / "mt_bench_reference_answer_gpt-4.jsonl"
    references = read_answers(path)
    assert (len(questions), references.model, len(references.turns)) == (80, "gpt-4", 30)
    everything = Answers("M1", {question.id: ("a", "b") for question in questions})
    assert len(requests(gradings(questions, [everything], references.turns))) == 160
    with_references = [q for q in questions if q.id in references.turns]
    assert {q.category for q in with_references} == {"math", "reasoning", "coding"}
    write_lines(tmp_path / "answers.jsonl", answer_rows(with_references, references))
    theirs = {row["question_id"]: row for row in read_lines(path, "answers", {}, "")}
    for ours in read_lines(tmp_path / "answers.jsonl", "answers", {}, ""):
        said = theirs[ours["question_id"]]
        assert (ours["choices"], ours["model_id"]) == (said["choices"], said["model_id"])
        assert {*ours} <= {*said}
