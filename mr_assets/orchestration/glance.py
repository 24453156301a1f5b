"""A glance at Dagster's history, without Dagster, which takes a second to load and to begin.

It tells when there is nothing to tell: no Dagster run is under way, and none of certain runs has failed. That is so
mostly when somebody types `mr status`. All else is read by Dagster.
"""

import json
import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from urllib.parse import quote

from mr_assets.orchestration.instance import POSTGRES, as_shipped, dagster_home

RUNS = "history/runs.db"  # where Dagster's own settings for SQLite, which the project ships, keep Dagster runs
ENDED_BADLY = ("FAILURE", "CANCELED")


def nothing_to_tell(namespaces: Collection[str]) -> bool:
    """Whether no Dagster run is queued or under way, and none that was to make something below these keys went wrong.

    False also where that cannot be seen: in a database, by settings that somebody edited, in a file that is damaged.
    Raises `UserError` where Dagster could not be asked, either, for its home cannot be used.
    """
    place = dagster_home()
    if os.environ.get(POSTGRES):
        return False
    try:
        if not as_shipped((place / "dagster.yaml").read_text(encoding="utf-8")):
            return False
        if not (place / RUNS).exists():
            return True
        with closing(sqlite3.connect(f"file:{quote(str(place / RUNS))}?mode=ro", uri=True)) as history:
            rows = history.execute("SELECT status, run_body FROM runs WHERE status IS NOT 'SUCCESS'").fetchall()
    except (OSError, ValueError, sqlite3.Error):
        return False
    named = [json.dumps(name) for name in namespaces]
    return all(status in ENDED_BADLY and not any(name in body for name in named) for status, body in rows)
