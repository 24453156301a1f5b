"""What a run prints while it works: the assets' own messages and what goes wrong, a line each, with the time.

12:04:31  2  judgments: 3,200 of 7,350 requests, 83,200 tokens, 10,662 tokens/s, 10 s left
"""

import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import IO, Any, cast

import dagster as dg

from mr_assets.printable import printable_lines
from mr_assets.wiring.partitions import asset_of_step

FOLLOW_SECONDS = 0.5  # between two looks at the history of a Dagster run whose steps are elsewhere
WAITS = "waits for"  # so begins what the history says of a step that was handed to a cluster and has not begun

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
        step = asset_of_step(meta.get("step_key") or "")
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
    logger.addHandler(_handler())
    return logger


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    handler.addFilter(_own)
    return handler


@contextmanager
def following(dagster_run_id: str, instance: dg.DagsterInstance) -> Iterator[None]:
    """Print meanwhile what steps log that run on other machines, and of those that have not begun that they wait.

    What they print themselves is not seen here.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(dagster_run_id, instance, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)


def _follow(dagster_run_id: str, instance: dg.DagsterInstance, ended: threading.Event) -> None:
    handler, cursor = _handler(), None
    last = False
    while not last:
        last = ended.wait(FOLLOW_SECONDS)
        try:
            found = instance.get_records_for_run(dagster_run_id, cursor)
        except Exception:  # a history that cannot be read for a moment: the next look gives what was missed
            continue
        cursor = found.cursor
        for entry in (record.event_log_entry for record in found.records):
            step, event = entry.step_key, entry.dagster_event
            if step and event is None:
                handler.handle(_as_logged(int(entry.level), entry.timestamp, step, entry.user_message))
            elif step and event and (event.message or "").startswith(WAITS):
                handler.handle(_as_logged(logging.INFO, entry.timestamp, step, event.message or ""))


def _as_logged(level: int, when: float, step: str, message: str) -> logging.LogRecord:
    meta = {"step_key": step, "orig_message": message}
    fields = {"levelno": level, "levelname": logging.getLevelName(level), "created": when, "dagster_meta": meta}
    return logging.makeLogRecord(fields)
