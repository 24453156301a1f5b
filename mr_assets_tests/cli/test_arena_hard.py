"""`mr arena-hard` and `mr benchmark arena_hard`: tables for readers, JSON for programs, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.evaluation.arena_hard import Answers, Question, answer_rows
from mr_assets.evaluation.json_lines import write_lines
from mr_assets.runs.run import Run
from mr_assets_tests.chat_server import Serve
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said
from mr_assets_tests.cli.test_benchmark import run as run
from mr_assets_tests.public_benchmarks.conftest import engine as engine
from mr_assets_tests.public_benchmarks.test_arena_hard import longer_wins


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)


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


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    categories = ("hard_prompt", "hard_prompt", "creative_writing")
    rows = [{"uid": f"u{n}", "category": each, "prompt": f"What is {n}?"} for n, each in enumerate(categories)]
    write_lines(tmp_path / "question.jsonl", rows)
    return tmp_path / "question.jsonl"


@pytest.mark.slow
def test_a_run_is_compared_with_its_seed_model(
    mr: Mr, run: Run, engine: list[str], serve: Serve, questions: Path
) -> None:
    """Without an endpoint the models answer; then the judge is asked, once for what is the same in both orders."""
    command = ["benchmark", "arena_hard", "tiny", "--questions", questions, "--models", "1"]
    skipped = mr(*command)
    assert skipped.exit_code == 0
    assert "arena-hard-v2.0: the judge's part is skipped" in skipped.stderr
    assert len(engine) == 6
    server = serve(longer_wins)
    command += ["--endpoint", server.url, "--judge", "strict", "--budget", 1, "--price", 1, 1]
    shown = said(mr(*command))
    assert "arena-hard-v2.0_hard_prompt of tiny, judged by strict" in shown
    assert "M1" in shown
    assert (len(engine), len(server.asked)) == (6, 3)
    hard, creative = as_json(mr(*command, "--json"))
    assert (hard["judge"], hard["baseline"], creative["questions"]) == ("strict", "seed", 1)
    assert (len(engine), len(server.asked)) == (6, 3)


def test_a_dry_run_asks_nobody(mr: Mr, run: Run, engine: list[str], serve: Serve, questions: Path) -> None:
    server = serve(longer_wins)
    judge = ("--endpoint", server.url, "--judge", "strict", "--first", 2, "--dry-run")
    found = mr("benchmark", "arena_hard", "tiny", "--questions", questions, *judge)
    assert "12 requests, 0 of them answered already" in found.stderr  # of M0, M1 and M2, twice two
    assert (server.asked, engine) == ([], [])
    assert not (run.folder / "benchmarks").exists()


def test_a_baseline_that_does_not_answer_is_refused(
    refused: Refused, run: Run, engine: list[str], questions: Path, tmp_path: Path
) -> None:
    baseline = answered(tmp_path, "gpt", 2)
    command = ("benchmark", "arena_hard", "tiny", "--questions", questions, "--baseline", baseline)
    assert "gpt: has no answer to the question u2" in refused(*command)
    assert not engine
