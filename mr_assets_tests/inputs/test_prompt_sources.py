"""Prompts from folders and saved datasets, and conversations: what is taken, and what is said about what is not."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.prompt_sources import place_of_prompt, read_prompts, user_prompts
from mr_assets.method.conversations import as_text
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.settings import settings_of
from mr_assets.runs.status import state
from mr_assets_tests.tiny import NAME, complete, tiny_run

PROMPTS = ["Who wrote Hamlet?", "Sort 3, 1, 2.", "Sag «hallo»."]
TURNS = [
    {"role": "user", "content": "Who wrote Hamlet?"},
    {"role": "assistant", "content": "Shakespeare."},
    {"role": "user", "content": "And Faust?"},
]
OWN = ("prompts.source=mine", "prompts.count=null", "prompts.disjoint=false", "iterations.all.prompts=1")


def put(folder: Path, **files: str | bytes | pl.DataFrame) -> None:
    """Write files into a folder; in their names "__" stands for ".", "_" for "-"."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("_", "-")
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def lines(*prompts: str) -> str:
    return "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)


def zipped(text: str) -> bytes:
    return gzip.compress(text.encode())


def frame(*prompts: str) -> pl.DataFrame:
    return pl.DataFrame({"prompt": prompts, "n": range(len(prompts))})


def said_of(folder: Path, *sets: str) -> str:
    with pytest.raises(UserError) as error:
        user_prompts(load_recipe(NAME, [*OWN, *sets]), folder)
    return str(error.value)


# ------------------------------------------------------------------------------------------------------------- folders


def test_each_text_of_a_folder_is_one_prompt(tmp_path: Path) -> None:
    """In the order of their names, lines and all; a final line end is none of the prompt."""
    put(tmp_path / "mine", b__md="# Two\n\nSort 3, 1, 2.\n", a__txt="Who?\r\nWhy?\r\n", c__txt__gz=zipped("Hi"))
    put(tmp_path / "mine", README__md="Ours.", LICENSE="Free.", __hidden="x")
    assert read_prompts("mine", "prompt", tmp_path) == ["Who?\nWhy?", "# Two\n\nSort 3, 1, 2.", "Hi"]


@pytest.mark.parametrize(
    "files",
    [
        {"a__jsonl": lines(*PROMPTS[:2]), "b__jsonl": lines(PROMPTS[2])},
        {"a__jsonl__gz": zipped(lines(*PROMPTS[:2])), "b__jsonl__gz": zipped(lines(PROMPTS[2]))},
        {"train_00000_of_00002__parquet": frame(*PROMPTS[:2]), "train_00001_of_00002__parquet": frame(PROMPTS[2])},
        {"train_00000_of_00001_9f3c0a6be1d24c7f__parquet": frame(*PROMPTS)},
        {"train__csv": "prompt\n" + "\n".join(f'"{p}"' for p in PROMPTS) + "\n"},
    ],
    ids=["JSON lines", "gzipped", "shards", "one shard of a hub", "CSV"],
)  # fmt: skip
def test_tables_side_by_side(tmp_path: Path, files: dict[str, Any]) -> None:
    """They are one table, in the order of their names."""
    put(tmp_path / "mine", **files)
    assert read_prompts("mine", "prompt", tmp_path) == PROMPTS


def test_the_split_that_is_named(tmp_path: Path) -> None:
    """Shards are of the split that their names begin with; so is a file that is called like one."""
    put(tmp_path / "mine", train__jsonl=lines("a"), test_00000_of_00001__jsonl=lines("b"), extra__jsonl=lines("c"))
    for split, prompt in (("train", "a"), ("test", "b"), ("extra", "c")):
        assert read_prompts("mine", "prompt", tmp_path, split) == [prompt]


