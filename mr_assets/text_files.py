"""What a person names and writes by hand: paths, and small text files (recipes, prompt templates, accelerate's YAML).

given_path("~/prompts.jsonl", "prompts.source")     the path, or a `UserError` if no file can have it
read_text_file(path, "recipe")                      its text, or a `UserError` that says what is wrong with it
"""

import os
import stat
from pathlib import Path

from mr_assets.errors import UserError, shown

LARGEST = 1 << 18
"""Bytes that such a file may have. A recipe of `MAX_ITERATIONS` rows is smaller."""
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes, on Linux


def path_fault(text: str) -> str | None:
    """Why no file can have this path, as the end of a sentence; None if one can."""
    if "\0" in text:
        return "a path cannot hold a NUL character"
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return "a path cannot hold half of a surrogate pair"
    if len(encoded) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in encoded.split(b"/")):
        return (
            f"it has {len(encoded):,} bytes; a path has at most {_LONGEST_PATH:,}, and each name in it at most "
            f"{_LONGEST_NAME}"
        )
    try:
        Path(text).expanduser()
    except RuntimeError:
        return f"there is no user {text.split('/')[0][1:]!r} whose home ~ could be"
    return None


def given_path(text: str, what: str) -> Path:
    """The path that a person wrote, with ``~`` expanded. Raises `UserError` if no file can have it."""
    if fault := path_fault(text):
        raise UserError(f"{what} = {shown(text)}: {fault}. Name another path.")
    return Path(text).expanduser()


def is_regular(path: Path) -> bool:
    """Whether there is such a file, and no folder, FIFO or device. A path that cannot be looked up is none."""
    return stat.S_ISREG(_mode(path))


def is_file_or_folder(path: Path) -> bool:
    """Whether there is such a file or folder, and no FIFO or device. A path that cannot be looked up is none."""
    return stat.S_ISREG(_mode(path)) or stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def read_text_file(path: Path, what: str, kind: str = "file", largest: int = LARGEST) -> str:
    """The text of a small file, without a byte order mark, with ``\\n`` at the end of each line.

    `what` and `kind` are what errors call it, and what may stand in its place. Raises `UserError` if it is missing, no
    regular file (a FIFO would be waited for without end), larger than `largest` bytes, or no UTF-8.
    """

    def unreadable(reason: object) -> UserError:
        return UserError(f"{what} {path} cannot be read as UTF-8 text: {reason}. Name a readable {kind}.")

    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise unreadable("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
        with open(path, "rb") as file:
            data = file.read(largest + 1)
    except (OSError, ValueError) as error:
        raise unreadable(getattr(error, "strerror", None) or error) from error
    if len(data) > largest:
        raise UserError(f"{what} {path} has more than {largest:,} bytes, the most that it may have. Shorten it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(f"it is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
