"""A data folder whose lasting copy is an object store: MR_DATA=s3://bucket/prefix.

    s3://bucket/prefix/beta_02/responses/2.parquet         as in a data folder, name by name
    s3://bucket/prefix/beta_02/responses/2.json            its record, put last
    MR_SCRATCH/s3/bucket/prefix/beta_02/responses/2.parquet     the folder on this host that all code works on
    MR_SCRATCH/s3/bucket/prefix/.store.json                says of which store it is

The store has what lasts: stored recipes, records, tables, models, the shards of what is being sampled, benchmarks with
the answers of their judges, and alone the answers of spot checks. The folder has these, as far as this host made or
needed them, and a trainer's checkpoints, pilots, logs, Dagster's home. Stored recipes
and records are made equal to the store's when a command begins (`pull`), so that what another host made is seen, and
what it removed is not. A table or a model is fetched when it is first asked for (`fetch`), and compared with its
record. What is made is put before its record is (`put`): as everywhere, a record says that its artifact is whole.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import EDQUOT, ENOSPC
from functools import cached_property, lru_cache
from hashlib import md5
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mr_assets.errors import UserError, shown
from mr_assets.files import TEMPORARY, WORTH_A_NOTE, Note, atomically, damage, fingerprint, write_json
from mr_assets.loop import LOOP
from mr_assets.printable import tell
from mr_assets.text_files import given_path

MARKER = ".store.json"
LOCK = ".lock"
SHARDS = ".shards-"
PILOTS = "pilots"
SCHEME = "s3://"
SCRATCH = "MR_SCRATCH"
CONTENT = "mr-content"  # of an object, among its metadata: the fingerprint of its content
UNMET = {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchKey", "404"}  # codes: not as it was seen
AT_ONCE = 16  # objects that are fetched side by side
REPORT_SECONDS = 5.0


class Seen(NamedTuple):
    """An object as the store lists it."""

    bytes: int
    etag: str
    changed: int = 0
    """When it was put, in ns; 0 if this host has put it since the store was listed."""


@dataclass
class ObjectStore:
    """The lasting copy of the data folder `data`. Every method raises `UserError` if the store cannot be used."""

    url: str
    data: Path
    _listed: dict[str, Seen] = field(default_factory=dict)
    _pulled: float = float("-inf")

    @cached_property
    def _files(self) -> Any:
        """The file system of the bucket, by s3fs. Credentials and AWS_ENDPOINT_URL are taken as AWS's tools do."""
        s3fs = _library()
        patience = {"connect_timeout": 10, "retries": {"max_attempts": 3}}
        return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True, config_kwargs=patience)

    def keeps(self, path: Path) -> bool:
        """Whether a record lasts: one in a folder whose name begins with a dot, a branch half made, does not yet."""
        return not path.relative_to(self.data).parts[0].startswith(".")

    def key(self, path: Path) -> str:
        """The bucket and key of a file of the data folder."""
        return f"{self.url.removeprefix(SCHEME)}/{self.name(path)}"

    def name(self, path: Path) -> str:
        """A file relative to the data folder. A record says ../dropped/responses/2.parquet of one."""
        return Path(os.path.normpath(path)).relative_to(self.data).as_posix()

    def address(self, path: Path) -> str:
        """The URL of a file of the data folder."""
        return f"{self.url}/{self.name(path)}"

    def has(self, path: Path) -> Seen | None:
        """An object as it was listed when `pull` looked, or has been put or fetched since; None if there is none."""
        return self._listed.get(self.name(path))

    def pull(self, *, within: float = 0.0) -> None:
        """Make stored recipes and records in the folder equal to the store's, unless that was done `within` seconds.

        What a record stood for goes with it. A model's folder without its record is just being made here: it stays.
        """
        if time.monotonic() - self._pulled < within:
            return
        began = time.time_ns()
        with told(self.url):
            found = self._files.find(self.url, detail=True)
        start = len(self.url.removeprefix(SCHEME)) + 1
        self._listed = {name[start:]: _seen(o) for name, o in found.items()}
        small = [name for name in self._listed if says_what_is_there(name)]
        changed = [name for name in small if not self._same(name) and not self._under_way(self.data / name)]
        with told(self.url), ThreadPoolExecutor(AT_ONCE) as threads:
            contents = list(threads.map(self._read, changed))
        for name, content in zip(changed, contents, strict=True):
            path = self.data / name
            if content is None or not path.is_file() or path.read_bytes() != content:
                self._forget(path)
            if content is not None and not path.is_file():
                atomically(path, lambda p, content=content: p.write_bytes(content))  # type: ignore[misc]
        for path in self._here():
            if self.name(path) not in self._listed and _written(path) < began:
                self._forget(path)
        self._pulled = time.monotonic()

    def _read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):  # it was removed since the listing
            content: bytes = self._files.cat_file(f"{self.url}/{name}")
            return content
        return None

    def _same(self, name: str) -> bool:
        """Whether a small file is here as the store has it. Of objects that were put at once the ETag is the MD5."""
        path = self.data / name
        return path.is_file() and md5(path.read_bytes(), usedforsecurity=False).hexdigest() == self._listed[name].etag

    @staticmethod
    def _under_way(path: Path) -> bool:
        return path.name == "complete.json" and path.parent.is_dir() and not path.exists()

    def _here(self) -> Iterator[Path]:
        """The stored recipes and records in the folder."""
        for pattern in ("*/recipe.yaml", "*/*.json", "*/*/*.json", "*/*/*/complete.json"):
            for path in self.data.glob(pattern):
                if says_what_is_there(self.name(path)):
                    yield path

    def _forget(self, path: Path) -> None:
        """Remove a record from the folder, and what it stood for there; a stored recipe alone."""
        if not path.is_file():
            return
        files = [] if path.name == "recipe.yaml" else _noted(path)
        path.unlink(missing_ok=True)
        for file in files:
            (path.parent / file).unlink(missing_ok=True)
        if path.name == "complete.json" and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def fetch(self, path: Path, note: Note | None = None) -> None:
        """Have a file in the folder, as `note` says that it is; nothing happens if it is, or if the store has none.

        note: None for what has no record: a shard, or what a person put there, which is as the store has it.
        Raises `UserError` for what is not as its note. It stays, written now, so that its artifact is damaged here, and
        is fetched again wherever it is read.
        """
        seen = self.has(path)
        if seen is None or (note is None and self._is_as_seen(path, seen)):
            return
        if note is not None and not damage(path, note, self.data / ".fingerprints.json"):
            return

        def get(place: Path) -> None:
            with told(self.url), _report(f"fetching {path.name}", seen.bytes) as callback:
                self._files.get_file(self.key(path), str(place), callback=callback)

        atomically(path, get)
        if note is not None and (wrong := damage(path, note, self.data / ".fingerprints.json", content=True)):
            raise UserError(
                f"{self.address(path)} is not what its record says: {wrong}. If another host is making it now, wait "
                "for that; else materialize it again: `mr run` does, on this host."
            )
        if when := (seen.changed if note is None else note.written):
            os.utime(path, ns=(when, when))

    def _is_as_seen(self, path: Path, seen: Seen) -> bool:
        """Whether a file without a record is here as the store has it: fetched since it was put, or put from here.

        What was fetched has the object's time. Of what we put the object has the fingerprint of its content.
        """
        if not path.is_file() or path.stat().st_size != seen.bytes:
            return False
        if seen.changed in (0, path.stat().st_mtime_ns) or (seen.bytes < WORTH_A_NOTE and self._same(self.name(path))):
            return True
        with told(self.url), suppress(FileNotFoundError):
            return bool(self._files.metadata(self.key(path)).get(CONTENT) == fingerprint(path))
        return False

    def put(self, files: Iterable[Path], record: Path, content: str) -> None:
        """Put an artifact: its files, but for those that the store has already, then its record with this content."""
        for path in files:
            self.put_file(path)
        self.write(record, content)

    def put_file(self, path: Path) -> None:
        """Put a file, unless the store has it with this content."""
        key, content = self.key(path), fingerprint(path)
        with told(self.url):
            there = None
            with suppress(FileNotFoundError):
                there = self._files.metadata(key).get(CONTENT)
            if there != content:
                with _report(f"putting {path.name} into {self.url}", path.stat().st_size) as callback:
                    self._files.put_file(str(path), key, callback=callback, Metadata={CONTENT: content})
        self._list(path)

    def write(self, path: Path, content: str) -> None:
        """Put a small file."""
        with told(self.url):
            self._files.pipe_file(self.key(path), content.encode())
        self._list(path, content.encode())

    def _list(self, path: Path, content: bytes = b"") -> None:
        size = len(content) or path.stat().st_size
        tag = md5(content, usedforsecurity=False).hexdigest() if content else ""
        self._listed[self.name(path)] = Seen(size, tag)

    def withdraw(self, path: Path) -> None:
        """Remove an object; what is not there is removed already."""
        with told(self.url), suppress(FileNotFoundError):
            self._files.rm_file(self.key(path))
        self._listed.pop(self.name(path), None)

    def remove(self, folder: Path) -> None:
        """Remove all that is in a folder; of a run's first its stored recipe, so that the run is gone at once."""
        self.withdraw(folder / "recipe.yaml")
        self._listed = {name: o for name, o in self._listed.items() if not (self.data / name).is_relative_to(folder)}
        with told(self.url), suppress(FileNotFoundError):
            self._files.rm(self.key(folder), recursive=True)

    def seen(self, path: Path) -> tuple[str, str]:
        """What a small object says, and its ETag; two empty texts if there is none."""
        key, text, etag, before = self.key(path), "", "", None
        with told(self.url):
            try:
                while etag != before:  # both of one moment
                    before = self._files.info(key)["ETag"]
                    text = self._files.cat_file(key).decode(errors="replace")
                    etag = self._files.info(key)["ETag"]
            except FileNotFoundError:
                return "", ""
        return text, etag.strip('"')

    def put_if(self, path: Path, content: str, etag: str) -> str:
        """Put a small object if the store has it as `etag` ("": not at all); its new ETag, or "" if it is otherwise."""
        bucket, _, key = self.key(path).partition("/")
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with told(self.url):
            try:
                put = self._files.call_s3("put_object", Bucket=bucket, Key=key, Body=content.encode(), **condition)
            except OSError as error:
                if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") in UNMET:
                    return ""
                raise
        found: str = put["ETag"].strip('"')
        return found

    def append(self, path: Path, line: str) -> None:
        """Add a line to a small object that is in the store alone, whatever other hosts add at the same time."""
        put = ""
        while not put:
            text, etag = self.seen(path)
            put = self.put_if(path, text + line, etag)

    def fetch_given(self, path: Path, called: str = "") -> None:
        """Have what has no record in the folder, as it was last listed: a file, or a folder with all that is in it.

        called: of a folder the files of this name alone. A lock is no such file: its holder has it open.
        """
        name = self.name(path)
        within = (each for each in self._listed if each == name or each.startswith(f"{name}/"))
        named = ((each, PurePosixPath(each).name) for each in within)
        wanted = [each for each, last in named if last == called or (not called and last != LOCK)]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda each: self.fetch(self.data / each), wanted))


