"""Dagster's history in the tests: its databases stay open. Dagster opens and closes one for each event."""

from functools import cache
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy.engine import Engine


def keep_open() -> None:
    """From now on, in this process. It is a fifth of what a tiny run takes."""
    sqlite_event_log.create_engine = _create_engine  # type: ignore[attr-defined,assignment]


def _create_engine(url: str, *, connect_args: dict[str, float], **_: Any) -> Engine:
    """In place of SQLAlchemy's."""
    return _kept(url, **connect_args)


@cache
def _kept(url: str, timeout: float) -> Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": timeout})
    engine.dispose = lambda close=True: None  # type: ignore[method-assign]
    return engine
