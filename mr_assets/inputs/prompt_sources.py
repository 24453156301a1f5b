"""The user's own prompts: a file, a folder of files, or a saved dataset.

    prompts.jsonl                                     a file, see `mr_assets.inputs.user_files`
    ultrachat/dataset_dict.json, train/, test/        what datasets.save_to_disk wrote, of several splits or of one
    ultrachat/train-00000-of-00002.parquet, ...       shards side by side; also .jsonl, .ndjson and .csv, plain or .gz
    notes/first.md, notes/second.txt                  each file one prompt

A folder has files of one of these kinds. They are read in the order of their names; hidden ones, and such as are called
README or LICENSE, are passed over. A prompt is a text, or a conversation (`mr_assets.method.conversations`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mr_assets.errors import UserError, shown
from mr_assets.inputs.user_files import FORMATS, MOST_ROWS, UserFile, cut, held, suffix_of
from mr_assets.method.conversations import Prompt, as_prompt, turns_fault, with_turns
from mr_assets.method.prompts import check_prompts
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.text_files import is_regular, read_text_file

WHAT = "prompts file"
MESSAGES_COLUMN = "messages"
_DOCUMENTS = (".md", ".txt")
_TABLES = (".parquet", ".jsonl", ".ndjson", ".csv")
_PASSED_OVER = re.compile(r"\..*|(readme|licen[cs]e)(\..*)?", re.IGNORECASE)
_SHARD = re.compile(r"(?P<split>.+?)-(?P<n>\d{5})-of-(?P<all>\d{5})(?:-[0-9a-f]+)?")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")


class _Row(NamedTuple):
    file: UserFile
    number: int
    prompt: Prompt


# -------------------------------------------------------------------------------------------------------------- files


def files_of(source: str, split: str | None, data: Path) -> list[UserFile]:
    """The files of a source, in the order in which they are read; `split` names one of a dataset's splits.

    Raises `UserError` if there is none, if a folder has files of several kinds or of several splits and none is named,
    or if shards are missing.
    """
    folder = resolve(source, data)
    if not folder.is_dir():
        if split is not None:
            raise UserError(f"prompts.split = {shown(split)}: {source} is one file, without splits. Set it to null.")
        return [UserFile.at(source, data, WHAT)]
    if (folder / "dataset_dict.json").is_file():
        named = _field(folder / "dataset_dict.json", "splits")
        there = [name for name in named if isinstance(name, str) and (folder / name / "state.json").is_file()]
        chosen = _chosen(source, split, there)
        return _saved(f"{source}/{chosen}", folder / chosen, chosen)
    if (folder / "state.json").is_file():
        return _saved(source, folder, split)
    return _side_by_side(source, folder, split)


def _saved(source: str, folder: Path, split: str | None) -> list[UserFile]:
    """The files of one split as `datasets.save_to_disk` writes it."""
    own = _field(folder / "state.json", "_split", missing=None)
    if split is not None and own is not None and split != own:
        raise UserError(f"prompts.split = {shown(split)}: {source} is the split {shown(own)}. Name that one, or null.")
    listed = _field(folder / "state.json", "_data_files")
    names = [str(each.get("filename")) if isinstance(each, dict) else str(each) for each in listed]
    for name in names:
        if name != Path(name).name or not is_regular(folder / name):
            raise UserError(
                f"{WHAT} {source}: state.json names {shown(name)}, and there is no such file beside it. Copy the "
                "dataset again, whole."
            )
    return [UserFile(WHAT, f"{source}/{name}", folder / name, ".arrow", gzipped=False) for name in names]


def _field(path: Path, name: str, **default: Any) -> Any:
    """A field of a JSON file that `datasets` wrote: a list, unless it has a default."""
    try:
        value = json.loads(read_text_file(path, WHAT))
        found = value.get(name, default["missing"]) if default else value[name]
        if default or isinstance(found, list):
            return found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"{WHAT} {path}: expected JSON with {name}, as datasets.save_to_disk writes it. Save the dataset again."
    )


def _side_by_side(source: str, folder: Path, split: str | None) -> list[UserFile]:
    """The files of a folder, which are all of one kind; of tables those of the split."""
    inside = sorted(each for each in folder.iterdir() if not _PASSED_OVER.fullmatch(each.name))
    files = [each for each in inside if is_regular(each)]
    if not files:
        folders = ", ".join(each.name for each in inside if each.is_dir())
        raise UserError(
            f"{WHAT} {source}: the folder {folder} has no file to read"
            + (f", but the folders {cut(folders)}. Name one of these." if folders else ". Name a folder that has some.")
        )
    by_kind: dict[str, list[Path]] = {}
    for file in files:
        suffix, gzipped = suffix_of(file)
        if suffix not in (*_DOCUMENTS, *_TABLES) or (gzipped and suffix == ".parquet"):
            raise UserError(
                f"{WHAT} {source}: {shown(file.name)} is none that is read. A folder has files of {FORMATS} in which a "
                "column holds the prompts, or .txt and .md files, each one prompt. Take it out."
            )
        by_kind.setdefault("documents" if suffix in _DOCUMENTS else suffix, []).append(file)
    if len(by_kind) > 1:
        some = " and ".join(shown(found[0].name) for found in islice(by_kind.values(), 2))
        raise UserError(
            f"{WHAT} {source}: the folder has files of several kinds, {some}. Put those of one kind into a folder of "
            "their own, and name that."
        )
    if "documents" in by_kind:
        if split is not None:
            raise UserError(f"prompts.split = {shown(split)}: {source} has texts, without splits. Set it to null.")
        return [UserFile(WHAT, f"{source}/{f.name}", f, "text", suffix_of(f)[1]) for f in files]
    shards = _shards(source, split, files)
    return [UserFile(WHAT, f"{source}/{shard.name}", shard, *suffix_of(shard)) for shard in shards]


def _shards(source: str, split: str | None, files: Sequence[Path]) -> list[Path]:
    """The files of a split: NAME-00000-of-00002 and so on, or the one that is called like a split."""
    stems = {file: file.name.partition(".")[0] for file in files}
    read = {file: _SHARD.fullmatch(stem) for file, stem in stems.items()}
    if not any(read.values()) and not any(stem in _SPLITS for stem in stems.values()):
        if split is not None:
            raise UserError(f"prompts.split = {shown(split)}: no file of {source} is named by a split. Set it to null.")
        return list(files)
    splits: dict[str, list[Path]] = {}
    for file, match in read.items():
        splits.setdefault(match["split"] if match else stems[file], []).append(file)
    found = splits[_chosen(source, split, list(splits))]
    numbered = [match for file in found if (match := read[file])]
    if numbered and len({match["n"] for match in numbered}) < int(numbered[0]["all"]):
        there = ", ".join(match["n"] for match in numbered)
        raise UserError(
            f"{WHAT} {source}: of {int(numbered[0]['all'])} shards of {numbered[0]['split']}, these are there: "
            f"{cut(there)}. Copy the dataset again, whole."
        )
    return found


def _chosen(source: str, split: str | None, there: Sequence[str]) -> str:
    if split is None and len(there) == 1:
        return there[0]
    if split in there:
        return str(split)
    has = f"{source} has the splits {', '.join(there) or 'none'}"
    if split is None:
        raise UserError(f"{WHAT} {has}. Name one: set prompts.split in the recipe.")
    raise UserError(f"prompts.split = {shown(split)}: {has}. Name one of these.")


# ------------------------------------------------------------------------------------------------------------- prompts


def _rows(files: Iterable[UserFile], column: str) -> Iterator[_Row]:
    rows = 0
    for file in files:
        for number, row in file.rows(((column,), (MESSAGES_COLUMN,))):
            rows += 1
            if rows > MOST_ROWS:
                raise file.fault(number, f"more than {MOST_ROWS:,} rows in all, the most that are read. Take fewer.")
            name = column if column in row or MESSAGES_COLUMN not in row else MESSAGES_COLUMN
            if name not in row:
                raise file.fault(
                    number,
                    f"expected a column {column!r}, found {cut(', '.join(row)) or 'none'}. "
                    "Rename it, or set prompts.column in the recipe.",
                )
            yield _Row(file, number, _prompt(file, number, name, row[name]))


def _prompt(file: UserFile, number: int, name: str, value: Any) -> Prompt:
    """A text, or turns. Raises `UserError` for anything else."""
    if not isinstance(value, list):
        return file.text(number, f"column {name!r}", value)
    if fault := turns_fault(value):
        expected = "expected text, or turns of role and content that end in the user's"
        raise file.fault(number, f"column {name!r} holds {held(value)}, {expected}: it {fault}. Mend this row.")
    for n, turn in enumerate(value, start=1):
        file.text(number, f"turn {n} of column {name!r}", turn["content"])
    return as_prompt(value)


def read_prompts(source: str, column: str, data: Path, split: str | None = None) -> list[Prompt]:
    """The prompts of a user's file or folder, in order.

    Raises `UserError` for a file or column that is not there, and for the first row that is no text and no turns.
    """
    return [row.prompt for row in _rows(files_of(source, split, data), column)]


def user_prompts(recipe: Recipe, data: Path) -> pl.DataFrame:
    """The seed prompts of a recipe that names a file or a folder (columns of `SEED_PROMPTS`).

    Raises `UserError` for what cannot be used, has empty or repeated prompts, or fewer than the recipe says.
    """
    given = recipe.prompts
    files = files_of(given.source, given.split, data)
    rows = list(_rows(files, given.column))
    if given.count and len(rows) < given.count:
        raise UserError(
            f"prompts.count = {given.count}: {given.source} has {len(rows)} prompts. "
            "Lower prompts.count and the iterations' prompts, or name a larger file."
        )
    frame = with_turns([row.prompt for row in rows[: given.count]])
    by_row = len(files) == 1 and files[0].suffix == ".parquet"  # the row is its place
    places = None if by_row else [_place(files, row.file, row.number) for row in rows]
    return check_prompts(frame, f"{WHAT} {given.source}", places)


def place_of_prompt(recipe: Recipe, data: Path, row: int) -> str:
    """Where a prompt stands that is counted from 0: "line 7", "train-00001.jsonl, line 7"."""
    files = files_of(recipe.prompts.source, recipe.prompts.split, data)
    counted = chain.from_iterable(((file, number) for number, _ in file.rows(())) for file in files)
    return _place(files, *next(islice(counted, row, None))).partition(" ")[2]


def _place(files: Sequence[UserFile], file: UserFile, number: int) -> str:
    if len(files) == 1:
        return f"on {file.place(number)}" if file.suffix != "text" else f"in {file.path.name}"
    return f"in {file.path.name}" + (f", {file.place(number)}" if file.suffix != "text" else "")
