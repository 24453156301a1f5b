"""Records: what made an artifact, in a file beside it.

data/small_world_meta_rewarding/responses/2.json
{"asset": "responses", "partition": "2", "version": "5d0e...", "run_id": "3f1c...", "settings": {"seed": 0, ...}, ...}
"""

import json
import shutil
import time
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import Any

from pydantic import TypeAdapter

from mr_assets.files import SETTLED, Note, as_text, damage, write_json
from mr_assets.loop import LOOP
from mr_assets.runs.object_store import store_of

AHEAD = ".ahead"
RENAMED = {"chosen": "overrides"}
"""Fields by the names that earlier versions wrote."""


@dataclass(frozen=True)
class Record:
    """What made one artifact. It lies beside the artifact, and its presence says that the artifact is complete.

    version: of the content; the same content has the same version.
    settings: the recipe's fields that shaped it, as they were in force; overrides: those of them that a person set
    otherwise for it, by their launchpad names; inputs: the version of each artifact it was made of.
    policy: fingerprint of the model that wrote it, if a model did.
    model: for models, the folder (relative to the data root where it lies inside) and its name, like M2.
    numbers: the figures shown in the UI; code: the version of the method's code (`mr_assets.runs.code_versions`).
    files: what it stands for, by names relative to the record's folder; checks: what the artifact's checks measured.
    software: the versions of the packages that made it, by name; earlier versions did not note them.
    pruned: when a model's weights were removed as not needed any more (ISO); "" if they were not.
    unknown: what a later version of this project noted besides; it is kept.
    """

    asset: str
    partition: str | None
    version: str
    run_id: str  # of the Dagster run; the stored name
    created: str
    seconds: float
    settings: dict[str, Any]
    inputs: dict[str, str]
    policy: str | None = None
    rows: int | None = None
    dropped: int | None = None
    model: dict[str, str] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    files: dict[str, Note] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    pruned: str = ""
    unknown: dict[str, Any] = field(default_factory=dict)


_RECORD = TypeAdapter(Record)
_FIELDS = {each.name for each in fields(Record)}


def read_record(path: Path) -> Record | None:
    """Read a record; None if there is none, or if it is not one (then what it stood beside is not complete).

    A field that this version does not know is kept in `unknown`; one that an earlier version called otherwise has its
    present name. A model of the record's own run is where the record is, whatever the run's folder was called when it
    was written. What it holds is not to be changed: the file is read once as long as it is the same.
    """
    try:
        seen = path.stat()
        if not S_ISREG(seen.st_mode):  # a pipe would have us wait for ever
            return None
        if time.time_ns() - seen.st_mtime_ns < SETTLED * 1e9:
            return _read(path)
        return _read_once(path, (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1 << 17)  # a look at all runs asks for each record several times
def _read_once(path: Path, seen_as: tuple[int, ...]) -> Record | None:
    return _read(path)


def _read(path: Path) -> Record | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        said.update((now, said.pop(then)) for then, now in RENAMED.items() if then in said)
        unknown = {name: said.pop(name) for name in set(said) - _FIELDS}
        record = _RECORD.validate_python(said)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return replace(record, unknown=record.unknown | unknown, model=_model_here(record, path))


def _model_here(record: Record, path: Path) -> dict[str, str] | None:
    """A record's model, with its path as it is now: relative to the data root where it lies inside."""
    model = record.model
    if model is None or PurePath(model.get("path", "/")).is_absolute():
        return model
    if (row := LOOP.get(record.asset)) and row.holds == "model":  # the record lies inside the model's folder
        here = path.parent.parts[-2 if row.per == "family" else -3 :]
        return {**model, "path": "/".join(here)}
    _, *inside = PurePath(model["path"]).parts
    return {**model, "path": "/".join([path.parts[-3], *inside])} if inside[:1] == ["checkpoints"] else model


def write_record(path: Path, record: Record) -> None:
    """Write a record, atomically: the last step of completing an artifact. An object store gets its files before.

    While it gets them, the record lies beside its place: what is killed then, `finish_records` does later.
    """
    said = asdict(record)
    content = said.pop("unknown") | said
    store = store_of(path.parent)
    if store is None or not store.keeps(path):
        write_json(path, content)
        return
    ahead = path.with_name(f".{path.name}{AHEAD}")
    write_json(ahead, content)
    store.put([path.parent / name for name in record.files], path, as_text(content))
    write_json(path, content)
    ahead.unlink()


def finish_records(folder: Path) -> None:
    """Complete what was killed while an object store got it: what was sampled or trained need not be again.

    To be called where nobody else makes anything in this folder of a run, after `pull`. What has a record by now, of
    this host or of another, stays as it is; a model that another host has made meanwhile takes this one's place.
    """
    store = store_of(folder)
    for ahead in list(folder.rglob(f".*{AHEAD}")):
        path = ahead.with_name(ahead.name.removeprefix(".").removesuffix(AHEAD))
        record = read_record(ahead)
        if store and store.has(path) and not path.exists():  # `pull` took its folder for one that is being made
            shutil.rmtree(path.parent)
            store.pull()
            continue
        if record is not None and not path.exists() and not _damaged(ahead.parent, record):
            write_record(path, record)
        ahead.unlink(missing_ok=True)


def _damaged(folder: Path, record: Record) -> bool:
    """Whether the files beside are not those of a record."""
    return any(damage(folder / name, note, folder / ".fingerprints.json") for name, note in record.files.items())


def remove_record(path: Path) -> None:
    """Remove a record, if it is there: what it stood for is about to be made again."""
    if store := store_of(path.parent):
        store.withdraw(path)
    path.unlink(missing_ok=True)
