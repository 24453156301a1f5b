"""What was worked out of files, kept while every one of them is the same file; and asked for once by many at a time.

A page is made of the files of a run. They are looked at before each answer (size and time of writing, and the times of
their folders, which another file in the place of one changes), and what was made before is given again only if none
differs: nothing is shown that lies there no longer.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter, to_thread
from pyarrow.fs import LocalFileSystem

from mr_assets.files import SETTLED

V = TypeVar("V")
Stamp = tuple[int | None, int | None]  # size and time of writing (ns); of what is not there neither
DISK = LocalFileSystem()
"""It looks at any number of files in one call. With a call of Python's own for each of hundreds, every one would wait
for its turn while another page is made."""


@dataclass(frozen=True)
class Seen:
    """Files and folders as they were seen, and when (ns). Two are equal if nothing was changed, added or taken away.

    parts: what else was seen.
    """

    files: list[bytes]
    stamps: list[Stamp]
    at: int = field(compare=False)
    parts: tuple["Seen", ...] = ()

    @classmethod
    def of(cls, *files: Path | str | bytes) -> "Seen":
        """Look at these."""
        at, named = time.time_ns(), [os.fsencode(file) for file in files]
        return cls(named, _stamps(named), at)

    @classmethod
    def together(cls, *parts: "Seen") -> "Seen":
        """What was seen in several looks."""
        return cls([], [], min((part.at for part in parts), default=0), parts)

    @property
    def holds(self) -> bool:
        """Whether nothing has changed since, as far as times tell it (`settled`)."""
        return _stamps(self.files) == self.stamps and all(part.holds for part in self.parts)

    @cached_property
    def settled(self) -> bool:
        """Whether the times of all files tell if they change from now on."""
        newest = max((written or 0 for _, written in self.stamps), default=0)
        return newest < self.at - SETTLED * 1e9 and all(part.settled for part in self.parts)


def _stamps(files: list[bytes]) -> list[Stamp]:
    return [(found.size, found.mtime_ns) for found in DISK.get_file_info(files)]


def everything(place: Path) -> list[bytes]:
    """A file; or a folder and all that is below it. What a link leads to is not gone through."""
    files = [os.fsencode(place)]
    for folder, *names in os.walk(files[0]):
        files += [os.path.join(folder, name) for each in names for name in each]  # noqa: PTH118 (in bytes)
    return files


class Looks:
    """The last look at each place: while nothing there has changed, it is as good as a new one, and costs a tenth."""

    def __init__(self) -> None:
        self._last: dict[Path, Seen] = {}

    def at(self, place: Path, files: Callable[[Path], list[bytes]] = everything) -> Seen:
        """The files of a place as they are now.

        files: gives them, with every folder that tells by its time that there are others.
        """
        last = self._last.get(place)
        if last is None or not last.settled or not last.holds:
            self._last[place] = last = Seen.of(*files(place))
        return last


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

    So an answer never rests on a look at files from before its question. limiter: how many threads may work at a time,
    the loop's own if there is none.
    """

    def __init__(self, limiter: CapacityLimiter | None = None) -> None:
        self._limiter = limiter
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
        return await to_thread.run_sync(self._begin, key, work, limiter=self._limiter)

    def _begin(self, key: Hashable, work: Callable[[], V]) -> V:
        self._waiting.pop(key)
        return work()
