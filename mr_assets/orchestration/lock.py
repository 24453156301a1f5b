"""The lock of a run's folder: one process makes a run at a time, in the terminal.

    data/beta_02/.lock       beta_02/gpu-07/41213/8a52c0de-1f6e-4c55-9b1b-0a4f6d1d2a77/9120345

The kernel holds it (flock), which network file systems pass on to other hosts, and it ends with its process. The file
names the process, as `Worker.tag` writes it, and that process writes its time again every few seconds. So where a file
system keeps flock to one host, another host still sees that the lock is held: a time that moves is a living process.

Where the data folder is the scratch of an object store, the object RUN/.lock is that of all hosts. It is put on the
condition that it is as it was seen, and its holder puts it again every few seconds with another number.
"""

import fcntl
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mr_assets.errors import UserError
from mr_assets.files import full_disk_told
from mr_assets.printable import tell
from mr_assets.processes import Worker
from mr_assets.runs.object_store import LOCK, ObjectStore, store_of
from mr_assets.runs.record import finish_records

BEAT_SECONDS = 5.0
"""How often the holder writes the lock's time."""
WATCH_SECONDS = 30.0
"""How long another host looks whether it moves. A network file system may show a file's time that late."""
OBJECT_BEAT_SECONDS, OBJECT_WATCH_SECONDS = 10.0, 45.0
"""The same of an object, which is a request each time."""


@contextmanager
def run_lock(folder: Path, what: str, *, wait: bool) -> Iterator[Worker | None]:
    """Hold a folder's lock. Taken already: wait for it, or raise `UserError`. It ends with the process, however.

    Gives the process that held it and ended without giving it back, killed for one, of whatever host; None if there is
    none. A folder that is made for the lock, and in which nothing comes to lie, goes again.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(folder / LOCK, "a+") as lock:
            waits_for = ""
            while holder := _taken(lock) or _beating(lock, what, quietly=bool(waits_for)):
                if not wait:
                    raise UserError(f"{what} is being run by {holder}. Wait for it, or end it, then start again.")
                if holder != waits_for:
                    tell(f"waiting for {holder}, which makes {what}")
                waits_for = holder
                fcntl.flock(lock, fcntl.LOCK_EX)
            former = _named(lock)
            with full_disk_told(folder / LOCK):
                lock.truncate(0)
                lock.write(Worker.of(os.getpid()).tag(folder.name))
                lock.flush()
            try:
                with _beat(lock), _of_all_hosts(folder, what, wait=wait) as elsewhere:
                    yield elsewhere or (former if former and not (former.here and former.alive) else None)
            finally:
                lock.truncate(0)
    finally:
        if created and folder.is_dir() and [path.name for path in folder.iterdir()] == [LOCK]:
            shutil.rmtree(folder)


def holder_of(folder: Path) -> str | None:
    """The process that holds a folder's lock, in words; None if none does. Nothing is written."""
    place = folder / LOCK
    if not place.is_file():
        return None
    with open(place) as lock:
        return _taken(lock) or _beating(lock, f"run {folder.name}")


def _taken(lock: IO[str]) -> str | None:
    """Take the lock of an open file; if another process has it, that one in words."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        worker = _named(lock)
        return worker.said if worker else f"process {_text(lock) or 'unknown'}"
    return None


def _named(lock: IO[str]) -> Worker | None:
    """The process that a lock's file names; None if it was given back, or an earlier version wrote it."""
    return _worker(_text(lock))


def _worker(text: str) -> Worker | None:
    return Worker.from_tag(text, text.rsplit("/", 4)[0])


def _text(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip()


def _beating(lock: IO[str], what: str, *, quietly: bool = False) -> str | None:
    """Another host's process that still writes the time of a lock which the kernel says is free, in words."""
    worker = _named(lock)
    if worker is None or worker.here:
        return None
    if not quietly:
        tell(f"the lock of {what} names {worker.said}: looking for {WATCH_SECONDS:.0f} s whether that works")
    before, until = _time_of(lock.name), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < until:
        time.sleep(min(1.0, WATCH_SECONDS / 10))
        if _time_of(lock.name) != before:
            fcntl.flock(lock, fcntl.LOCK_UN)
            return worker.said
    return None


def _time_of(path: str) -> int:
    """When a file was last written (ns), asked of the file system again: to open a file does."""
    with open(path) as file:
        return os.fstat(file.fileno()).st_mtime_ns


@contextmanager
def _beat(lock: IO[str]) -> Iterator[None]:
    """Meanwhile a lock's time moves."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # the next one will tell
                os.utime(lock.fileno())

    thread = threading.Thread(target=beat, daemon=True, name="run_lock")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _of_all_hosts(folder: Path, what: str, *, wait: bool) -> Iterator[Worker | None]:
    """Hold the lock in the object store, if there is one; then its records are those of this moment.

    Gives the process that lost it, as `run_lock` does.
    """
    store, path, mine = store_of(folder.parent), folder / LOCK, Worker.of(os.getpid()).tag(folder.name)
    if store is None:
        yield None
        return
    etag, former, waits_for = "", None, ""
    while not etag:
        text, seen = store.seen(path)
        former = _worker(text.partition(" ")[0])
        if former and (
            former.alive if former.here else _object_moves(store, path, seen, former, what, bool(waits_for))
        ):
            if not wait:
                raise UserError(f"{what} is being run by {former.said}. Wait for it, or end it, then start again.")
            if former.said != waits_for:
                tell(f"waiting for {former.said}, which makes {what}")
            waits_for = former.said
            time.sleep(OBJECT_BEAT_SECONDS / 2)
        else:
            etag = store.put_if(path, f"{mine} 0", seen)
    ended = threading.Event()

    def beat() -> None:
        last, number = etag, 0
        while not ended.wait(OBJECT_BEAT_SECONDS):
            number += 1
            with suppress(UserError):  # the next one will tell
                put = store.put_if(path, f"{mine} {number}", last)
                if not put:
                    text, put = store.seen(path)
                    if not text.startswith(f"{mine} "):
                        other = _worker(text.partition(" ")[0])
                        tell(f"the lock of {what} is held by {other.said if other else text} now: stopping")
                        os.kill(os.getpid(), signal.SIGINT)
                        return
                last = put

    thread = threading.Thread(target=beat, daemon=True, name="run_lock")
    thread.start()
    try:
        store.pull()
        finish_records(folder)
        yield former
    finally:
        ended.set()
        thread.join()
        with suppress(UserError):  # then it is found left behind
            if store.seen(path)[0].startswith(f"{mine} "):
                store.withdraw(path)


def _object_moves(store: ObjectStore, path: Path, seen: str, holder: Worker, what: str, quietly: bool) -> bool:
    """Whether another host's process still puts the lock again and again."""
    if not quietly:
        tell(f"the lock of {what} names {holder.said}: looking for {OBJECT_WATCH_SECONDS:.0f} s whether that works")
    until = time.monotonic() + OBJECT_WATCH_SECONDS
    while time.monotonic() < until:
        time.sleep(OBJECT_WATCH_SECONDS / 20)
        if store.seen(path)[1] != seen:
            return True
    return False
