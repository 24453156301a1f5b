"""What a run prints while it works: the assets' own messages and what goes wrong, a line each, with the time.

12:04:31  2  judgments: 3,200 of 7,350 requests, 410/s, 10 s left
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import IO, Any, cast

import dagster as dg

from mr_assets.printable import printable_lines

# Of what is downstream of a step that failed or was stopped Dagster says this, a line for each.
NOT_BEGUN = re.compile(
    r"Dependencies for step \S+ .*Not executing\.|Step \S+ finished without success or failure event"
)


@contextmanager
def without_history_errors() -> Iterator[None]:
    """Keep what Dagster prints of its history from standard error: where it cannot be written, the command says so."""
    with redirect_stderr(cast(IO[str], _Without(sys.stderr))):
        yield


class _Without:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Exception while writing logger call") else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {}) or {}
        step = (meta.get("step_key") or "").split("__")[-1]
        message = _message(record)
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        shown = message if not step or message.startswith(step) else f"{step}: {message}"
        return printable_lines(f"{self.formatTime(record, '%H:%M:%S')}  {level}{shown}")


def _message(record: logging.LogRecord) -> str:
    return (getattr(record, "dagster_meta", {}) or {}).get("orig_message") or record.getMessage()


def _own(record: logging.LogRecord) -> bool:
    event = (getattr(record, "dagster_meta", {}) or {}).get("dagster_event")
    return not event and record.levelno >= logging.INFO and not NOT_BEGUN.match(_message(record))


@dg.logger({}, description="One readable line per message of an asset.")
def console(init_context: dg.InitLoggerContext) -> logging.Logger:
    """The console logger of every run, in `mr run` and in the UI's own processes alike."""
    logger = logging.Logger("mr_assets", level=logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    handler.addFilter(_own)
    logger.addHandler(handler)
    return logger
