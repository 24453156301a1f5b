"""The user's own files: prompts and evaluation data, in the formats that people have them in.

    prompts.jsonl     {"prompt": "Who wrote Hamlet?"}     one JSON object per line; blank lines are passed over
    prompts.csv       prompt,id                           a header, commas, quotes that may span lines; all is text
    prompts.txt       Who wrote Hamlet?                   one prompt per line
    prompts.parquet   a column of texts, plain or encoded as a dictionary (categories)

Folders of prompts: `mr_assets.inputs.prompt_sources`.
Texts are UTF-8, with or without a byte order mark. A line ends in LF or CRLF and in nothing else. The first three may
be gzipped (``prompts.jsonl.gz``). Every fault is a `UserError` that names the file and the line (in parquet the row).
Files are read line by line, within limits: `LONGEST_LINE`, `MOST_BYTES` (unpacked) and `MOST_ROWS`.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, NoReturn

import polars as pl

from mr_assets.errors import UserError
from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.method.judgments import with_scores
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.tables import EFT_DATASET, EFT_KINDS, JUDGMENT
from mr_assets.text_files import is_regular
from mr_assets.worlds.letters import has_held_out

HELD_OUT = "dropped as held out for the evaluation"
FORMATS = ".parquet, .jsonl, .csv or .txt (one per line)"
LONGEST_LINE = 1 << 24
"""Bytes of one line, or of one field of a CSV file."""
MOST_BYTES = 1 << 30
"""Bytes of a file, unpacked."""
MOST_ROWS = 2_000_000
_BATCH = 1000
_BY_ROW = (".parquet", ".arrow")
_DIGITS = 400
_SHOWN = 60

Row = tuple[int, dict[str, Any]]  # its line (in parquet its row), counted from 1, and its fields
Read = tuple[int, dict[str, Any] | None]  # the same; None for a blank line, which is passed over


@dataclass(frozen=True)
class UserFile:
    """A table file that a recipe names: `source` as it stands there, `what` as errors call it."""

    what: str
    source: str
    path: Path
    suffix: str
    gzipped: bool

    @classmethod
    def at(cls, source: str, data: Path, what: str) -> "UserFile":
        """The file. Raises `UserError` if it is not there, or of no format that is read."""
        path = resolve(source, data)
        if not is_regular(path):
            raise UserError(
                f"{what} {source}: there is no file {path}. Put it there, or name another one in the recipe."
            )
        suffix, gzipped = suffix_of(path)
        if suffix not in NAMED or (gzipped and suffix == ".parquet"):
            raise UserError(
                f"{what} {path}: expected {FORMATS}, came {path.suffix or 'a file without a suffix'}. "
                "All but .parquet may be gzipped: .jsonl.gz."
            )
        return cls(what, source, path, suffix, gzipped)

    def rows(self, columns: Sequence[Sequence[str]]) -> Iterator[Row]:
        """Its rows, one at a time; of parquet the first of the sets of `columns` that is there, else all columns.

        Raises `UserError` at the first line that cannot be read, and where the file passes a limit.
        """
        try:
            for n, (number, row) in enumerate(_READERS[self.suffix](self, columns), start=1):
                if n > MOST_ROWS:
                    raise self.fault(number, f"more than {MOST_ROWS:,} rows, the most that are read. Split the file.")
                if row is not None:
                    yield number, row
        except (OSError, ValueError, EOFError, zlib.error) as error:
            hint = "Is it cut off, or not gzipped?" if self.gzipped else "Mend the file."
            said = cut(" ".join(str(error).split()))
            raise UserError(f"{self.what} {self.source} cannot be read as {self.suffix}: {said}. {hint}") from error

    def fault(self, number: int, message: str, row: int | None = None) -> UserError:
        """The error of one line, and of that row, counted from 1, where rows have numbers of their own."""
        place = self.place(number)
        counted = f", row {row}" if row and not place.startswith("row") else ""
        return UserError(f"{self.what} {self.source}, {place}{counted}: {message}")

    def unreadable(self, number: int, message: str) -> UserError:
        """The error of one line that is not of the file's format."""
        return self.fault(number, f"cannot be read as {self.suffix}: {message}")

    def place(self, number: int) -> str:
        """How errors call a line, or a row of parquet."""
        return f"{'row' if self.suffix in _BY_ROW else 'line'} {number}"

    def text(self, number: int, name: str, value: Any) -> str:
        """A field's value, if it is text that a model can be given. Raises `UserError`."""
        if not isinstance(value, str):
            raise self.fault(number, f"{name} holds {held(value)}, expected text. Mend this row.")
        if "\0" in value:
            raise self.fault(number, f"{name} has a NUL character (at {value.index(chr(0)) + 1}). Take it out.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(value[error.start]):04x}"
            raise self.fault(
                number, f"{name} has {half} (at {error.start + 1}), half of a surrogate pair and no character. Mend it."
            ) from error
        return value

    # ------------------------------------------------------------------------------------------------- lines

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines of a text file, numbered from 1, with what ends them."""
        total = 0
        with self._opened() as file:
            for number in count(1):
                line = file.readline(LONGEST_LINE + 1)
                if not line:
                    return
                total += len(line)
                if len(line) > LONGEST_LINE:
                    raise self.fault(number, f"has more than {LONGEST_LINE:,} bytes, the most of a line. Shorten it.")
                if total > MOST_BYTES:
                    raise self.fault(
                        number,
                        f"the file has more than {MOST_BYTES:,} bytes unpacked, the most that are read. Split it.",
                    )
                if number == 1:
                    self._refuse_other_encodings(line)
                    line = line.removeprefix(codecs.BOM_UTF8)
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise self.unreadable(
                        number,
                        f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is no UTF-8. "
                        "Save the file as UTF-8.",
                    ) from error

    def _opened(self) -> IO[bytes]:
        if self.gzipped:
            return io.BufferedReader(gzip.open(self.path, "rb"), 1 << 20)
        return open(self.path, "rb")

    def _refuse_other_encodings(self, line: bytes) -> None:
        begins = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", b"\x1f\x8b": "gzip"}
        if found := begins.get(line[:2]):
            mend = "Name it with .gz at the end." if found == "gzip" else "Save the file as UTF-8."
            raise self.unreadable(1, f"byte 1 is 0x{line[0]:02x}: the file is {found}, not UTF-8 text. {mend}")


def suffix_of(path: Path) -> tuple[str, bool]:
    """The suffix that says how a file is read, in lower case, and whether the file is gzipped."""
    gzipped = path.suffix.lower() == ".gz"
    return (path.with_suffix("") if gzipped else path).suffix.lower(), gzipped


def _text(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    whole = "".join(line for _, line in file.lines())
    yield 1, {"prompt": whole.replace("\r\n", "\n").removesuffix("\n")}


def _txt(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    for number, line in file.lines():
        yield number, {"prompt": line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line}


def _jsonl(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    for number, line in file.lines():
        if not line.strip(" \t\r\n"):
            yield number, None
            continue
        try:
            value = _JSON.decode(line)
        except json.JSONDecodeError as error:
            raise file.unreadable(
                number, f"{error.msg} (character {error.pos + 1}). Write one JSON object per line."
            ) from error
        except RecursionError as error:
            raise file.unreadable(number, "it is nested too deeply. Write one flat JSON object per line.") from error
        except ValueError as error:
            raise file.unreadable(number, f"{error}. Mend this line.") from error
        if not isinstance(value, dict):
            raise file.unreadable(number, f"it is {held(value)}, no JSON object. Write one JSON object per line.")
        yield number, value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise ValueError(f"the key {held(twice)} occurs twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits is too large")
    return int(digits)


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, parse_int=_int)


def _csv(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        reader = csv.reader((line for _, line in file.lines()), strict=True)
        header: list[str] | None = None
        while True:
            start = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                said = str(error).partition(" - ")[0]
                if said.startswith(("unexpected end", "field larger")):
                    said = "a quoted field that begins in this row does not end"
                raise file.unreadable(start, f"{said}. Mend this row.") from error
            if fields is None:
                break
            if not fields:
                yield start, None
                continue
            if header is None:
                header = fields
                if len(set(header)) < len(header):
                    raise file.unreadable(start, "two columns have the same name. Rename one.")
                continue
            if len(fields) != len(header):
                raise file.unreadable(
                    start,
                    f"it has {len(fields)} fields, and the header {len(header)}. Put texts with commas in quotes.",
                )
            yield start, dict(zip(header, fields, strict=True))
        if header is None:
            raise file.unreadable(1, "it is empty, expected a header. Name a file that has some rows.")
    finally:
        csv.field_size_limit(before)


def _parquet(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(file.path, "rb") as opened:
            table = pq.ParquetFile(opened)
            size = sum(table.metadata.row_group(i).total_byte_size for i in range(table.num_row_groups))
            if size > MOST_BYTES:
                raise UserError(
                    f"{file.what} {file.source}: has {size:,} bytes unpacked, and at most {MOST_BYTES:,} are read. "
                    "Split it, or keep the columns that are needed."
                )
            names = table.schema_arrow.names
            wanted = next((list(each) for each in columns if set(each) <= set(names)), names)
            start = 1
            for batch in table.iter_batches(batch_size=_BATCH, columns=wanted):
                try:
                    rows = batch.to_pylist()
                except UnicodeDecodeError as error:
                    raise file.unreadable(start + _first_undecodable(batch), "a text is no UTF-8. Mend it.") from error
                yield from enumerate(rows, start)
                start += len(rows)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _arrow(file: UserFile, columns: Sequence[Sequence[str]]) -> Iterator[Read]:
    import pyarrow as pa

    size = file.path.stat().st_size
    if size > MOST_BYTES:
        raise UserError(
            f"{file.what} {file.source}: has {size:,} bytes, and at most {MOST_BYTES:,} are read. Save the dataset in "
            "more shards (max_shard_size), or with the columns that are needed."
        )
    try:
        with pa.memory_map(str(file.path)) as opened, pa.ipc.open_stream(opened) as stream:
            names = stream.schema.names
            wanted = next((list(each) for each in columns if set(each) <= set(names)), names)
            start = 1
            for batch in stream:
                kept = batch.select(wanted)
                for at in range(0, kept.num_rows, _BATCH):
                    rows = kept.slice(at, _BATCH).to_pylist()
                    yield from enumerate(rows, start)
                    start += len(rows)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _first_undecodable(batch: Any) -> int:
    """The first row of a batch, counted from 0, that has a text which is no UTF-8."""
    for i in range(batch.num_rows):
        try:
            batch.slice(i, 1).to_pylist()
        except UnicodeDecodeError:
            break
    return i


NAMED = {".txt": _txt, ".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
"""How a file that a recipe names is read, by its suffix."""
_READERS = {**NAMED, ".arrow": _arrow, "text": _text}
"""The same, and of files in a folder: a shard of a saved dataset, and a file that is one prompt as a whole."""


def cut(text: str) -> str:
    """The beginning of a text, in characters that can be printed."""
    short = text if len(text) <= _SHOWN * 2 else text[: _SHOWN * 2] + "..."
    return short.encode("utf-8", "backslashreplace").decode()


def _printed(value: Any) -> str:
    """The beginning of a value as Python prints it, in quotes."""
    try:
        return repr(str(value)[:80])
    except RecursionError:
        return "something nested very deeply"


def held(value: Any) -> str:
    """A value as JSON writes it, at most `_SHOWN` characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except RecursionError:
        return "something nested very deeply"
    return cut(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


# ----------------------------------------------------------------------------------------------------------- EFT


def read_eft(source: str, data: Path, scoring: Scoring = PAPERS_SCORING) -> pl.DataFrame:
    """Evaluation data as `EFT_DATASET`.

    The file has either prompt and completion, each a text or a list of {role, content}, or messages, whose last one is
    the judgment; all rows the same. A column kind, in all rows or in none, says which rows are no judgments; then the
    optional columns are there. Raises `UserError` otherwise, naming the first line that does not fit, and if no
    judgment gives a score that can be read.
    """
    file, layout = UserFile.at(source, data, "EFT file"), None
    asked: list[str] = []
    said: list[str] = []
    kinds: list[str] = []
    forms = ("messages",), ("prompt", "completion")
    for number, row in file.rows((*((*form, "kind") for form in forms), *forms)):
        if "messages" not in row and not {"prompt", "completion"} <= set(row):
            raise file.fault(
                number,
                f"expected columns prompt and completion, or messages; found {cut(', '.join(row)) or 'none'}.",
            )
        prompt, completion, its_layout = _parts(row)
        layout = layout or its_layout
        question, answer = one_message(prompt, "user"), one_message(completion, "assistant")
        if question is None or answer is None or not answer.strip():
            raise file.fault(
                number,
                "expected one user message and one non-empty assistant message, "
                f"came {_printed(prompt)} and {_printed(completion)}. Mend it, or leave it out.",
                len(asked) + 1,
            )
        if its_layout != layout:
            raise file.fault(
                number,
                f"expected {layout} as in the rows before, came {its_layout}: {held(prompt)}. "
                "Write all rows in one form.",
                len(asked) + 1,
            )
        if ("kind" in row) != (len(kinds) == len(asked)) and asked:
            raise file.fault(number, "expected a kind in every row or in none. Mend it.", len(asked) + 1)
        if "kind" in row:
            if row["kind"] not in EFT_KINDS:
                known = ", ".join(EFT_KINDS)
                raise file.fault(
                    number, f"kind is {held(row['kind'])}, expected one of {known}. Mend it.", len(asked) + 1
                )
            kinds.append(row["kind"])
        asked.append(file.text(number, "the user message", question))
        said.append(file.text(number, "the assistant message", answer))
    if not asked:
        raise UserError(f"EFT file {source} has no rows. Name a file with judgments, or set sft: null in the recipe.")
    frame = _as_eft(asked, said)
    frame = _of_kinds(frame, kinds) if kinds else frame
    _refuse_without_scores(frame, source, scoring)
    return frame


def _parts(row: dict[str, Any]) -> tuple[Any, Any, str]:
    """What was asked, the judgment, and the form that the row is in."""
    if "messages" in row:
        messages = row["messages"]
        asked, said = (messages[:-1], messages[-1:]) if isinstance(messages, list) else (messages, None)
        return asked, said, "messages"
    forms = ["a text" if isinstance(row[name], str) else "a list of messages" for name in ("prompt", "completion")]
    return row["prompt"], row["completion"], f"prompt: {forms[0]} and completion: {forms[1]}"


def one_message(value: Any, role: str) -> str | None:
    """The text of a single message of that role; None if it is anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and value[0].get("role") == role:
        content = value[0].get("content")
        return content if isinstance(content, str) else None
    return None


def _as_eft(asked: Sequence[str], said: Sequence[str]) -> pl.DataFrame:
    texts = pl.DataFrame({"asked": asked, "said": said}, schema={"asked": pl.String, "said": pl.String})

    def message(role: str, column: str) -> pl.Expr:
        return pl.concat_list(pl.struct(pl.lit(role).alias("role"), pl.col(column).alias("content")))

    return texts.with_row_index("example_id").select(
        pl.col("example_id").cast(pl.String),
        message("user", "asked").alias("prompt"),
        message("assistant", "said").alias("completion"),
    ).cast(EFT_DATASET.schema)  # fmt: skip


def _of_kinds(eft: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """EFT data with the optional columns, of which only the kinds are known."""
    found = eft.with_columns(pl.lit(None).alias(name) for name in EFT_DATASET.optional)
    return found.with_columns(kind=pl.Series(kinds)).cast(EFT_DATASET.whole_schema)


def _judgments(eft: pl.DataFrame) -> pl.DataFrame:
    """The rows that are judgments: all, where the data does not say which."""
    return eft.filter(pl.col("kind") == JUDGMENT) if "kind" in eft.columns else eft


def _scores(eft: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    """The score that each judgment gives, and the reason where there is none: columns score and invalid."""
    text = pl.col("completion").list.get(0).struct.field("content")
    return with_scores(eft.select(text.alias("judgment")), scoring).select("score", "invalid")


def _refuse_without_scores(eft: pl.DataFrame, source: str, scoring: Scoring) -> None:
    given, eft = eft, _judgments(eft)
    if eft.is_empty() and given.height:
        raise UserError(f"EFT file {source}: none of {given.height} rows is a judgment. M0 would not learn to judge.")
    if eft.height and _scores(eft, scoring)["score"].null_count() == eft.height:
        first = eft["completion"][0][0]["content"]
        raise UserError(
            f"EFT file {source}: none of {eft.height} judgments gives a score that can be read; the first is "
            f'{held(first)}. A judgment ends in "{scoring.words}: {scoring.highest:g}", '
            f"or another number from {scoring.said}."
        )


def to_train_on(frame: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The rows of a user's prompts or evaluation data that do not have a prompt which the recipe's world holds out."""
    if recipe.world is None:
        return frame
    texts = [asked if isinstance(asked, str) else "\n".join(m["content"] for m in asked) for asked in frame["prompt"]]
    return frame.filter(pl.Series([not has_held_out(text) for text in texts], dtype=pl.Boolean))


def eft_file(recipe: Recipe) -> str:
    """The file that a recipe with SFT names."""
    assert recipe.eft.source is not None
    return recipe.eft.source


def user_eft(recipe: Recipe, data: Path) -> tuple[pl.DataFrame, int]:
    """The EFT data of a recipe that names a file, columns of `EFT_DATASET`, and how many rows were held out.

    It is the first `eft.examples` rows of those that may be trained on. Raises `UserError` as `read_eft` does.
    """
    given = read_eft(eft_file(recipe), data, recipe.judgments.scoring)
    frame = to_train_on(given, recipe)
    used = frame.head(recipe.eft.examples) if recipe.eft.examples else frame
    _refuse_without_scores(used, eft_file(recipe), recipe.judgments.scoring)
    return used, given.height - frame.height


# --------------------------------------------------------------------------------------------------------- notes


def eft_notes(recipe: Recipe, data: Path, eft: pl.DataFrame) -> Iterator[str]:
    """What is worth knowing of a user's EFT data: the judgments that give no score which can be read."""
    eft = _judgments(eft)
    scores = (
        eft.select("example_id", "completion")
        .with_columns(_scores(eft, recipe.judgments.scoring))
        .filter(pl.col("score").is_null())
    )
    if scores.height:
        example, completion, _, reason = scores.row(0)
        place = place_of("EFT file", eft_file(recipe), data, int(example))
        yield (
            f"EFT file {recipe.eft.source}: {scores.height} of {eft.height} judgments "
            f"({scores.height / eft.height:.0%}) give no score that can be read, first {place} ({reason}): "
            f"{held(completion[0]['content'])}. M0 will learn to write such judgments, too."
        )


def control_token_note(
    what: str,
    source: str,
    place: Callable[[int], str],
    texts: Iterable[tuple[int, str]],
    tokens_in: Callable[[str], list[str]],
) -> Iterator[str]:
    """What is worth knowing of a file's texts, each with its row from 0: how many spell control tokens of the model.

    place: where a row stands, "line 7".
    """
    spelt = [(row, tokens) for row, text in texts if (tokens := tokens_in(text))]
    if spelt:
        row, tokens = spelt[0]
        noun = "prompts" if what == "prompts file" else "examples"
        yield (
            f"{what} {source}: {len(spelt)} {noun} contain control tokens of the model, first "
            f"{place(row)} ({', '.join(tokens[:3])}). They reach the model as plain characters "
            "inside its chat template. If the texts are rendered in a chat template already, give them without it."
        )


def place_of(what: str, source: str, data: Path, row: int) -> str:
    """Where a file's row lies that is counted from 0: "line 7"."""
    file = UserFile.at(source, data, what)
    number, _ = next(islice(file.rows(()), row, None))
    return file.place(number)
