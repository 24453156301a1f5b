"""The user's own prompts and evaluation data: what is taken, and what is said about what is not."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.recipe import load_recipe
from mr_assets.tables import EFT_DATASET, SEED_PROMPTS
from mr_assets.userfiles import read_eft, read_prompts, to_train_on, user_prompts
from mr_assets.worlds.letters import make_prompts
from mr_assets_tests.tiny import NAME

PROMPTS = ["Who wrote Hamlet?", "Sort 3, 1, 2.", "Sag «hallo»."]


def put(folder: Path, name: str, content: Any) -> str:
    """Write a file: text or bytes as they are, rows as JSON lines, a frame as parquet or CSV."""
    path = folder / name
    if isinstance(content, pl.DataFrame):
        content.write_parquet(path) if path.suffix == ".parquet" else content.write_csv(path)
    elif isinstance(content, list):
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "\n".join(PROMPTS)),
        ("p.txt", "\r\n".join(PROMPTS) + "\r\n"),
        ("p.jsonl", [{"prompt": p, "n": 1} for p in PROMPTS]),
        ("p.ndjson", [{"prompt": p} for p in PROMPTS]),
        ("p.parquet", pl.DataFrame({"id": [1, 2, 3], "prompt": PROMPTS})),
        ("p.csv", pl.DataFrame({"prompt": PROMPTS})),
    ],
    ids=["text", "text of Windows", "JSON lines", "NDJSON", "parquet", "CSV"],
)
def test_prompts_in_every_format(tmp_path: Path, name: str, content: Any) -> None:
    assert read_prompts(put(tmp_path, name, content), "prompt", tmp_path) == PROMPTS


def test_another_column_may_hold_the_prompt(tmp_path: Path) -> None:
    name = put(tmp_path, "p.jsonl", [{"question": p} for p in PROMPTS])
    assert read_prompts(name, "question", tmp_path) == PROMPTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.parquet", b"no parquet", r"cannot be read as \.parquet.*Mend the file"),
        ("p.parquet", b"", r"cannot be read as \.parquet"),
        ("p.jsonl", '{"prompt": "a"', r"cannot be read as \.jsonl"),
        ("p.csv", b"", r"cannot be read as \.csv"),
        ("p.txt", b"\xff\xfe\x00", r"cannot be read as \.txt"),
        ("p.docx", "a", r"expected \.parquet, \.jsonl, \.csv or \.txt \(one per line\), came \.docx"),
        ("prompts", "a", "came a file without a suffix"),
        ("p.jsonl", [{"text": "a", "n": 1}], r"expected a column 'prompt', found text, n\. Rename it"),
        ("p.jsonl", [{"prompt": 5}], r"line 1: column 'prompt' holds 5, expected text"),
        ("p.jsonl", [{"prompt": ["a"]}], r"line 1: column 'prompt' holds \[\"a\"\], expected text"),
    ],
)
def test_a_file_that_is_no_prompts_file(tmp_path: Path, name: str, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_prompts(put(tmp_path, name, content), "prompt", tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    """The message has the whole path; a folder is no file."""
    (tmp_path / "folder.parquet").mkdir()
    for name in ("p.txt", "folder.parquet"):
        with pytest.raises(UserError, match=rf"there is no file {tmp_path}/{name}. Put it there, or name another one"):
            read_prompts(name, "prompt", tmp_path)


def test_a_recipes_own_prompts(tmp_path: Path) -> None:
    """The first `count` of the file, with ids; null is all of them."""
    put(tmp_path, "p.txt", "\n".join([*PROMPTS, ""]))

    def recipe(count: str) -> Any:
        sets = ["prompts.source=p.txt", f"prompts.count={count}", "iterations.all.prompts=1", "prompts.disjoint=false"]
        return load_recipe(NAME, sets)

    assert user_prompts(recipe("null"), tmp_path)["prompt"].to_list() == PROMPTS
    two = user_prompts(recipe("2"), tmp_path)
    assert two["prompt"].to_list() == PROMPTS[:2]
    SEED_PROMPTS.check(two)
    with pytest.raises(UserError, match=r"prompts.count = 4: p.txt has 3 prompts. Lower prompts.count"):
        user_prompts(recipe("4"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n\n b\n   \n", "of 4 prompts, 2 empty or blank .*row 2.*row 4.*Remove these rows"),
        ("a\nb\na\na\n", "of 4 prompts, 2 repeated .*row 3: 'a'.*row 4: 'a'"),
        ("", "expected at least one prompt, found none"),
    ],
)
def test_prompts_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    """Empty, blank and repeated ones are counted and shown by row."""
    put(tmp_path, "p.txt", text)
    with pytest.raises(UserError, match=message):
        user_prompts(load_recipe(NAME, ["prompts.source=p.txt", "prompts.count=null"]), tmp_path)


# ----------------------------------------------------------------------------------------------------------- EFT


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Rate it.", "completion": "Score: 4"},
        {"prompt": [said("user", "Rate it.")], "completion": [said("assistant", "Score: 4")]},
        {"messages": [said("user", "Rate it."), said("assistant", "Score: 4")]},
        {"messages": [{**said("user", "Rate it."), "name": "x"}, said("assistant", "Score: 4")], "prompt": "ignored"},
    ],
    ids=["texts", "conversations", "messages", "messages with more"],
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_eft_in_every_form(tmp_path: Path, row: dict[str, Any], suffix: str) -> None:
    """All are the same table: numbered examples that end in a judgment."""
    name = put(tmp_path, f"eft.{suffix}", [row, row] if suffix == "jsonl" else pl.DataFrame([row, row]))
    frame = read_eft(name, tmp_path)
    EFT_DATASET.check(frame)
    example = ([said("user", "Rate it.")], [said("assistant", "Score: 4")])
    assert frame.rows() == [("0", *example), ("1", *example)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"question": "a", "answer": "b"}],
            "expected columns prompt and completion, or messages; found question, answer",
        ),
        (
            [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": " "}],
            "row 2: .*non-empty assistant message",
        ),
        ([{"prompt": "a", "completion": None}], "row 1: expected one user message and one non-empty assistant message"),
        ([{"prompt": 1, "completion": "b"}], "row 1: .*came '1' and 'b'"),
        ([{"messages": [said("user", "a")]}], "row 1"),
        ([{"messages": None}, {"messages": [said("user", "a"), said("assistant", "b")]}], "row 1"),
        ([{"messages": [said("system", "s"), said("user", "a"), said("assistant", "b")]}], "row 1"),
        ([{"messages": [said("assistant", "b"), said("user", "a")]}], "row 1"),
        ([{"messages": "a"}], "row 1"),
        ([{"messages": []}, {"messages": [said("user", "a"), said("assistant", "b")]}], "row 1"),
    ],
)
def test_eft_that_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    """The first row that does not fit is shown, with what was expected."""
    with pytest.raises(UserError, match=rf"EFT file eft\.jsonl.*{message}"):
        read_eft(put(tmp_path, "eft.jsonl", rows), tmp_path)


def test_an_eft_file_without_rows(tmp_path: Path) -> None:
    name = put(tmp_path, "eft.parquet", pl.DataFrame(schema={"prompt": pl.String, "completion": pl.String}))
    with pytest.raises(UserError, match=r"EFT file eft\.parquet has no rows.*set sft: null"):
        read_eft(name, tmp_path)


def test_a_missing_eft_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"EFT file eft\.jsonl: there is no file .*Put it there"):
        read_eft("eft.jsonl", tmp_path)


def test_a_users_file_is_trained_on_without_a_worlds_held_out_prompts(tmp_path: Path) -> None:
    """Also where they stand inside a longer text; a recipe without a world knows none."""
    held_out, others = make_prompts(3, "x", held_out=True), make_prompts(3, "x")
    recipe = load_recipe(NAME)
    prompts = pl.DataFrame({"prompt": [held_out[0], others[0], f"Please! {held_out[1]} Thanks.", "Who are you?"]})
    assert to_train_on(prompts, recipe)["prompt"].to_list() == [others[0], "Who are you?"]
    rows = [{"prompt": f"Judge this: {p}", "completion": "Score: 3"} for p in (others[1], held_out[2], others[2])]
    eft = read_eft(put(tmp_path, "eft.jsonl", rows), tmp_path)
    assert to_train_on(eft, recipe)["example_id"].to_list() == ["0", "2"]
    assert to_train_on(prompts, load_recipe("llama_3_8b_meta_rewarding")).equals(prompts)
