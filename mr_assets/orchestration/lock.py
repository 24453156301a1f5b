"""The lock of a run's folder: one process makes a run at a time, in the terminal."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mr_assets.errors import UserError
from mr_assets.files import full_disk_told
from mr_assets.printable import tell


@contextmanager
def run_lock(folder: Path, what: str, *, wait: bool) -> Iterator[None]:
    """Hold a folder's lock. Taken already: wait for it, or raise `UserError`. It ends with the process, however.

    A folder that is made for the lock, and in which nothing comes to lie, goes again.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(folder / ".lock", "a+") as lock:
            if holder := _taken(lock):
                if not wait:
                    raise UserError(
                        f"{what} is being run by process {holder}. Wait for it, or end it, then start again."
                    )
                tell(f"waiting for process {holder}, which makes {what}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            with full_disk_told(folder / ".lock"):
                lock.truncate(0)
                lock.write(str(os.getpid()))
                lock.flush()
            yield
    finally:
        if created and folder.is_dir() and [path.name for path in folder.iterdir()] == [".lock"]:
            shutil.rmtree(folder)


def holder_of(folder: Path) -> str | None:
    """The process that holds a folder's lock, as its id; None if none does. Nothing is written."""
    place = folder / ".lock"
    if not place.is_file():
        return None
    with open(place) as lock:
        return _taken(lock)


def _taken(lock: IO[str]) -> str | None:
    """Take the lock of an open file; if another process has it, that one's id."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        return lock.read().strip() or "unknown"
    return None
