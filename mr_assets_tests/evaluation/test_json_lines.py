"""Files of one JSON object per line: what is one, and what is said of what is none."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.json_lines import read_lines, write_lines

KEYS = {"uid": str, "turns": list}


def written(folder: Path, text: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A line separator of Unicode within a text ends no line."""
    rows = [{"uid": "a", "turns": ["é\u2028\n"]}, {"uid": "b", "turns": []}]
    path = tmp_path / "new" / "questions.jsonl"
    write_lines(path, rows)
    assert read_lines(path, "questions", KEYS, "there") == rows
    assert path.read_text(encoding="utf-8").count("\n") == 2


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert len(read_lines(written(tmp_path, '\n{"uid": "a", "turns": []}\n\n'), "questions", KEYS, "there")) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no line"),
        ("{\n", "line 1: no JSON"),
        ('{"uid": "a", "turns": []}\n{"uid": "b", "tu', "and the file ends there: it may be half-written"),
        ('\n["a"]', 'line 2: ["a"] is no object'),
        ('{"uid": "a"}', "line 1: has no turns"),
        ('{"uid": 3, "turns": []}', "line 1: uid is 3, no text"),
        ('{"uid": "a", "turns": "b"}', 'line 1: turns is "b", no list'),
    ],
)
def test_other_files_are_refused_with_line_and_source(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_lines(written(tmp_path, text), "the questions", KEYS, "example.org/questions")
    assert said in str(refusal.value)
    assert "Expected the questions, as in example.org/questions." in str(refusal.value)


def test_true_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="turn is true, no whole number"):
        read_lines(written(tmp_path, '{"turn": true}'), "ratings", {"turn": int}, "there")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.jsonl cannot be read"):
        read_lines(tmp_path / "missing.jsonl", "the questions", KEYS, "there")
