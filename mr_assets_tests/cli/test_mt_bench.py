"""`mr mt-bench`: a table for readers, JSON for programs, one message for a file that is something else."""

from pathlib import Path

import pytest

from mr_assets.evaluation.json_lines import write_lines
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.intervals.RESAMPLES", 20)


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """8 and 5 for two turns; one judgment without a rating."""
    of = {"question_id": 81, "model": "M1", "judge": ["big[bold]", "single-v1"]}
    rows = [of | {"turn": turn, "score": score} for turn, score in ((1, 8), (2, 5), (2, -1))]
    write_lines(tmp_path / "big_single.jsonl", rows)
    return tmp_path / "big_single.jsonl"


def test_it_shows_a_line_per_model_and_judge(mr: Mr, ratings: Path) -> None:
    shown = said(mr("mt-bench", ratings))
    assert "big[bold]" in shown
    assert "6.50" in shown
    assert "2 (1 without)" in shown


def test_with_the_questions_there_are_categories(mr: Mr, ratings: Path) -> None:
    questions = ratings.with_name("question.jsonl")
    write_lines(questions, [{"question_id": 81, "category": "writing", "turns": ["a", "b"]}])
    [found] = as_json(mr("mt-bench", ratings, "--questions", questions, "--json"))
    assert found["numbers"]["writing"] == 6.5
    [found] = as_json(mr("mt-bench", ratings, "--json"))
    assert {*found["numbers"]} == {
        f"{name}{end}" for name in ("score", "turn_1", "turn_2") for end in ("", "_low", "_high")
    }


def test_another_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    write_lines(tmp_path / "file.jsonl", [{"question_id": 81}])
    assert "line 1: has no model" in refused("mt-bench", tmp_path / "file.jsonl")
