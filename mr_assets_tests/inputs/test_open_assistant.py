"""Open Assistant's layouts give the same replies; what is wrong in a file is said by its line."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.open_assistant import rankings, said
from mr_assets.recipes.recipe import Recipe
from mr_assets.tables import RANKED_REPLIES, Selected
from mr_assets_tests.rankings import FLAT, flat, message, reply, tree, trees_of, write
from mr_assets_tests.tiny import tiny_recipe

PUBLISHED = Path(__file__).parents[3] / "shared" / "open_assistant" / "en_70_tree.jsonl"


def recipe_of(name: str, *sets: str) -> Recipe:
    return tiny_recipe(f"eft.source='open_assistant:{name}'", *sets)


def read(path: Path, *sets: str) -> Selected:
    return rankings(recipe_of(path.name, *sets), path.parent)


@pytest.mark.parametrize("name", ["a.trees.jsonl", "a.trees.jsonl.gz", "a.messages.jsonl.gz", "a.parquet"])
def test_every_published_layout_gives_the_same_replies(tmp_path: Path, name: str) -> None:
    """Eight prompts with three replies each; those to replies are not read. Two prompts are held out, a quarter."""
    trees = trees_of(8)
    found = read(write(tmp_path / name, trees if "trees" in name else flat(trees)))
    RANKED_REPLIES.check(found.rows)
    assert found.rows.equals(read(write(tmp_path / "b.jsonl", trees[::-1])).rows)
    best = found.rows.filter(found.rows["rank"] == 0).sort("tree_id")
    assert best["tree_id"].to_list() == [f"t{n}" for n in range(8)]
    assert best.select("prompt", "response", "message_id").row(3) == ("Prompt 3", "Reply 3.0", "t3.0")
    assert (found.rows["held_out"].sum(), found.dropped.height) == (6, 0)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_dropped_is_counted_by_reason(tmp_path: Path, suffix: str) -> None:
    """One tree of each kind beside four good ones, and the sentence that the dry run shows."""
    good = (reply("x.0", "A", 0), reply("x.1", "B", 1))
    odd = [
        tree("de", "Warum?", *good, lang="de"),
        tree("gone", "Gone?", *good, deleted=True),
        tree("unseen", "Unseen?", *good, review_result=None),
        tree("early", "Early?", *good, state="initial_prompt_review"),
        tree("one", "One?", reply("one.0", "A", 0), reply("one.1", "B", None)),
    ]
    for each in odd:
        for n, below in enumerate(each["prompt"]["replies"]):
            below["message_id"] = f"{each['message_tree_id']}.{n}"
    trees = [*trees_of(4), *odd]
    recipe = recipe_of(f"a{suffix}")
    found = rankings(recipe, write(tmp_path / f"a{suffix}", flat(trees) if suffix == ".parquet" else trees).parent)
    assert dict(found.dropped.select("id", "reason").iter_rows()) == {
        "de": "foreign_language",
        "gone": "was_deleted",
        "unseen": "not_reviewed",
        "early": "tree_not_final",
        "one": "too_few_ranked",
        "one.1": "not_ranked",
    }
    sentence = said(recipe, found)
    assert "4 prompts with two ranked replies or more, 12 replies" in sentence
    assert "3 prompts (9 replies) to train on, 1 prompts (3 replies) held out" in sentence
    assert "1 was_deleted (it was deleted)" in sentence


def test_the_language_is_a_choice(tmp_path: Path) -> None:
    """Without one that the file has, those that it has are named."""
    german = [reply(f"d.{n}", "So.", n, lang="de") for n in range(2)]
    path = write(tmp_path / "a.jsonl", [*trees_of(2), tree("d", "Warum?", *german, lang="de")])
    assert read(path, "eft.language=de", "eft.held_out=0.0").rows["tree_id"].unique().to_list() == ["d"]
    with pytest.raises(UserError, match=r"'fr' has .* 3 foreign_language\. Its languages: de, en\. Set"):
        read(path, "eft.language=fr")


def of_tree(**fields: Any) -> dict[str, Any]:
    """A tree whose best reply has these fields."""
    made = trees_of(1)[0]
    made["prompt"]["replies"][-1] |= fields
    return made


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"prompt": "Rate.", "completion": "Score: 4"}, "line 2: expected a message tree"),
        ({"id": 1}, "line 2: expected a message tree"),
        (flat(trees_of(1))[0], "line 2: expected trees as in the lines before"),
        (tree("t", "Why?") | {"prompt": message("t", "Why?", replies="none")}, 'prompt.replies is "none", expected a'),
        (of_tree(rank="first"), 'prompt.replies[2]: rank is "first", expected a whole number from 0'),
        (of_tree(rank=0.5), "rank is 0.5, expected"),
        (of_tree(rank=-1), "rank is -1, expected"),
        (of_tree(rank=True), "rank is true, expected"),
        (of_tree(deleted="no"), 'deleted is "no", expected true, false or null'),
        (of_tree(text=None), "prompt.replies[2]: text is null, expected a text"),
        (of_tree(text="a\0b"), "line 2: text has a NUL"),
        (of_tree(lang=7), "lang is 7, expected a text"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, row: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError) as error:
        read(write(tmp_path / "a.jsonl", [*trees_of(1), row]))
    assert part in str(error.value) and "a.jsonl, line 2" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.jsonl.gz", gzip.compress(json.dumps(trees_of(1)[0]).encode(), mtime=0)[:-9], "cut off, or not gzipped"),
        ("a.jsonl.gz", b"{}\n", "cut off, or not gzipped"),
        ("a.jsonl", gzip.compress(b"{}\n", mtime=0), "Name it with .gz at the end"),
        ("a.jsonl", b'{"prompt": \n', "line 1: cannot be read as .jsonl"),
        ("a.jsonl", b"", "has no messages"),
        ("a.parquet", b"PAR1", "cannot be read as .parquet"),
        ("a.csv", b"message_id,text\n", "expected .jsonl, .jsonl.gz or .parquet, came .csv"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, part: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read(tmp_path / name)
    assert part in str(error.value) and name in str(error.value)


def test_a_parquet_file_without_the_columns(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a"], "rank": [0]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"row 1: expected .*; found the fields: text, rank"):
        read(tmp_path / "a.parquet")
    pl.DataFrame([{name: None for name in FLAT}], schema=FLAT).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match="row 1: the message: message_id is null, expected a text"):
        read(tmp_path / "b.parquet")


def test_trees_without_ranks_say_so(tmp_path: Path) -> None:
    """An export of prompts alone, or of replies that nobody ranked, is no source."""
    bare = [tree("t", "Why?", reply("t.0", "A", None), reply("t.1", "B", None))]
    with pytest.raises(UserError, match=r"dropped: 2 not_ranked, 1 too_few_ranked\. .* a file with ranks"):
        read(write(tmp_path / "a.jsonl", bare))


@pytest.mark.parametrize(("held_out", "train"), [(0.1, 3), (0.9, 0)])
def test_both_parts_have_prompts(tmp_path: Path, held_out: float, train: int) -> None:
    """Of three prompts a tenth is none, and nine tenths are all."""
    path = write(tmp_path / "a.jsonl", trees_of(3))
    with pytest.raises(UserError, match=f"{train} are left to train on and {3 - train} are held out; .* both"):
        read(path, f"eft.held_out={held_out}")
    assert not read(path, "eft.held_out=0.0").rows["held_out"].any()


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published trees are not here")
def test_published_trees() -> None:
    """69 of 70 prompts have ranked replies, 225 in all; the other's three are not ranked."""
    found = read(PUBLISHED)
    assert (found.rows.height, found.rows["tree_id"].n_unique()) == (225, 69)
    assert found.dropped["reason"].sort().to_list() == ["not_ranked"] * 3 + ["too_few_ranked"]