@pytest.mark.parametrize(
    ("files", "sets", "said"),
    [
        ({}, (), "has no file to read. Name a folder that has some."),
        ({"a__jsonl": lines("a"), "b__txt": "b"}, (), 'has files of several kinds, "a.jsonl" and "b.txt"'),
        ({"a__json": "[]"}, (), '"a.json" is none that is read'),
        ({"train__jsonl": lines("a"), "test__jsonl": lines("b")}, (), "has the splits test, train. Name one: set"),
        ({"train__jsonl": lines("a")}, ("prompts.split=test",), 'prompts.split = "test": mine has the splits train'),
        ({"a__jsonl": lines("a")}, ("prompts.split=train",), 'prompts.split = "train": no file of mine is named by'),
        ({"a__txt": "a"}, ("prompts.split=train",), "mine has texts, without splits. Set it to null."),
        (
            {"train_00000_of_00003__jsonl": lines("a"), "train_00002_of_00003__jsonl": lines("b")}, (),
            "of 3 shards of train, these are there: 00000, 00002. Copy the dataset again, whole.",
        ),
        ({"a__jsonl": lines("a"), "b__jsonl": lines("b") + '{"prompt": 3}\n'}, (), "mine/b.jsonl, line 2: column"),
        ({"a__jsonl": lines("a"), "b__jsonl": lines("b", "a")}, (), "1 repeated (first: row 3: 'a') in b.jsonl, l"),
        ({"a__txt": "a", "b__txt": " \n"}, (), "1 empty or blank (first: row 2: ' ') in b.txt"),
        ({"a__txt": "a", "b__txt": b"\xff"}, (), "mine/b.txt, line 1: cannot be read as text: byte 1"),
        ({"a__txt": "a"}, ("prompts.count=2",), "prompts.count = 2: mine has 1 prompts"),
        ({"a__parquet": frame("a"), "b__parquet": frame("a")}, (), "(first: row 2: 'a') in b.parquet, row 1"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used(tmp_path: Path, files: dict[str, Any], sets: tuple[str, ...], said: str) -> None:
    """What is there, what was expected, and where."""
    put(tmp_path / "mine", **files)
    assert said in said_of(tmp_path, *sets)


def test_a_folder_of_folders_names_them(tmp_path: Path) -> None:
    """As a copy of a hub's dataset has its shards in data/."""
    put(tmp_path / "mine" / "data", train__jsonl=lines("a"))
    assert "has no file to read, but the folders data. Name one of these." in said_of(tmp_path)
    assert read_prompts("mine/data", "prompt", tmp_path) == ["a"]


def test_a_split_of_a_file_is_refused(tmp_path: Path) -> None:
    """A file has none."""
    put(tmp_path, mine__txt="a\n")
    said = said_of(tmp_path, "prompts.source=mine.txt", "prompts.split=train")
    assert said == 'prompts.split = "train": mine.txt is one file, without splits. Set it to null.'


# ------------------------------------------------------------------------------------------------------ saved datasets


def saved(folder: Path, **splits: list[Any]) -> None:
    """What `datasets.save_to_disk` writes, two shards each."""
    from datasets import Dataset, DatasetDict

    made = {name: Dataset.from_dict({"n": list(range(len(rows))), "prompt": rows}) for name, rows in splits.items()}
    several = len(made) > 1
    what = DatasetDict(made) if several else next(iter(made.values()))
    what.save_to_disk(folder, num_shards=dict.fromkeys(made, 2) if several else 2)


def test_a_saved_dataset(tmp_path: Path) -> None:
    """Its shards in order; of several splits the one that is named."""
    saved(tmp_path / "one", train=PROMPTS)
    saved(tmp_path / "two", train=PROMPTS, test=["Hi", "Ho"])
    assert read_prompts("one", "prompt", tmp_path) == PROMPTS
    assert read_prompts("two", "prompt", tmp_path, "test") == ["Hi", "Ho"]
    with pytest.raises(UserError, match=r"two has the splits train, test. Name one: set prompts.split"):
        read_prompts("two", "prompt", tmp_path)
    with pytest.raises(UserError, match=r'prompts.split = "dev": two has the splits train, test'):
        read_prompts("two", "prompt", tmp_path, "dev")


def test_a_saved_dataset_of_conversations(tmp_path: Path) -> None:
    """Lists of structs come back as turns."""
    saved(tmp_path / "mine", train=[TURNS, TURNS[:1]])
    assert read_prompts("mine", "prompt", tmp_path) == [TURNS, "Who wrote Hamlet?"]


@pytest.mark.parametrize("what", ["shard lost", "shard cut", "state cut", "other column"])
def test_a_damaged_dataset(tmp_path: Path, what: str) -> None:
    """The shard is named, and nothing is half read."""
    saved(tmp_path / "mine", train=PROMPTS)
    shard, sets = tmp_path / "mine" / "data-00001-of-00002.arrow", list[str]()
    match what:
        case "shard lost":
            shard.unlink()
            expected = 'state.json names "data-00001-of-00002.arrow", and there is no such file'
        case "shard cut":
            shard.write_bytes(shard.read_bytes()[:-40])
            expected = "mine/data-00001-of-00002.arrow cannot be read as .arrow"
        case "state cut":
            (tmp_path / "mine" / "state.json").write_text("{")
            expected = "expected JSON with"
        case _:
            sets = ["prompts.column=question"]
            expected = "mine/data-00000-of-00002.arrow, row 1: expected a column 'question', found n, prompt"
    assert expected in said_of(tmp_path, *sets)


def test_no_file_outside_of_the_dataset_is_read(tmp_path: Path) -> None:
    """A dataset is another's work: its own list of files leads nowhere else."""
    saved(tmp_path / "mine", train=PROMPTS)
    state_file = tmp_path / "mine" / "state.json"
    listed = json.loads(state_file.read_text())
    listed["_data_files"] = [{"filename": "../secret.arrow"}]
    state_file.write_text(json.dumps(listed))
    assert 'state.json names "../secret.arrow"' in said_of(tmp_path)


# ------------------------------------------------------------------------------------------------------- conversations


def test_turns_in_the_column_or_in_messages(tmp_path: Path) -> None:
    """`messages` is read where the column is not there; both kinds of prompts may stand in one file."""
    brief = [{"role": "system", "content": "Be brief."}, TURNS[0]]
    rows: list[dict[str, Any]] = [{"prompt": "Hi"}, {"prompt": TURNS}, {"messages": brief}]
    put(tmp_path, mine__jsonl="".join(json.dumps(row) + "\n" for row in rows))
    assert read_prompts("mine.jsonl", "prompt", tmp_path) == ["Hi", TURNS, brief]
    prompts = user_prompts(load_recipe(NAME, [*OWN, "prompts.source=mine.jsonl"]), tmp_path)
    assert prompts["prompt"].to_list() == ["Hi", as_text(TURNS), "System: Be brief.\n\nUser: Who wrote Hamlet?"]
    assert prompts["turns"].to_list()[1] == TURNS


def test_a_conversation_that_ends_in_an_answer(tmp_path: Path) -> None:
    """As data sets for SFT have them: the line is named, and what was expected."""
    put(tmp_path, mine__jsonl=lines("Hi") + json.dumps({"messages": TURNS[:2]}) + "\n")
    said = said_of(tmp_path, "prompts.source=mine.jsonl")
    assert "mine.jsonl, line 2: column 'messages' holds" in said
    assert "it ends in a turn of the assistant, expected the user's, which is answered. Mend this row." in said


def test_where_a_prompt_stands(tmp_path: Path) -> None:
    """For notes on prompts: the file of several, and the line."""
    put(tmp_path / "mine", a__jsonl=lines("a", "b"), b__jsonl="\n" + lines("c"))
    recipe = load_recipe(NAME, OWN)
    assert [place_of_prompt(recipe, tmp_path, row) for row in (1, 2)] == ["a.jsonl, line 2", "b.jsonl, line 2"]


# ----------------------------------------------------------------------------------------------------------- staleness


def test_another_file_of_a_folder_makes_stale(tmp_path: Path) -> None:
    """Whatever its name, also below; not a hidden one."""
    put(tmp_path / "mine", a__md="a")
    run = tiny_run(tmp_path, *OWN)
    complete(run, "seed_prompts")
    put(tmp_path / "mine", __hidden="x")
    assert state(run, "seed_prompts") == "done"
    for folder, name in ((tmp_path / "mine", "b__md"), (tmp_path / "mine" / "train", "a__arrow")):
        before = settings_of(run, "seed_prompts", None)
        put(folder, **{name: "b"})
        assert settings_of(run, "seed_prompts", None) != before
        assert state(run, "seed_prompts") == "stale"
        complete(run, "seed_prompts")


def test_records_of_before_there_were_splits_are_current(tmp_path: Path) -> None:
    """They do not name the field, and nothing was to be named then."""
    run = tiny_run(tmp_path)
    path = run.record_path("seed_prompts")
    complete(run, "seed_prompts")
    record = json.loads(path.read_text())
    del record["settings"]["prompts.split"]
    path.write_text(json.dumps(record))
    assert state(run, "seed_prompts") == "done"
