"""The user's own prompts and evaluation data: what is taken, and what is said about what is not."""

import csv
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.inputs import user_files
from mr_assets.inputs.prompt_sources import read_prompts, user_prompts
from mr_assets.inputs.user_files import (
    LONGEST_LINE,
    eft_notes,
    read_eft,
    to_train_on,
    user_eft,
)
from mr_assets.method.numbers import eft_numbers
from mr_assets.recipes.load import load_recipe
from mr_assets.tables import EFT_DATASET, SEED_PROMPTS
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


PROMPTS_JSONL = "".join(json.dumps({"prompt": p}, ensure_ascii=False) + "\n" for p in PROMPTS)
TEXT = {"txt": "\n".join(PROMPTS) + "\n", "jsonl": PROMPTS_JSONL, "csv": "id,prompt\n1,Who wrote Hamlet?\n"
        '2,"Sort 3, 1, 2."\n3,Sag «hallo».\n'}  # fmt: skip


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", list(TEXT))
def test_a_byte_order_mark_gzip_and_the_line_ends_of_windows(
    tmp_path: Path, suffix: str, packed: bool, mark: str, line_end: str
) -> None:
    """Every text format is read the same with each of them, and with capital letters in its name."""
    content = (mark + TEXT[suffix].replace("\n", line_end)).encode()
    name = put(tmp_path, f"P.{suffix.upper()}.gz" if packed else f"p.{suffix}", gz(content) if packed else content)
    assert read_prompts(name, "prompt", tmp_path) == PROMPTS


def gz(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\ufeff"])
@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_a_line_ends_in_a_line_feed_and_in_nothing_else(tmp_path: Path, character: str, suffix: str) -> None:
    """What other programs take for the end of a line is a character of the prompt."""
    texts = [f"one{character}two", "three"]
    content = {
        "txt": "\n".join(texts),
        "jsonl": "\n".join(json.dumps({"prompt": t}, ensure_ascii=False) for t in texts),
        "csv": "prompt\n" + "\n".join(f'"{t}"' for t in texts),
    }[suffix]
    assert read_prompts(put(tmp_path, f"p.{suffix}", content), "prompt", tmp_path) == texts


def test_csv_is_text_and_quotes_may_span_lines(tmp_path: Path) -> None:
    """Numbers, truth values and dates stay as they are written; a doubled quote is a quote."""
    rows = [
        *map(str, range(120)),
        "What is 2+2?",
        "true",
        "2024-01-01",
        "1e5",
        "007",
        'a "b"',
        "two\nlines, here",
        " x ",
    ]
    content = "prompt\n" + "".join(
        '"' + r.replace('"', '""') + '"\n' if set(r) & set('",\n') else r + "\n" for r in rows
    )
    assert read_prompts(put(tmp_path, "p.csv", content), "prompt", tmp_path) == rows


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()),
     pa.dictionary(pa.int8(), pa.large_string())],
    ids=str,
)  # fmt: skip
def test_every_type_of_text_in_parquet(tmp_path: Path, kind: Any) -> None:
    """Categories of pandas are a dictionary; polars writes large strings or views."""
    texts = [*PROMPTS, PROMPTS[0]]
    pq.write_table(pa.table({"n": [1, 2, 3, 4], "prompt": pa.array(texts).cast(kind)}), tmp_path / "p.parquet")
    assert read_prompts("p.parquet", "prompt", tmp_path) == texts
    frame = pl.DataFrame({"prompt": texts}, schema={"prompt": pl.Categorical})
    assert read_prompts(put(tmp_path, "c.parquet", frame), "prompt", tmp_path) == texts


@pytest.mark.parametrize("name", ["[a].txt", "a b%20.txt", "{x}.txt", "größe*?.txt", "a#b;c.txt"])
def test_any_name_of_a_file(tmp_path: Path, name: str) -> None:
    """No character of a name or folder is a pattern."""
    folder = tmp_path / "[in] {put}%s"
    folder.mkdir()
    assert read_prompts(put(folder, name, "a\nb\n"), "prompt", folder) == ["a", "b"]
    frame = pl.DataFrame({"prompt": ["a", "b"]})
    assert read_prompts(put(folder, name.replace("txt", "parquet"), frame), "prompt", folder) == ["a", "b"]


