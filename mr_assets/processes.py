"""The processes that work on a Dagster run: how the one that leads is told from all others, and how all are ended.

A Dagster run's tag `.dagster/process` (the UI hides tags that begin so) names the leading process, for example

    3f1c09aa-72be-4c1e-9f3c-0a6be1d24c7f/gpu-07/41213/8a52c0de-1f6e-4c55-9b1b-0a4f6d1d2a77/9120345

the Dagster run's id (a re-execution inherits the tags of the one before it), host, process id, the kernel's boot, and
the process's start in clock ticks since then. A process id is used again one day; with the other three it is not.

All others (workers of the multiprocess executor, engines, trainers) have the Dagster run's id in their environment,
which a process inherits and keeps, whoever of its ancestors is gone. The processes of the UI are told in the same way,
by the instance that they serve.

psutil finds those. The leading process is read from /proc by hand: psutil has no id of the kernel's boot, and its
`create_time()` is a time of day, which moves when the clock is set; the ticks, which do not, it keeps to itself. Tags
and locks on disk have both. It takes 20 ms to import, for which `mr trace` and `mr status` need not wait.
"""

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TAG = ".dagster/process"
MARK = "MR_DAGSTER_RUN"  # of the processes of a Dagster run: its id
UI_MARK = "MR_UI_OF"  # of the processes of the UI: the folder of its instance
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # a container's: microseconds of all cores per period, or "max"


def cores() -> int:
    """The cores that this process may use: those it is bound to, or fewer by its container or OMP_NUM_THREADS."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = CPU_LIMIT.read_text().split()
        found = min(found, max(1, int(quota) // int(period)))
    with suppress(ValueError):
        found = min(found, int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]))
    return max(1, found)


@dataclass(frozen=True)
class Worker:
    """The leading process of a Dagster run."""

    host: str
    pid: int
    boot: str
    ticks: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process of this machine that is there now."""
        return cls(socket.gethostname(), pid, _boot(), _state_and_ticks(pid)[1])

    @classmethod
    def from_tag(cls, tag: str | None, owner: str) -> Self | None:
        """The process that a Dagster run's tag names; None if it names none, or that of another Dagster run."""
        named, *parts = (tag or "").rsplit("/", 4)
        if named != owner or len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), parts[2], int(parts[3]))

    def tag(self, owner: str) -> str:
        """As the Dagster run's tag has it."""
        return f"{owner}/{self.host}/{self.pid}/{self.boot}/{self.ticks}"

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine: of another's nothing can be said."""
        return self.host == socket.gethostname()

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended. Of another machine's process that is never known here."""
        return self.here and not self.alive

    @property
    def said(self) -> str:
        """As a message names it: "process 41213", with its machine where that is another one."""
        return f"process {self.pid}" + ("" if self.here else f" on host {self.host}")

    @property
    def alive(self) -> bool:
        """Whether a process of this machine is there still. One that ended and that nobody waited for is not."""
        if self.boot != _boot():
            return False
        try:
            state, ticks = _state_and_ticks(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return ticks == self.ticks and state not in "ZX"

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _state_and_ticks(pid: int) -> tuple[str, int]:
    """Fields 3 and 22 of /proc/<pid>/stat, of one look at it; the second field, a name, may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def end_processes(owner: str, mark: str = MARK, *, seconds: float = 5) -> None:
    """Kill every process of this machine that bears a mark, but for this one; new ones, too, as they appear."""
    until = time.monotonic() + seconds
    while found := processes_of(owner, mark):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            return
        time.sleep(0.05)


def processes_of(owner: str, mark: str = MARK) -> list[int]:
    """The ids of the processes whose environment has `mark` with the value `owner`, without this one."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended meanwhile, or is another person's
            if process.pid != os.getpid() and process.environ().get(mark) == owner:
                found.append(process.pid)
    return found


def die_with_parent(told: Callable[[bytes], None] = lambda line: None) -> None:
    """From now on this process and its group die when standard input closes. Call it before anything slow.

    The starter keeps the write end of it. When the starter is gone, by SIGKILL too, the kernel closes it. Processes
    that this one starts with the same standard input and call this, too, die alike, in whatever group they are.
    `told` is given every line that comes before the end.
    """

    def watch() -> None:
        said = b""
        while part := os.read(sys.stdin.fileno(), 4096):
            *lines, said = (said + part).split(b"\n")
            for line in lines:
                told(line)
        end_own_group()

    threading.Thread(target=watch, daemon=True, name="die_with_parent").start()


def die_with_process(pid: int) -> None:
    """From now on this process and its group die within a second when that process is gone, whoever started them."""
    when_gone(pid, end_own_group)


def when_gone(pid: int, then: Callable[[], None]) -> None:
    """Call `then`, in a thread, within a second after that process is gone, whoever started it and waits for it."""

    def watch() -> None:
        with suppress(FileNotFoundError, ProcessLookupError):  # it is gone already
            watched = Worker.of(pid)
            while watched.alive:
                time.sleep(0.5)
        then()

    threading.Thread(target=watch, daemon=True, name="when_gone").start()


def killed(to_do: str) -> str:
    """Of a process that somebody killed, a further sentence: who does that, and what to do about it."""
    return f" So a machine does that runs out of memory{to_do}"


def end_own_group() -> None:
    """Kill this process and its group, whatever it is doing."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def end_group(group: int, *, seconds: float = 5) -> None:
    """Kill every process of a group, and wait until they are gone: what they held, on a GPU for one, is free then."""
    until = time.monotonic() + seconds
    while _group_works(group) and time.monotonic() < until:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        time.sleep(0.02)


def _group_works(group: int) -> bool:
    """Whether a process of the group is there that has not ended: one that nobody waited for has."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
    return False


def collect_seldom() -> None:
    """Have Python look for garbage after 200,000 new objects in place of 700. Call it before what takes long to import.

    At 700, a fifth of a command's time goes into looking through what was imported, and more of a server's beginning
    into looking through its definitions; at 20,000, still a twelfth. None of it is garbage.
    """
    gc.set_threshold(200_000)
