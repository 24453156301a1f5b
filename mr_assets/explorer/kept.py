"""What was worked out of files, kept while every one of them is the same file; and asked for once by many at a time.

A page is made of the files of a run. They are looked at before each answer (inode, size, times of writing and of
change), and what was made before is given again only if none differs: nothing is shown that lies there no longer.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from threading import Lock
from typing import Any, Generic, TypeVar

from anyio import to_thread

V = TypeVar("V")
Stamp = tuple[str, int, int, int, int]  # path, inode, size, time of writing, time of change
SETTLED = 2.0
"""Seconds after which a file that was changed is known by its times: until then it could change again within a tick."""


@dataclass(frozen=True)
class Seen:
    """Files as they were seen, and when. Two are equal if nothing was changed, added or taken away between them."""

    files: tuple[Stamp, ...]
    settled: bool = field(compare=False)

    @classmethod
    def of(cls, *places: Path | str) -> "Seen":
        """Look at files and at everything below folders; what is not there is left out."""
        now, files = time.time_ns(), list[Stamp]()
        for place in dict.fromkeys(map(str, places)):
            _look(place, files)
        newest = max((changed for *_, changed in files), default=0)
        return cls(tuple(sorted(files)), newest < now - SETTLED * 1e9)

    @classmethod
    def together(cls, *parts: "Seen") -> "Seen":
        """The files of all."""
        return cls(tuple(stamp for part in parts for stamp in part.files), all(part.settled for part in parts))


def _look(place: str, files: list[Stamp]) -> None:
    """Add the files at a place, in plain loops over names: a page of many runs looks at tens of thousands."""
    with suppress(OSError):  # not there
        found = os.stat(place)  # noqa: PTH116
        if not S_ISDIR(found.st_mode):
            files.append((place, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
            return
    folders = [place]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:  # gone meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                try:
                    found = entry.stat()
                except OSError:  # a link to nowhere
                    continue
                files.append((entry.path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


class Kept(Generic[V]):
    """Values by key, each with the files that it was made of; the ones asked for last, up to a size in all."""

    def __init__(self, most: int, size: Callable[[V], int]) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, tuple[Seen, V]] = OrderedDict()
        self._total, self._lock = 0, Lock()

    def still(self, key: Hashable, seen: Seen) -> V | None:
        """What is kept for a key if its files are as they are `seen`; else None."""
        with self._lock:
            if (found := self._values.get(key)) is None or found[0] != seen:
                return None
            self._values.move_to_end(key)
            return found[1]

    def of(self, key: Hashable, seen: Seen, make: Callable[[], V]) -> V:
        """What is kept for a key if its files are as they are `seen`, else what `make` gives now.

        The files must have been looked at before; then a change while `make` reads them is seen the next time.
        """
        if (found := self.still(key, seen)) is not None:
            return found
        value = make()
        with self._lock:
            self._take_out(key)
            if seen.settled and self._size(value) <= self._most:
                self._values[key] = seen, value
                self._total += self._size(value)
                while self._total > self._most:
                    self._take_out(next(iter(self._values)))
        return value

    def _take_out(self, key: Hashable) -> None:
        if key in self._values:
            self._total -= self._size(self._values.pop(key)[1])


class Shared:
    """Work in a thread that many ask for: whoever asks before it begins gets its result, whoever asks later the next.

    So an answer never rests on a look at files from before its question.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Task[Any]] = {}  # what has not begun
        self._last: dict[Hashable, asyncio.Task[Any]] = {}

    async def do(self, key: Hashable, work: Callable[[], V]) -> V:
        """The result of `work`, which is the same work for the same key. Raises what it raises."""
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.ensure_future(self._after(self._last.get(key), key, work))
            self._waiting[key] = self._last[key] = task
            task.add_done_callback(lambda done: self._last.pop(key) if self._last.get(key) is done else None)
        result: V = await asyncio.shield(task)
        return result

    async def _after(self, before: asyncio.Task[Any] | None, key: Hashable, work: Callable[[], V]) -> V:
        if before is not None:
            await asyncio.wait({before})
        return await to_thread.run_sync(self._begin, key, work)

    def _begin(self, key: Hashable, work: Callable[[], V]) -> V:
        self._waiting.pop(key)
        return work()