def says_what_is_there(name: str) -> bool:
    """Whether a file, by its name relative to the data folder, is a stored recipe, its prediction, or a record."""
    match PurePosixPath(name).parts:
        case (folder, *_) if folder.startswith("."):
            return False
        case (_, "recipe.yaml" | "plan.json"):
            return True
        case (_, file):
            return file.endswith(".json") and file.removesuffix(".json") in LOOP
        case (_, asset, file) if asset in LOOP:
            trained = LOOP[asset].holds == "model"
            return file == "complete.json" if trained else file.endswith(".json") and not file.startswith(".")
        case (_, asset, _, "complete.json"):
            return asset in LOOP
    return False


def _seen(listed: dict[str, Any]) -> Seen:
    """An object of a listing of s3fs."""
    when = listed.get("LastModified")
    return Seen(int(listed["size"]), listed["ETag"].strip('"'), int(when.timestamp()) * 10**9 if when else 0)


def _noted(record: Path) -> list[str]:
    """The names of the files that a record stands for, relative to its folder."""
    try:
        files = json.loads(record.read_text(encoding="utf-8")).get("files") or {}
    except (OSError, ValueError, AttributeError):
        return []
    return [name for name in files if not PurePosixPath(name).is_absolute()]


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def scratch_of(url: str) -> Path:
    """The folder of this host that stands for a store; made, with its marker, if it is not there.

    Raises `UserError` if the address is none, the scratch folder cannot be written, or s3fs is not installed.
    """
    bucket, *prefix = url.removeprefix(SCHEME).rstrip("/").split("/")
    if not url.startswith(SCHEME) or not bucket or "" in prefix or {".", ".."} & {bucket, *prefix}:
        raise UserError(f"MR_DATA = {shown(url)}: expected s3://BUCKET or s3://BUCKET/PREFIX.")
    _library()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    scratch = given_path(os.environ.get(SCRATCH) or f"{cache}/mr_assets", SCRATCH)
    if not scratch.is_absolute():
        raise UserError(f"{SCRATCH} = {shown(str(scratch))}: expected the absolute path of a folder on this host.")
    folder = scratch.resolve().joinpath("s3", bucket, *prefix)
    if not (folder / MARKER).is_file():
        try:
            write_json(folder / MARKER, {"url": "/".join([f"{SCHEME}{bucket}", *prefix])})
        except OSError as error:
            raise UserError(f"the scratch folder {folder} cannot be written: {error}. Set {SCRATCH}.") from error
    return folder


