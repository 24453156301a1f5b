"""Message trees as Open Assistant publishes them, and the same as flat messages; a recipe that takes such a file."""

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.worlds import letters

Row = dict[str, Any]
FLAT = {
    "message_id": pl.String,
    "parent_id": pl.String,
    "text": pl.String,
    "role": pl.String,
    "lang": pl.String,
    "review_result": pl.Boolean,
    "deleted": pl.Boolean,
    "rank": pl.Float64,  # as a column with nulls is, once pandas has had it
    "message_tree_id": pl.String,
    "tree_state": pl.String,
}


def message(identity: str, text: str, role: str = "prompter", **fields: Any) -> Row:
    """A message that is kept as it is; a field that is None is left out, as the published files leave it out."""
    said = {"message_id": identity, "text": text, "role": role, "lang": "en", "review_result": True, "deleted": False}
    return {name: value for name, value in {**said, **fields}.items() if value is not None}


def reply(identity: str, text: str, rank: int | None, **fields: Any) -> Row:
    """A ranked reply, to which a person went on to say something."""
    more = [message(f"{identity}.more", "Go on.", parent_id=identity, replies=[])]
    return message(identity, text, "assistant", rank=rank, replies=more, **fields)


def tree(identity: str, prompt: str, *replies: Row, state: str = "ready_for_export", **fields: Any) -> Row:
    """A tree whose first prompt has these replies."""
    below = [{**each, "parent_id": identity} for each in replies]
    first = message(identity, prompt, replies=below, **fields)
    return {"message_tree_id": identity, "tree_state": state, "prompt": first}


def trees_of(count: int, ranked: int = 3) -> list[Row]:
    """Trees t0, t1, ...: "Prompt 0" with the replies "Reply 0.0" (the best), "Reply 0.1", ... in another order."""
    return [
        tree(f"t{n}", f"Prompt {n}", *(reply(f"t{n}.{r}", f"Reply {n}.{r}", r) for r in reversed(range(ranked))))
        for n in range(count)
    ]


def flat(trees: Iterable[Row]) -> list[Row]:
    """All messages of trees, the later ones first."""

    def of(each: Row, tree: Row) -> Iterable[Row]:
        about = {"message_tree_id": tree["message_tree_id"], "tree_state": tree["tree_state"]}
        yield {name: value for name, value in each.items() if name != "replies"} | about
        for below in each.get("replies", ()):
            yield from of(below, tree)

    return [each for tree in trees for each in of(tree["prompt"], tree)][::-1]


def write(path: Path, rows: Sequence[Row]) -> Path:
    """The rows in a file, in the format that its name says."""
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".parquet":
        pl.DataFrame([{name: row.get(name) for name in FLAT} for row in rows], schema=FLAT).write_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines))
    else:
        path.write_bytes(lines)
    return path


OF_RANKINGS = (
    *("eft.source=open_assistant:trees.jsonl", "eft.examples=null", "prompts.source=prompts.jsonl"),
    *("judgments.n=4", "engine.shard_size=40"),
)
"""A recipe whose EFT data is made of the rankings that `with_rankings` writes."""
RANKED_PROMPTS = letters.make_prompts(24, seed="ranked")


def with_rankings(data: Path) -> Path:
    """A data folder with rankings, and seed prompts of which the first twenty are those that have ranked replies.

    Twenty letter tasks, each with a reply worth 5, one worth 3 and one worth 0, so that the fake judge can score them.
    """
    rng, worth = random.Random(0), (5, 3, 0)
    rows = [
        tree(f"t{n}", text, *(reply(f"t{n}.{r}", letters.graded_response(text, worth[r], rng), r) for r in range(3)))
        for n, text in enumerate(RANKED_PROMPTS[:20])
    ]
    data.mkdir(parents=True)
    write(data / "trees.jsonl", rows)
    write(data / "prompts.jsonl", [{"prompt": text} for text in RANKED_PROMPTS])
    return data
