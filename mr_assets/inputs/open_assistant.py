"""Ranked replies of Open Assistant, in the layouts that are published (`eft.source: open_assistant:FILE`).

    NAME.trees.jsonl.gz       one message tree a line: message_tree_id, tree_state, prompt: {message_id, text, role,
                              lang, review_result, deleted, replies: [{..., rank, replies: [...]}]}
    NAME.messages.jsonl.gz    one message a line: message_id, parent_id, text, role, lang, review_result, deleted, rank,
                              message_tree_id, tree_state; what is null may be left out
    NAME.parquet              the same columns

.jsonl may be gzipped or not. Only first prompts and the replies to them are read. A file is read as `user_files` reads
others: within limits, and every fault names its line.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError, shown
from mr_assets.inputs.user_files import UserFile
from mr_assets.method.dropped import REASONS
from mr_assets.method.ranked_replies import Message, in_parts, ranked_replies
from mr_assets.recipes.recipe import Recipe
from mr_assets.tables import Selected

WHAT = "Open Assistant file"
COLUMNS = ("message_id", "parent_id", "text", "role", "lang", "review_result", "deleted", "rank", "message_tree_id")
NEEDED = ("message_id", "text", "role", "lang")
FINAL = "ready_for_export"
_LAYOUTS = (
    "a message tree (message_tree_id, and prompt with its replies) or a message (message_id, parent_id, text, role, "
    "lang, review_result, deleted, rank)"
)


def read_open_assistant(source: str, data: Path) -> Iterator[Message]:
    """The first prompts and the replies to them, as they come. Raises `UserError` at the first line that is neither."""
    file = UserFile.at(source, data, WHAT)
    if file.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise UserError(
            f"{WHAT} {source}: expected .jsonl, .jsonl.gz or .parquet, came {file.suffix}. Name such a file."
        )
    layout = ""
    for number, row in file.rows(((*COLUMNS, "tree_state"), COLUMNS)):
        tree = isinstance(row.get("prompt"), dict)
        if not tree and "message_id" not in row:
            found = ", ".join(row)[:120] or "none"
            raise file.fault(number, f"expected {_LAYOUTS}; found the fields: {found}. Name a file as published.")
        if layout and tree != (layout == "trees"):
            raise file.fault(number, f"expected {layout} as in the lines before. Write all lines in one layout.")
        layout = "trees" if tree else "messages"
        yield from _of_tree(file, number, row) if tree else _of_message(file, number, row)


def _of_tree(file: UserFile, number: int, row: Mapping[str, Any]) -> Iterator[Message]:
    prompt = row["prompt"]
    first = _message(file, number, row, prompt, "prompt", None)
    yield first
    replies = prompt.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise file.fault(number, f"prompt.replies is {shown(replies)}, expected a list of messages. Mend this line.")
    for n, reply in enumerate(replies):
        yield _message(file, number, row, reply, f"prompt.replies[{n}]", first.id)


def _of_message(file: UserFile, number: int, row: Mapping[str, Any]) -> Iterator[Message]:
    parent = row.get("parent_id")
    if parent is not None and not isinstance(parent, str):
        raise file.fault(
            number, f"parent_id is {shown(parent)}, expected the id of a message, or null. Mend this line."
        )
    if parent is None or row.get("role") == "assistant":  # what people went on to ask is no reply
        yield _message(file, number, row, row, "the message", parent)


def _message(
    file: UserFile, number: int, tree: Mapping[str, Any], given: Mapping[str, Any], where: str, parent: str | None
) -> Message:
    for name in NEEDED:
        if not isinstance(given.get(name), str):
            raise file.fault(number, f"{where}: {name} is {shown(given.get(name))}, expected a text. Mend this line.")
    texts = {name: file.text(number, name, given[name]) for name in NEEDED}
    for name in ("review_result", "deleted"):
        if not isinstance(given.get(name), bool | None):
            raise file.fault(
                number, f"{where}: {name} is {shown(given[name])}, expected true, false or null. Mend this line."
            )
    return Message(
        tree=file.text(number, "message_tree_id", tree.get("message_tree_id") or texts["message_id"]),
        id=texts["message_id"],
        parent=parent,
        text=texts["text"],
        role=texts["role"],
        language=texts["lang"],
        reviewed=given.get("review_result") is True,
        deleted=given.get("deleted") is True,
        rank=_rank(file, number, given.get("rank"), where),
        final=tree.get("tree_state") in (None, FINAL),
    )


def _rank(file: UserFile, number: int, rank: Any, where: str) -> int | None:
    """A rank, which a parquet column that also has nulls may hold as a float."""
    if isinstance(rank, float) and rank != rank:
        return None
    if rank is None or (
        isinstance(rank, int | float) and not isinstance(rank, bool) and 0 <= rank == int(rank) < 2**31
    ):
        return None if rank is None else int(rank)
    raise file.fault(
        number, f"{where}: rank is {shown(rank)}, expected a whole number from 0, the best. Mend this line."
    )


def rankings(recipe: Recipe, data: Path) -> Selected:
    """The ranked replies of a recipe whose `eft.source` names rankings (columns of `RANKED_REPLIES`).

    Raises `UserError` for a file that cannot be read, that has no such replies, and where one of the two parts, to
    train on and held out, would be empty.
    """
    assert recipe.eft.rankings is not None
    messages = list(read_open_assistant(recipe.eft.rankings, data))
    found = ranked_replies(messages, language=recipe.eft.language, held_out=recipe.eft.held_out)
    what = f"{WHAT} {recipe.eft.rankings}"
    if not messages:
        raise UserError(f"{what} has no messages. Expected {_LAYOUTS} a line.")
    if found.rows.is_empty():
        left = ", ".join(f"{count} {reason}" for reason, count in _reasons(found))
        languages = ", ".join(sorted({message.language for message in messages})[:20])
        raise UserError(
            f"{what}: no prompt in the language {recipe.eft.language!r} has two ranked replies or more; dropped: "
            f"{left}. Its languages: {languages}. Set eft.language to one of them, or name a file with ranks (whole "
            "trees, no prompts alone)."
        )
    train, held = (part["tree_id"].n_unique() for part in in_parts(found.rows))
    if not train or (recipe.eft.held_out and not held):
        raise UserError(
            f"eft.held_out = {recipe.eft.held_out:g}: of {train + held} prompts of {recipe.eft.rankings}, {train} are "
            f"left to train on and {held} are held out; there must be some of both. Choose another share (0 holds out "
            "none), or name a larger file."
        )
    return found


def said(recipe: Recipe, found: Selected) -> str:
    """What was found in a file of rankings, in a sentence."""
    train, held = in_parts(found.rows)
    counts = [f"{part['tree_id'].n_unique():,} prompts ({part.height:,} replies)" for part in (train, held)]
    left = "; ".join(f"{count:,} {reason} ({REASONS[reason]})" for reason, count in _reasons(found))
    return (
        f"{WHAT} {recipe.eft.rankings}: {found.rows['tree_id'].n_unique():,} prompts with two ranked replies or more, "
        f"{found.rows.height:,} replies; {counts[0]} to train on, {counts[1]} held out."
        + (f" Dropped: {left}." if left else "")
    )


def _reasons(found: Selected) -> list[tuple[str, int]]:
    counts = found.dropped.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return [(reason, count) for reason, count in counts.select(pl.col("reason"), pl.col("len")).iter_rows()]