@lru_cache(maxsize=4096)
def store_of(folder: Path) -> ObjectStore | None:
    """The store that a data folder, or a folder in it, is the scratch of; None if what lies there is all there is.

    So it is of pilots: their recipes name this host's folders, and they take minutes.
    """
    marker = folder / MARKER
    if marker.is_file():
        return ObjectStore(json.loads(marker.read_text(encoding="utf-8"))["url"], folder)
    pilots = folder.name == PILOTS and (folder.parent / MARKER).is_file()
    return None if pilots or folder == folder.parent else store_of(folder.parent)


def pull(data: Path, *, within: float = 0.0) -> None:
    """Make the stored recipes and records of a data folder those of its store, if it has one: `ObjectStore.pull`."""
    if store := store_of(data):
        store.pull(within=within)


def write_through(path: Path, content: str) -> None:
    """Write a stored recipe or what belongs to it, into the store first if there is one."""
    if (store := store_of(path.parent)) and store.keeps(path):
        store.write(path, content)
    atomically(path, lambda p: p.write_text(content, encoding="utf-8"))


@contextmanager
def kept(folder: Path, pattern: str) -> Iterator[Callable[[], None]]:
    """First fetch what the store has of a folder without records; put what is new or changed in it in the end.

    Gives a callback that does so meanwhile, beside the work. pattern: of the files' names. What is half-written, and
    shards of what is in the folder, are this host's. What goes wrong with putting is told, and ends no work.
    """
    store = store_of(folder.parent)
    if store is None:
        yield lambda: None
        return
    store.fetch_given(folder)
    known = {path: _written(path) for path in folder.glob(pattern) if store.has(path)}
    putting: list[Future[None]] = []
    thread = ThreadPoolExecutor(1)

    def keep() -> None:
        for path in sorted(folder.glob(pattern)):
            ours = any(part.startswith((TEMPORARY, SHARDS)) for part in path.relative_to(folder).parts)
            if not ours and known.get(path) != (written := _written(path)):
                known[path] = written
                putting.append(thread.submit(store.put_file, path))

    try:
        yield keep
    finally:
        keep()
        thread.shutdown()  # when what was begun has ended
        if failed := [error for each in putting if (error := each.exception())]:
            tell(f"note: {len(failed)} files of {folder} are on this host alone: {failed[0]}")


