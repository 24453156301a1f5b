"""Files that are whole or not there: atomic writes, and what fingerprints a model folder."""

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EEXIST, EIO, ENOSPC, ENOTDIR, EPERM, EROFS
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.processes import Worker

TEMPORARY = ".tmp-"
_WRITER = re.compile(rf"{re.escape(TEMPORARY)}(?P<pid>\d+)~(?P<ticks>\d+)~(?P<boot>[^~]*)~(?P<host>.+?)~.*")
FORSAKEN = 24 * 3600
"""Seconds without a write after which a temporary file counts as left behind, where its writer cannot be looked up."""
SETTLED = 2.0
"""Seconds after which a file that was changed is known by its times: until then it could change again within a tick."""
WRITES = 1 << 20  # bytes: with fewer free, a disk is full, though SQLite may say that it cannot be read or written
WORTH_A_NOTE = 1 << 26  # bytes that take about a tenth of a second to read
CHUNK = 1 << 26
"""Bytes of a larger file that are hashed by one thread: one core hashes 0.9 GB/s, a fast disk gives many times that."""
BLOCK = 1 << 20  # bytes that a thread has in memory


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write `path` through `write`, which gets a temporary file beside it; then fsync and rename.

    The temporary name starts with a dot, so that readers ignore it. Whatever goes wrong, `path` is the old file or
    the whole new one. Raises `UserError` when the disk is full or the folder cannot be written.
    """
    temporary = temporary_beside(path, Worker.of(os.getpid()))
    try:
        with full_disk_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # a read-only disk says so even of what is not there; what it said first counts
            temporary.unlink(missing_ok=True)


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """While `path` is written, turn the error of a full disk, or of a folder without the right, into `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # polars says a full disk in an error of its own
        if trouble := storage_trouble(error, path):
            raise UserError(trouble) from error
        raise


# What SQLite says of the disk, without a number.
_SQLITE = {
    "database or disk is full": ENOSPC,
    "readonly database": EROFS,
    "unable to open database file": EACCES,
    "disk i/o error": EIO,
}


def storage_trouble(error: BaseException, path: Path | None = None, database: Path | None = None) -> str:
    """What an error, or one behind it, says of the disk or of a folder's rights, and what to do; "" if nothing.

    path: what was written when it came, if that is known. database: where SQLite's files are; its errors do not say.
    """
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        number = each.errno if isinstance(each, OSError) else None
        said = str(each).lower()
        if "no space left" in said:
            number = ENOSPC
        if isinstance(each, sqlite3.Error):
            number = next((n for text, n in _SQLITE.items() if text in said), None)
            path = path or database
        if type(each).__module__.startswith("psycopg2") and type(each).__name__ == "OperationalError":
            return (
                f"Dagster's history in PostgreSQL cannot be reached: {' '.join(str(each).split())}. What was complete "
                "is kept; start the server, then the same command again."
            )
        if type(each).__name__ == "InsufficientPrivilege":
            return (
                f"Dagster's history in PostgreSQL cannot be written: {' '.join(str(each).split())} Let the user that "
                "MR_POSTGRES names own the database, or GRANT CREATE, USAGE ON SCHEMA public TO it there."
            )
        where = path or (Path(os.fsdecode(each.filename)) if isinstance(each, OSError) and each.filename else None)
        if number is not None and (trouble := _trouble(number, where, str(each))):
            return trouble
        each = each.__cause__ or each.__context__
    return ""


def _trouble(number: int, where: Path | None, said: str) -> str:
    left = shutil.disk_usage(_there(where)).free if where else None
    if number in (ENOSPC, EDQUOT) or (number == EIO and left is not None and left < WRITES):
        free = "" if left is None else f" ({left / 2**20:.0f} MiB free)"
        return (
            f"no space left on disk{f' while writing {where}' if where else ''}{free}. "
            "What was complete before is untouched; free some space and start again."
        )
    if number in (EROFS, EACCES, EPERM, EIO, ENOTDIR, EEXIST):
        what = (
            f"{where} cannot be read or written" if where else "a folder of the run, or of Dagster, cannot be written"
        )
        return f"{what}: {said}. Mend that, or set MR_DATA (and DAGSTER_HOME, if you use it) to a folder of yours."
    return ""


def full_disk(folder: Path) -> str:
    """What to say, as `storage_trouble` does, if the disk of a folder is full; "" if it is not.

    Libraries whose writes fail do not all say why.
    """
    full = shutil.disk_usage(_there(folder)).free < WRITES
    return storage_trouble(OSError(ENOSPC, os.strerror(ENOSPC)), folder) if full else ""


def _there(path: Path) -> Path:
    """The nearest folder that is there."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    atomically(path, lambda p: p.write_text(as_text(value), encoding="utf-8"))


def as_text(value: Any) -> str:
    """`value` as `write_json` writes it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def temporary_beside(path: Path, writer: Worker) -> Path:
    """The file that a process writes in place of `path` until it is whole; its name says whose it is.

    .tmp-41213~9120345~8a52c0de~gpu-07~2.parquet         process id, its start, the boot and the host that it is of
    """
    owner = f"{writer.pid}~{writer.ticks}~{writer.boot[:8]}~{writer.host}"
    return path.parent / f"{TEMPORARY}{owner}~{path.name[-100:]}"


def sweep_temporary(folder: Path) -> None:
    """Remove what a killed writer left in `folder`; a living writer's files stay.

    What another host's process writes, or one that an earlier version did not name, stays for a day after its last
    write: on shared storage nobody else can tell whether it lives.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        if _forsaken(path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _forsaken(path: Path) -> bool:
    """Whether nobody writes a temporary file any more."""
    me, named = Worker.of(os.getpid()), _WRITER.fullmatch(path.name)
    if named and named["host"] == me.host:
        same_boot = named["boot"] == me.boot[:8]
        return not (same_boot and Worker(me.host, int(named["pid"]), me.boot, int(named["ticks"])).alive)
    try:
        return time.time() - path.stat().st_mtime > FORSAKEN
    except FileNotFoundError:
        return False


def bytes_in(folder: Path) -> int:
    """The size of all files below a folder; 0 if it is not there."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def fingerprint(path: Path, *, in_one_piece: bool = False, every_file: bool = False) -> str:
    """Sixteen hex digits over the content of a file, or of a model folder: weights, configuration, tokenizer, template.

    Where a folder lies and when it was written is not in it. Of a file of more than `CHUNK` bytes it is over the hashes
    of its chunks, which as many threads as there are cores make side by side; `in_one_piece` as earlier versions did.
    every_file: of a folder that is no model, over all files below it but hidden ones.
    """
    digest = blake2b(digest_size=8)
    with ThreadPoolExecutor() as threads:
        for part in _parts(path, every_file):
            size = part.stat().st_size
            digest.update(f"{_name(part, path)}\0{size}\0".encode(errors="surrogateescape"))
            if in_one_piece or size <= CHUNK:
                with open(part, "rb") as file:
                    while block := file.read(BLOCK):
                        digest.update(block)
            else:
                for hashed in threads.map(lambda at, file=part: _chunk(file, at), range(0, size, CHUNK)):
                    digest.update(hashed)
    return digest.hexdigest()


def _chunk(path: Path, at: int) -> bytes:
    """The hash of the chunk that begins at a byte of a file."""
    digest, end = blake2b(digest_size=16), at + CHUNK
    with open(path, "rb", buffering=0) as file:
        file.seek(at)
        while at < end and (block := file.read(min(BLOCK, end - at))):
            digest.update(block)
            at += len(block)
    return digest.digest()


def fingerprint_like(recorded: str, path: Path) -> str:
    """The fingerprint of what is there, made as `recorded` was if that is its content.

    Earlier versions hashed files of any size in one piece; what they recorded is as true as before.
    """
    now = fingerprint(path)
    if now == recorded or all(part.stat().st_size <= CHUNK for part in _parts(path)):
        return now
    return recorded if fingerprint(path, in_one_piece=True) == recorded else now


def _name(part: Path, of: Path) -> str:
    """What a file is called in a fingerprint: its name, in a folder below that one with the way to it."""
    return part.name if part.parent in (of, of.parent) else part.relative_to(of).as_posix()


def _parts(path: Path, every_file: bool = False) -> list[Path]:
    """The files that a fingerprint is over."""
    suffixes = (".safetensors", ".json", ".model", ".jinja", ".txt")
    if not path.is_dir():
        return [path]
    if every_file:
        below = (p for p in path.rglob("*") if p.is_file())
        return sorted(p for p in below if not any(name.startswith(".") for name in p.relative_to(path).parts))
    return sorted(p for p in path.iterdir() if p.suffix in suffixes and p.name != "complete.json")


@lru_cache(maxsize=64)
def _read_once(path: Path, seen_as: tuple[tuple[int, ...], ...], every_file: bool) -> str:
    """The fingerprint of what is known by its inodes, sizes and times."""
    return fingerprint(path, every_file=every_file)


def remembered_fingerprint(path: Path, notes: Path, *, every_file: bool = False) -> str:
    """`fingerprint`, computed once for what is large: the JSON file `notes` has it, by sizes and times of writing."""
    there = _parts(path, every_file)
    stats = [(_name(part, path), part.stat().st_size, part.stat().st_mtime_ns) for part in there]
    if sum(size for _, size, _ in stats) < WORTH_A_NOTE:
        parts = [part.stat() for part in there]
        seen_as = tuple((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in parts)
        fresh = max(changed for *_, changed in seen_as) > time.time_ns() - 2_000_000_000 if seen_as else True
        if fresh:  # what is fresh may change within a tick
            return fingerprint(path, every_file=every_file)
        return _read_once(path, seen_as, every_file)
    seen = blake2b(repr(stats).encode(), digest_size=8).hexdigest()
    try:
        known = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get(str(path), {}).get("seen") != seen:
        known[str(path)] = {"seen": seen, "fingerprint": fingerprint(path, every_file=every_file)}
        with suppress(UserError):  # where notes cannot be written, it is computed each time
            write_json(notes, known)
    found: str = known[str(path)]["fingerprint"]
    return found


@dataclass(frozen=True)
class Note:
    """What is noted of a file when it is written: its size, its time of writing (ns), its `fingerprint`, if known."""

    bytes: int | None = None
    written: int | None = None
    content: str | None = None


def note_of(path: Path, *, content: bool) -> Note:
    """The note of a file that is there; without `content` of its size alone."""
    stat = path.stat()
    if not content:
        return Note(bytes=stat.st_size)
    return Note(bytes=stat.st_size, written=stat.st_mtime_ns, content=fingerprint(path))


def damage(path: Path, note: Note, notes: Path, *, content: bool = False) -> str:
    """What is wrong with a file of which `note` was made, in words; "" if nothing is.

    Its content is read if it was written since, or if `content` says so. Of a table without a note it is only known
    that parquet ends in PAR1. notes: see `remembered_fingerprint`.
    """
    if not path.is_file():
        return f"{path} is not there"
    stat = path.stat()
    if note.bytes is None:
        return "" if path.suffix != ".parquet" or _end(path) == b"PAR1" else f"{path} is no whole parquet file"
    if stat.st_size != note.bytes:
        return f"{path} has {stat.st_size:,} bytes, {note.bytes:,} were written"
    if note.content is None or (stat.st_mtime_ns == note.written and not content):
        return ""
    now = _remembered(path, notes, stat.st_size, stat.st_mtime_ns, content, note.content)
    return "" if now == note.content else f"{path} is not what was written: its content has changed since"


def _end(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return file.read()


@lru_cache(maxsize=4096)
def _remembered(path: Path, notes: Path, size: int, written: int, read: bool, recorded: str) -> str:
    """`fingerprint_like` of a file of this size and time of writing; with `read`, of what the disk gives now."""
    noted = None if read else remembered_fingerprint(path, notes)
    return noted if noted == recorded else fingerprint_like(recorded, path)
