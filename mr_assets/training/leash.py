"""Processes that do not outlive the one that started them, however it ended.

The starter keeps the write end of the child's standard input. When the starter is gone, by SIGKILL too, the kernel
closes it, and every process that reads the end of it kills its own process group: the trainer, and on several GPUs
each of accelerate's workers, which inherit the same standard input.
"""

import os
import signal
import sys
import threading


def hold() -> None:
    """From now on this process and its group die when standard input closes. Call it before anything slow."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="leash").start()