def damage_of(path: Path, note: Note, notes: Path, *, content: bool = False) -> str:
    """`mr_assets.files.damage`; what is in the store alone is there, if it has as many bytes as were written."""
    store = store_of(path.parent)
    if store is not None and content:
        store.fetch(path, note)
    elif store is not None and not path.is_file() and (seen := store.has(path)):
        same = note.bytes in (None, seen.bytes)
        return "" if same else f"{store.address(path)} has {seen.bytes:,} bytes, {note.bytes:,} were written"
    return damage(path, note, notes, content=content)


def _library() -> Any:
    try:
        import s3fs
    except ImportError as error:
        raise UserError("MR_DATA is in S3, but s3fs is not installed: pip install -e '.[s3]'") from error
    return s3fs


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what the store answers, or that it does not, into `UserError`. What is not there is the caller's matter.

    So is this host's disk.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except FileNotFoundError as error:
        if "bucket" in str(error).lower():
            raise _refused(url, error) from error
        raise
    except (OSError, BotoCoreError, ClientError, ValueError) as error:  # an endpoint that is no address is a ValueError
        if isinstance(error, OSError) and (error.filename is not None or error.errno in (ENOSPC, EDQUOT)):
            raise
        raise _refused(url, error) from error


def _refused(url: str, error: Exception) -> UserError:
    return UserError(
        f"{url} cannot be read or written: {' '.join(str(error).split()) or type(error).__name__}. Look at MR_DATA, at "
        "the credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and at AWS_ENDPOINT_URL. What was complete is kept."
    )


@contextmanager
def _report(what: str, size: int) -> Iterator[Any]:
    """A callback of fsspec that says on standard error, every few seconds, how far a large file is."""
    from fsspec.callbacks import Callback  # here, as it takes a tenth of a second of every command

    said = [time.monotonic()]

    def say(_: int, done: int, **__: Any) -> None:
        if size >= WORTH_A_NOTE and time.monotonic() - said[-1] >= REPORT_SECONDS:
            said.append(time.monotonic())
            tell(f"{what}: {done / 1e9:.1f} of {size / 1e9:.1f} GB")

    yield Callback(size=size, hooks={"say": say})
    if said[1:]:
        tell(f"{what}: done")
