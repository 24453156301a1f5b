"""The code server of `mr ui`: the process that loads the definitions, which webserver and daemon ask for by a socket.

It is Dagster's own, `dagster api grpc`. What is added here saves seconds at the start, and keeps *Reload definitions*:

- It begins before this process has imported Dagster: both import it at the same time, and this one settles the history
  while that one makes the definitions. Only then it is told to go on, by a line on its standard input:
      {"environment": {"DAGSTER_HOME": "/data/.dagster", ...}, "arguments": ["api", "grpc", "--socket", ...]}
- The socket that others know is a link to that of the present process. A reload begins another process, and moves the
  link once that one answers, so that there is always one to ask. `dagster code-server start`, which can reload, too,
  would be one more process, which imports Dagster before it begins the one that loads, and through which all goes.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from runpy import run_module
from tempfile import TemporaryDirectory
from typing import Self

from mr_assets.errors import UserError
from mr_assets.processes import collect_seldom, die_with_parent

MODULE = "mr_assets.definitions"
"""Where the definitions are: of the UI, and of the Dagster runs that `mr` makes."""
LOOK_SECONDS = 0.02  # between two looks whether it answers
GRACE_SECONDS = 10  # for what others have just asked of the process before a reload
REST_SECONDS = 5  # until one that has ended by itself is begun again


class CodeServer:
    """The code server of a module, begun and not yet loading; within `with`, after which none of its processes is left.

    module: where the definitions are. socket: where it answers, once `load` has returned.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self._folder = TemporaryDirectory(prefix="mr-code-")
        self.socket = Path(self._folder.name) / "socket"
        self._numbers, self._arguments = count(1), list[str]()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock, self._ended = threading.Lock(), threading.Event()

    def __enter__(self) -> Self:
        """Begin to import."""
        self._all.append(self._begun())
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.end()

    def load(self, *arguments: str) -> None:
        """Have it load the definitions, in this process's environment as it is now, and wait until it answers.

        arguments: for `dagster api grpc`, beside socket and module. Raises `UserError` if it ends before.
        """
        self._arguments = [*arguments]
        self._loaded(self._all[0])
        threading.Thread(target=self._watch, daemon=True, name="code_server").start()

    def reload(self) -> None:
        """Have a new process load the definitions as they are now; the one before goes on until that one answers.

        Raises `UserError` if the new one ends before it answers; then the other one stays.
        """
        with self._lock:
            new, old = self._begun(), self._all[-1]
            self._all.append(new)
            try:
                self._loaded(new)
            except UserError:
                _ask_to_end(new)
                _end(new)
                self._all.remove(new)
                raise
        threading.Thread(target=self._end_later, args=(old,), daemon=True, name="code_server_before").start()

    def end(self) -> None:
        """End all of its processes."""
        self._ended.set()
        every = [*self._all]
        for each in every:
            _ask_to_end(each)
        for each in every:
            _end(each)
        self._folder.cleanup()

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", __name__, self.module]
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # Ctrl-C is not for it

    def _loaded(self, process: subprocess.Popen[bytes]) -> None:
        """Tell a process that has begun to go on, and lead the socket to it once it answers."""
        own = self.socket.with_name(str(next(self._numbers)))
        arguments = ["api", "grpc", "--lazy-load-user-code", "--socket", str(own)]
        arguments += ["--module-name", self.module, "--working-directory", str(Path.cwd()), *self._arguments]
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as is seen below
            process.stdin.write(json.dumps({"environment": dict(os.environ), "arguments": arguments}).encode() + b"\n")
            process.stdin.flush()
        while not _answers(own):
            if process.poll() is not None or self._ended.is_set():
                raise UserError(
                    f"the code server, which loads the definitions, has ended with status {process.poll()}; see above."
                )
            time.sleep(LOOK_SECONDS)
        link = own.with_suffix(".link")
        link.symlink_to(own.name)
        link.replace(self.socket)

    def _watch(self) -> None:
        """Begin it again when it ends by itself, as when it is killed for memory."""
        while not self._ended.wait(REST_SECONDS):
            if (status := self._all[-1].poll()) is not None:
                logging.getLogger(__name__).warning("the code server has ended with status %s; it begins again", status)
                with suppress(UserError):  # then again
                    self.reload()

    def _end_later(self, process: subprocess.Popen[bytes]) -> None:
        self._ended.wait(GRACE_SECONDS)
        _ask_to_end(process)
        _end(process)
        with suppress(ValueError):
            self._all.remove(process)


def _answers(place: Path) -> bool:
    """Whether a process listens on a socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(os.fspath(place)) == 0


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()  # whatever it still does, it dies of that
    process.wait()


def main(module: str) -> None:
    """Be the code server: import what it takes, wait for the word to go on, then be `dagster api grpc`.

    A module that has a function `prepare` makes with it meanwhile what its definitions are to give.
    """
    told: SimpleQueue[bytes] = SimpleQueue()
    die_with_parent(told.put)
    collect_seldom()
    with suppress(Exception):  # what is wrong with it Dagster finds, too, and shows in the UI
        if prepare := getattr(import_module(module), "prepare", None):
            prepare()
    said = json.loads(told.get())
    os.environ.update(said["environment"])
    sys.argv = ["dagster", *said["arguments"]]
    run_module("dagster", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
