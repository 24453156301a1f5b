"""`mr mt-bench` and `mr benchmark mt_bench`: tables for readers, JSON for programs, what is refused."""

from pathlib import Path

import pytest

from mr_assets.evaluation.json_lines import write_lines
from mr_assets.runs.run import Run
from mr_assets_tests.chat_server import Serve
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said
from mr_assets_tests.cli.test_benchmark import run as run
from mr_assets_tests.public_benchmarks.conftest import engine as engine
from mr_assets_tests.public_benchmarks.test_mt_bench import turns_are_rated


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)


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


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [{"question_id": 81 + n, "category": c, "turns": ["a", "b"]} for n, c in enumerate(("writing", "math"))]
    write_lines(tmp_path / "question.jsonl", rows)
    return tmp_path / "question.jsonl"


def test_a_run_is_rated(mr: Mr, run: Run, engine: list[str], serve: Serve, questions: Path, tmp_path: Path) -> None:
    """One question, two turns, two models, which say the same: the judge is asked about it once."""
    server = serve(turns_are_rated)
    command = ["benchmark", "mt_bench", "tiny", "--questions", questions, "--first", 1, "--models", "seed,1"]
    command += ["--endpoint", server.url, "--judge", "strict", "--budget", 1, "--price", 1, 1]
    shown = said(mr(*command))
    assert "mt_bench of tiny, judged by strict" in shown
    assert "6.00 (6.00 to 6.00)" in shown
    assert (len(engine), len(server.asked)) == (4, 2)
    found = as_json(mr(*command, "--json"))
    assert [(row["model"], row["turn_1"], row["turn_2"]) for row in found["rows"]] == [("seed", 8, 4), ("M1", 8, 4)]
    assert (len(engine), len(server.asked)) == (4, 2)


def test_a_missing_reference_is_refused(refused: Refused, run: Run, engine: list[str], questions: Path) -> None:
    said = refused("benchmark", "mt_bench", "tiny", "--questions", questions)
    assert "question 82 (math): the judge needs a reference answer" in said
    assert not engine
