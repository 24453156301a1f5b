"""Preference data and JudgeBench's layout give the same pairs; what is wrong in a file is said by its line."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.labelled_pairs import labelled_pairs, read_labelled_pairs
from mr_assets.worlds import letters
from mr_assets_tests.tiny import tiny_recipe

PUBLISHED = Path(__file__).parents[3] / "shared" / "benchmarks"
PLAIN = {"prompt": "Who wrote Hamlet?", "chosen": "Shakespeare.", "rejected": "Marlowe."}
JUDGEBENCH = {
    **{"pair_id": "e3", "original_id": 1, "source": "mmlu-pro-law", "question": "Who wrote Hamlet?"},
    **{"response_model": "m", "response_A": "Marlowe.", "response_B": "Shakespeare.", "label": "B>A"},
}
SAID = ("Who wrote Hamlet?", "Shakespeare.", "Marlowe.")


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> pl.DataFrame:
    return read_labelled_pairs(path.name, path.parent)


def test_either_label_of_judgebench_says_which_response_is_better(tmp_path: Path) -> None:
    other = {**JUDGEBENCH, "response_A": "Shakespeare.", "response_B": "Marlowe.", "label": "A>B"}
    found = read(write(tmp_path / "p.jsonl", JUDGEBENCH, other))
    assert found.rows() == [("1", "knowledge", *SAID), ("2", "knowledge", *SAID)]


@pytest.mark.parametrize(
    ("source", "category"),
    [
        ("mmlu-pro-computer science", "knowledge"),
        ("livebench-reasoning", "reasoning"),
        ("livebench-math", "math"),
        ("livecodebench", "coding"),
        ("of our own", "of our own"),
    ],
)
def test_the_four_categories_of_judgebench(tmp_path: Path, source: str, category: str) -> None:
    assert read(write(tmp_path / "p.jsonl", {**JUDGEBENCH, "source": source}))["category"].to_list() == [category]


def test_preference_data_may_be_messages_and_may_name_a_category(tmp_path: Path) -> None:
    """As texts, as lists of one message (what `mr export` writes), with each name of a category, and without."""
    messages = {
        "prompt": [{"role": "user", "content": PLAIN["prompt"]}],
        "chosen": [{"role": "assistant", "content": PLAIN["chosen"]}],
        "rejected": [{"role": "assistant", "content": PLAIN["rejected"]}],
    }
    rows = [PLAIN, messages, *({**PLAIN, name: "plays"} for name in ("category", "subset", "source"))]
    found = read(write(tmp_path / "p.jsonl", *rows))
    assert found["category"].to_list() == [None, None, "plays", "plays", "plays"]
    assert set(found.select("prompt", "chosen", "rejected").iter_rows()) == {SAID}


def test_other_formats_give_the_same(tmp_path: Path) -> None:
    rows = [{**PLAIN, "subset": "plays"}]
    expected = read(write(tmp_path / "p.jsonl", *rows)).drop("pair_id")
    pl.DataFrame([{**rows[0], "more": 1}]).write_parquet(tmp_path / "p.parquet")
    with open(tmp_path / "p.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert read(tmp_path / "p.parquet").drop("pair_id").equals(expected)
    assert read(tmp_path / "p.csv").drop("pair_id").equals(expected)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"prompt": "A?", "chosen": "B"}, "expected columns prompt, chosen, rejected, or JudgeBench's question"),
        ({**PLAIN, "chosen": " "}, 'chosen holds " ", expected a text, or a list of one assistant message'),
        ({**PLAIN, "prompt": 3}, "prompt holds 3, expected a text, or a list of one user message"),
        ({**PLAIN, "rejected": [{"role": "user", "content": "x"}]}, "rejected holds"),
        ({**PLAIN, "prompt": "a\0b"}, "prompt has a NUL character"),
        ({**PLAIN, "category": 3}, "category holds 3, expected text"),
        ({**JUDGEBENCH, "label": "A=B"}, 'label is "A=B", expected "A>B" or "B>A"'),
        ({**JUDGEBENCH, "response_A": None}, "response_A holds null, expected a text"),
    ],
)
def test_a_fault_is_named_by_its_line(tmp_path: Path, row: Any, part: str) -> None:
    with pytest.raises(UserError) as refused:
        read(write(tmp_path / "p.jsonl", PLAIN, row))
    assert str(refused.value).startswith("file of labelled pairs p.jsonl, line 2: ")
    assert part in str(refused.value)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no rows"):
        read(write(tmp_path / "p.jsonl"))


def test_the_first_pairs_of_a_file_or_as_many_as_the_world_makes(tmp_path: Path) -> None:
    write(tmp_path / "p.jsonl", PLAIN, PLAIN, PLAIN)
    assert labelled_pairs(tiny_recipe("labelled_pairs={source: p.jsonl, pairs: 2}"), tmp_path).height == 2
    assert labelled_pairs(tiny_recipe("labelled_pairs={source: p.jsonl}"), tmp_path).height == 3
    made = labelled_pairs(tiny_recipe("labelled_pairs={source: world, pairs: 5}"), tmp_path)
    assert made["pair_id"].to_list() == ["1", "2", "3", "4", "5"]
    for prompt, chosen, rejected in made.select("prompt", "chosen", "rejected").iter_rows():
        assert letters.is_held_out(prompt)
        assert letters.true_score(prompt, chosen) > letters.true_score(prompt, rejected)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="JudgeBench's files are not there")
@pytest.mark.parametrize(
    ("name", "counts"),
    [("judgebench_gpt-4o.jsonl", [42, 154, 56, 98]), ("judgebench_claude-3-5-sonnet.jsonl", [31, 154, 34, 51])],
)
def test_judgebench_as_it_is_published(name: str, counts: list[int]) -> None:
    """Coding, knowledge, math and reasoning."""
    found = read(PUBLISHED / name)
    assert found["category"].value_counts().sort("category")["count"].to_list() == counts
