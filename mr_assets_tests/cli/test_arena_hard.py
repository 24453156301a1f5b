"""`mr arena-hard`: a table for readers, JSON for programs, one message for a file that is something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.evaluation.arena_hard import Answers, Question, answer_rows
from mr_assets.evaluation.json_lines import write_lines
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.intervals.RESAMPLES", 20)


def judged(folder: Path, model: str, *games: tuple[str | None, str | None]) -> Path:
    of = {"category": "hard_prompt", "judge": "big[bold]", "model": model, "baseline": "seed"}
    rows = [{"uid": f"u{n}", "games": [{"score": each} for each in both]} | of for n, both in enumerate(games)]
    write_lines(folder / f"{model}.jsonl", rows)
    return folder / f"{model}.jsonl"


def answered(folder: Path, model: str, count: int) -> Path:
    questions = [Question(f"u{n}", "hard_prompt", "p") for n in range(count)]
    write_lines(
        folder / f"answers_{model}.jsonl", answer_rows(questions, Answers(model, {q.uid: "x" for q in questions}))
    )
    return folder / f"answers_{model}.jsonl"


def test_it_shows_a_line_per_model_with_judge_and_baseline(mr: Mr, tmp_path: Path) -> None:
    """M1: 4 of 6 battles; M2: 1 of 2, and one question without a verdict."""
    files = [
        judged(tmp_path, "M1", ("A>B", "A>>B"), ("A=B", "A=B")),
        judged(tmp_path, "M2", ("A=B", "A=B"), (None, "A>B")),
    ]
    shown = said(mr("arena-hard", *files))
    assert "big[bold]" in shown
    assert "66.7" in shown
    assert "1 (1 without)" in shown
    assert "equal" not in shown


def test_with_answers_style_is_controlled(mr: Mr, tmp_path: Path) -> None:
    games = judged(tmp_path, "M1", *[("A>B", "A>B"), ("B>A", "A>B")] * 5)
    answers: list[Any] = [part for model in ("M1", "seed") for part in ("--answers", answered(tmp_path, model, 10))]
    [found] = as_json(mr("arena-hard", games, *answers, "--json"))
    assert found["numbers"]["score"] == 75
    assert found["numbers"]["equal_style"] == pytest.approx(75, abs=0.1)
    assert (found["questions"], found["without"], found["judge"]) == (10, 0, "big[bold]")
    assert "equal" in said(mr("arena-hard", games, *answers))


def test_another_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file.jsonl").write_text(json.dumps({"uid": "u"}), encoding="utf-8")
    assert "line 1: has no category" in refused("arena-hard", tmp_path / "file.jsonl")
    assert "cannot be read" in refused("arena-hard", tmp_path / "none.jsonl")
