"""Processes that do not outlive the one that started them, however it ended.

The starter keeps the write end of the child's standard input. When the starter is gone, by SIGKILL too, the kernel
closes it, and every process that reads the end of it kills its own process group: the trainer, and on several GPUs
each of accelerate's workers, which inherit the same standard input. A trainer that was started before its job was known
is told its workspace through it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

LOG = "trainer.log"


def die_with_parent() -> Callable[[], Path]:
    """From now on this process and its group die when standard input closes. Call it before anything slow.

    What it returns gives the workspace of the training: what the command line names, else what standard input says
    first, as a line of JSON; it waits for that. From that line on this process's output goes to the workspace's log.
    """
    told: SimpleQueue[Path] = SimpleQueue()

    def watch() -> None:
        said = b""
        while part := os.read(sys.stdin.fileno(), 4096):
            said += part
            if said.endswith(b"\n"):
                workspace = Path(json.loads(said))
                with (workspace / LOG).open("ab") as log:
                    os.dup2(log.fileno(), sys.stdout.fileno())
                    os.dup2(log.fileno(), sys.stderr.fileno())
                told.put(workspace)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="leash").start()
    return lambda: Path(sys.argv[1]) if len(sys.argv) > 1 else told.get()
