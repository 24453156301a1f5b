"""A host that is killed when an artifact's files are in the store and its record is not: ``python -m ... killed_host``.

What it puts is pickled on its standard input: its name, the record's path and the `Record`.
"""

import os
import pickle
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mr_assets.runs.object_store import ObjectStore
from mr_assets.runs.record import Record, write_record


def main(host: str, path: Path, record: Record) -> None:
    def killed(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    socket.gethostname = lambda: host
    ObjectStore.write = killed  # type: ignore[method-assign,assignment]
    write_record(path, record)


if __name__ == "__main__":
    main(*pickle.load(sys.stdin.buffer))