HALF = '{"prompt": "half \\ud83d"}'


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": [{"role": "user"}]}\n', ["line 2", "user", "expected text"]),
        ("p.jsonl", '{"prompt": "a"}\n\n{"prompt": 5}\n', ["line 3", "5", "expected text"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": true}\n', ["line 2", "true"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": null}\n', ["line 2", "null"]),
        ("p.jsonl", '{"prompt": "a"}\n{"text": "b"}\n', ["line 2", "found text", "prompts.column"]),
        ("p.jsonl", '{"prompt": "a"}\n' + HALF, ["line 2", "\\ud83d", "(at 6)"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b\\u0000"}\n', ["line 2", "NUL", "(at 2)"]),
        ("p.txt", "a\nb\0c\n", ["line 2", "NUL"]),
        ("p.csv", 'prompt,n\n"a\nb",1\n"c\0",2\n', ["line 4", "NUL"]),
        ("p.csv", 'prompt,n\n"a\nb",1\nc\n', ["line 4", "1 fields, and the header 2"]),
        ("p.csv", "prompt,n\na,1\nc,d,2\n", ["line 3", "3 fields"]),
        ("p.csv", 'prompt\na\n"b\nc\n', ["line 3", "does not end"]),
        ("p.csv", "prompt,prompt\na,b\n", ["line 1", "same name"]),
        ("p.csv", "prompt\ra\rb\r", ["line 1", "new-line character"]),
        ("p.jsonl", '["a", "b"]\n', ["line 1", "no JSON object", "one JSON object per line"]),
        ("p.jsonl", '[\n{"prompt": "a"},\n{"prompt": "b"}]\n', ["line 1", "one JSON object per line"]),
        ("p.jsonl", '"a"\n', ["line 1", "no JSON object"]),
        ("p.jsonl", '{"prompt": "a"} {"prompt": "b"}\n', ["line 1", "Extra data"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b", "prompt": "c"}\n', ["line 2", "prompt", "occurs twice"]),
        ("p.jsonl", '{"prompt": "a", "x": {"y": 1, "y": 2}}\n', ["line 1", "occurs twice"]),
        ("p.jsonl", '{"prompt": "a", "x": NaN}\n', ["line 1", "NaN is no JSON"]),
        ("p.jsonl", '{"prompt": "a", "x": -Infinity}\n', ["line 1", "-Infinity is no JSON"]),
        ("p.jsonl", '{"prompt": "a", "x": ' + "9" * 5000 + "}\n", ["line 1", "5,000 digits"]),
        ("p.jsonl", '{"prompt": "a", "x": ' + "[" * 90000 + "\n", ["line 1", "nested too deeply"]),
        ("p.jsonl", '{"prompt": ' + "[" * 400 + "]" * 400 + "}\n", ["line 1", "expected text"]),
        ("p.jsonl", "\ufeff{\n", ["line 1", "property name"]),
        ("p.txt", "a\nb\n".encode("utf-16"), ["line 1", "UTF-16", "Save the file as UTF-8"]),
        ("p.txt", "ab\n".encode("utf-16-le"), ["line 1", "NUL"]),
        ("p.csv", "prompt\nGr\u00fc\u00dfe\n".encode("latin-1"), ["line 2", "byte 3", "0xfc", "UTF-8"]),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": "\xed\xa0\xbd"}\n', ["line 2", "byte 13", "UTF-8"]),
        ("p.txt", gz(b"a\n"), ["line 1", "gzip", ".gz"]),
        ("p.txt.gz", b"a\n", ["cannot be read as .txt", "not gzipped"]),
        ("p.txt.gz", gz(b"a\n" * 9999)[:-9], ["cannot be read as .txt", "cut off"]),
        ("p.txt.gz", gz(b"a\n") + b"more", ["cannot be read as .txt"]),
        ("p.txt.gz", gz(b"a\n")[:-8] + b"\0" * 8, ["cannot be read as .txt"]),
        ("p.parquet.gz", gz(b""), ["expected .parquet", ".jsonl.gz"]),
        ("p.json", "{}", ["expected .parquet", "came .json"]),
        ("p.parquet", pl.DataFrame({"prompt": ["a", None]}), ["row 2", "null", "expected text"]),
        ("p.parquet", pl.DataFrame({"prompt": [1, 2]}), ["row 1", "1", "expected text"]),
        ("p.parquet", pl.DataFrame({"prompt": [b"a"]}), ["row 1", "expected text"]),
        ("p.parquet", pl.DataFrame({"prompt": ["a", "b\0"]}), ["row 2", "NUL"]),
        ("p.parquet", pl.DataFrame({"text": ["a"], "n": [1]}), ["row 1", "found text, n"]),
    ],
)  # fmt: skip
def test_the_row_at_fault_is_named(tmp_path: Path, name: str, content: Any, parts: list[str]) -> None:
    """By its line, with what it holds and what to do; no advice of a library's that cannot be followed here."""
    with pytest.raises(UserError) as error:
        read_prompts(put(tmp_path, name, content), "prompt", tmp_path)
    said = str(error.value)
    for part in ["prompts file", *parts]:
        assert part in said
    for advice in ("infer_schema", "sys.set_int", "newline=''", "ignore_errors"):
        assert advice not in said
    assert said.isprintable() and len(said) < 500


def test_utf_8_that_is_cut_in_parquet(tmp_path: Path) -> None:
    """Arrow does not look at the bytes of a text when it reads them."""
    bad = pa.StringArray.from_buffers(2, *pa.array([b"ok", b"\xff"]).buffers()[1:])
    pq.write_table(pa.table({"prompt": bad}), tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"p\.parquet, row 2: .*no UTF-8"):
        read_prompts("p.parquet", "prompt", tmp_path)


@pytest.mark.parametrize(
    ("limit", "value", "name", "content", "message"),
    [
        ("LONGEST_LINE", 100, "p.txt.gz", gz(b"\0" * 1000), "line 1: has more than 100 bytes"),
        ("LONGEST_LINE", 100, "p.jsonl", b'{"prompt": "a"}\n{"prompt": "' + b"a" * 100 + b'"}', "line 2: has more"),
        ("LONGEST_LINE", 100, "p.csv", b'prompt\n"' + b"a\n" * 99, "line 2: .*does not end"),
        (
            "MOST_BYTES",
            100,
            "p.txt.gz",
            gz(b"a" * 9 + b"\n" * 1000),
            "line 92: the file has more than 100",
        ),
        ("MOST_BYTES", 100, "p.csv", b"prompt\n" + b"abcd\n" * 99, "line 20: the file has more than 100 bytes"),
        ("MOST_BYTES", 100, "p.parquet", pl.DataFrame({"prompt": ["ab" * 500]}), "bytes unpacked"),
        ("MOST_ROWS", 9, "p.txt", b"a\n" * 10, "line 10: more than 9 rows"),
        ("MOST_ROWS", 9, "p.jsonl.gz", gz(b"\n" * 1000), "line 10: more than 9 rows"),
        ("MOST_ROWS", 9, "p.csv.gz", gz(b"\n" * 1000), "line 10: more than 9 rows"),
        ("MOST_ROWS", 9, "p.parquet", pl.DataFrame({"prompt": ["a"] * 10}), "row 10: more than 9 rows"),
    ],
)
def test_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, name: str, content: Any, message: str
) -> None:
    """They hold for what a file unpacks to, and are met while it is read: no more than that is ever in memory."""
    monkeypatch.setattr(user_files, limit, value)
    with pytest.raises(UserError, match=message):
        read_prompts(put(tmp_path, name, content), "prompt", tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Of 200 MB of zeros one line's limit is unpacked and no more."""
    with gzip.open(tmp_path / "p.txt.gz", "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(bytes(10**6))
    tracemalloc.start()
    with pytest.raises(UserError, match="line 1: has more than 16,777,216 bytes"):
        read_prompts("p.txt.gz", "prompt", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LONGEST_LINE


def test_reading_leaves_the_csv_modules_limit_alone(tmp_path: Path) -> None:
    """It is one for the whole process."""
    before = csv.field_size_limit()
    long = "a" * (before + 1)
    assert read_prompts(put(tmp_path, "p.csv", f"prompt\n{long}\n"), "prompt", tmp_path) == [long]
    assert csv.field_size_limit() == before


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5)
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, texts: list[str]) -> None:
    """Any text comes back from JSON lines, CSV and parquet as it was; from a text file if it is one line."""
    read = {name: read_prompts(name, "prompt", tmp_path) for name in (
        put(tmp_path, "p.jsonl", [{"prompt": t} for t in texts]),
        put(tmp_path, "p.parquet", pl.DataFrame({"prompt": texts})),
        put(tmp_path, "p.csv", "prompt\n" + "".join('"' + t.replace('"', '""') + '"\n' for t in texts)),
    )}  # fmt: skip
    assert set(map(tuple, read.values())) == {tuple(texts)}
    lines = [t.replace("\n", " ").replace("\r", " ") for t in texts]
    assert read_prompts(put(tmp_path, "p.txt", "".join(t + "\n" for t in lines)), "prompt", tmp_path) == [
        lines[0].removeprefix("\ufeff"),
        *lines[1:],
    ]


def test_a_missing_file(tmp_path: Path) -> None:
    """The message has the whole path; a folder is no file of judgments, and one without files has no prompts."""
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(UserError, match=rf"there is no file {tmp_path}/p.txt. Put it there, or name another one"):
        read_prompts("p.txt", "prompt", tmp_path)
    with pytest.raises(UserError, match=rf"there is no file {tmp_path}/folder.parquet. Put it there"):
        read_eft("folder.parquet", tmp_path)
    with pytest.raises(UserError, match=rf"the folder {tmp_path}/folder.parquet has no file to read. Name a folder"):
        read_prompts("folder.parquet", "prompt", tmp_path)


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


MIXED = [
    {"prompt": "a", "completion": "Score: 4"},
    {"prompt": [said("user", "a")], "completion": [said("assistant", "Score: 4")]},
    {"messages": [said("user", "a"), said("assistant", "Score: 4")]},
]


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in MIXED for b in MIXED if a is not b])
def test_eft_of_several_forms_is_refused(tmp_path: Path, first: Any, second: Any) -> None:
    """Each is fine by itself; side by side they are most likely two files in one."""
    with pytest.raises(UserError, match=r"eft\.jsonl, line 3, row 3: expected .* as in the rows before, came"):
        read_eft(put(tmp_path, "eft.jsonl", [first, first, second]), tmp_path)


@pytest.mark.parametrize("bad", ["half \\ud83d", "nul \\u0000"])
def test_eft_texts_are_texts(tmp_path: Path, bad: str) -> None:
    rows = '{"prompt": "a", "completion": "Score: 4"}\n\n'
    for row in (f'{{"prompt": "{bad}", "completion": "b"}}', f'{{"prompt": "b", "completion": "{bad}"}}'):
        with pytest.raises(UserError, match=r"eft\.jsonl, line 3: the (user|assistant) message has "):
            read_eft(put(tmp_path, "eft.jsonl", rows + row), tmp_path)


def scored(*judgments: str) -> list[dict[str, str]]:
    return [{"prompt": f"Rate {n}.", "completion": text} for n, text in enumerate(judgments)]


def test_eft_without_a_score_is_refused(tmp_path: Path) -> None:
    """A judge that never saw a score gives none: nothing of the run could be used."""
    name = put(tmp_path, "eft.jsonl", scored("I like it.", "Four of five."))
    with pytest.raises(
        UserError,
        match=r'EFT file eft\.jsonl: none of 2 judgments .* "I like it\.".*Score: 5", or another number from 0 to 5',
    ):
        read_eft(name, tmp_path)


def test_eft_with_some_scores_is_noted(tmp_path: Path) -> None:
    """The share, the first line at fault and why; the examples in use count."""
    lines = "\n\n".join(json.dumps(row) for row in scored("Score: 4", "Fine.", "Score: 9", "Score: 1"))
    put(tmp_path, "eft.jsonl", lines)

    def notes(*sets: str) -> list[str]:
        recipe = load_recipe(NAME, ["eft.source=eft.jsonl", *sets])
        return list(eft_notes(recipe, tmp_path, user_eft(recipe, tmp_path)[0]))

    (note,) = notes()
    assert "2 of 4 judgments (50%) give no score" in note
    assert 'first line 3 (no_score): "Fine."' in note
    assert notes("eft.examples=1") == []


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_eft_of_several_kinds(tmp_path: Path, suffix: str) -> None:
    """Then judgments alone are asked for a score; the figures show the shares."""
    rows = [
        {"prompt": "Rate 0.", "completion": "Score: 4", "kind": "judgment"},
        {"prompt": "Rate 1.", "completion": "Good.", "kind": "judgment"},
        {"prompt": "Compare.", "completion": "Winner: Judgement A", "kind": "meta_judgment"},
        {"prompt": "Why?", "completion": "Score: 5 is a song.", "kind": "instruction"},
    ]
    put(tmp_path, f"eft.{suffix}", rows if suffix == "jsonl" else pl.DataFrame(rows))
    recipe = load_recipe(NAME, [f"eft.source=eft.{suffix}", "eft.examples=null"])
    frame, _ = user_eft(recipe, tmp_path)
    EFT_DATASET.check(frame)
    assert frame["kind"].to_list() == ["judgment", "judgment", "meta_judgment", "instruction"]
    assert frame.select("tree_id", "message_id", "rank", "judgment_id", "score").null_count().row(0) == (4,) * 5
    (note,) = eft_notes(recipe, tmp_path, frame)
    assert "1 of 2 judgments (50%) give no score" in note
    figures = eft_numbers(frame)
    assert (figures["share of judgments"], figures["share of meta_judgments"]) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["judgment", "verdict"], 'line 2, row 2: kind is "verdict", expected one of judgment, meta_judgment, instr'),
        (["judgment", None], "line 2, row 2: expected a kind in every row or in none"),
        ([None, "judgment"], "line 2, row 2: expected a kind in every row or in none"),
        (["instruction", "instruction"], "none of 2 rows is a judgment"),
    ],
)
def test_kinds_that_cannot_be_used(tmp_path: Path, kinds: list[str | None], message: str) -> None:
    rows = [
        row | ({"kind": kind} if kind else {}) for row, kind in zip(scored("Score: 4", "Score: 1"), kinds, strict=True)
    ]
    with pytest.raises(UserError, match=message):
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
