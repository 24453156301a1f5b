"""A trainer does not outlive the process that started it, and may start before its job is known.

Its standard input is the starter's to write (`mr_assets.processes.die_with_parent`): the trainer, and on several GPUs
each of accelerate's workers, which inherit it, die when the starter is gone. A trainer that waits is told its workspace
through it.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from mr_assets.processes import die_with_parent

LOG = "trainer.log"
OMITTED = "MR_TRAINER_OMITS"  # the environment's name of a package that this process is to take for not installed


def follow_starter() -> Callable[[], Path]:
    """From now on die with the starter, and know nothing of a package that is omitted. Call it before anything slow.

    What it returns gives the workspace of the training: what the command line names, else what standard input says
    first, as a line of JSON; it waits for that. From that line on this process's output goes to the workspace's log.
    """
    if name := os.environ.get(OMITTED):
        sys.modules[name] = None  # type: ignore[assignment]  # to import it then fails
    workspaces: SimpleQueue[Path] = SimpleQueue()

    def told(line: bytes) -> None:
        workspace = Path(json.loads(line))
        with (workspace / LOG).open("ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        workspaces.put(workspace)

    die_with_parent(told)
    return lambda: Path(sys.argv[1]) if len(sys.argv) > 1 else workspaces.get()
