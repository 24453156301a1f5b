"""`mr alpaca-eval`: a table for readers, JSON for programs, one message for a file that is something else."""

import json
from pathlib import Path

import pytest

from mr_assets_tests.cli.conftest import Mr, Refused
from mr_assets_tests.evaluation.test_alpaca_eval import annotation, written


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 20)


def test_it_shows_a_line_per_model(mr: Mr, tmp_path: Path) -> None:
    path = written(tmp_path, [annotation(2, generator_2="[bold]m"), annotation(None, generator_2="[bold]m")] * 5)
    said = mr("alpaca-eval", path).output
    assert "[bold]m" in said
    assert "100.00" in said
    assert "5 (5 without)" in said


def test_json(mr: Mr, tmp_path: Path) -> None:
    [found] = json.loads(mr("alpaca-eval", written(tmp_path, [annotation(1.5)] * 5), "--json").output)
    assert (found["model"], found["win_rate"], found["rows"], found["average_length"]) == ("mine", 50, 5, 6)


def test_another_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "annotation 1: preference is 7" in refused("alpaca-eval", written(tmp_path, [annotation(7)]))
    assert "could not be read" in refused("alpaca-eval", tmp_path / "none.json")
