"""The Dagster instance: one folder under the data root that every command and the UI share.

    MR_POSTGRES=postgresql://mr:secret@db.internal:5432/dagster     keeps its history in a database that hosts can share

The folder's dagster.yaml names the variable, so that the password stands in no file and on no command line.
"""

import os
import re
from glob import has_magic
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mr_assets.errors import UserError
from mr_assets.files import atomically
from mr_assets.printable import tell
from mr_assets.runs.data_folder import data_root

if TYPE_CHECKING:
    import dagster as dg

SETTINGS = Path(__file__).parents[1] / "dagster.yaml"
COPIED = "# Copied by mr and kept up to date while nobody edits it: "
POSTGRES = "MR_POSTGRES"
STORAGE = f"""
# Dagster's history is in the database that {POSTGRES} names.
storage:
  postgres:
    postgres_url:
      env: {POSTGRES}
"""
DRIVER = "postgresql+psycopg2://"  # for SQLAlchemy, which takes another driver by default since 2.1
CONNECT_SECONDS = 10
_PASSWORD = re.compile(r"([^]/@?#[%]|%[0-9A-Fa-f]{2})*")  # else PostgreSQL's library tells a part of it in its error
_ESCAPED = re.compile("%[0-9A-Fa-f]{2}")
MOVED = {"mr_assets.run_launcher": "mr_assets.orchestration.run_launcher"}
"""Where a module is now that a dagster.yaml may name, by its name in an earlier version."""


def dagster_home() -> Path:
    """DAGSTER_HOME, or `.dagster` under the data root; made, with this project's dagster.yaml, if it is not there.

    Without an existing absolute folder that holds dagster.yaml, Dagster would lose the history or end in a traceback.
    """
    place = home()
    if not place.is_absolute():
        raise UserError(f"DAGSTER_HOME is {str(place)!r}, expected an absolute path. Set one, or unset it.")
    if has_magic(str(place)) or _ESCAPED.search(str(place)):
        raise UserError(
            f"the Dagster home {place} has one of * ? [ in its path, which Dagster takes for a pattern, or a % with "
            "two digits, which its database takes for another character: it would not find its files there. Set "
            "DAGSTER_HOME to a folder without them; the data folder can stay where it is."
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        _settle(place / "dagster.yaml")
    except OSError as error:
        raise UserError(f"the Dagster home {place} cannot be written: {error}. Set MR_DATA or DAGSTER_HOME.") from error
    os.environ["DAGSTER_HOME"] = str(place)
    return place


def home() -> Path:
    """Where the instance is, or will be; see `dagster_home`."""
    return Path(os.environ.get("DAGSTER_HOME") or data_root() / ".dagster").expanduser()


def _settle(place: Path) -> None:
    """Copy the project's settings to `place`, with the database if one is named, unless what is there was edited.

    The copy's first line has a hash of the rest; as long as they agree nobody edited it, and a newer version of the
    project replaces it. One that leaves runs unwatched is named. Raises `UserError` with the line to change in one that
    names a module which has moved, or whose history is not where `POSTGRES` says: else a part of it would be elsewhere.
    """
    present = place.read_text(encoding="utf-8") if place.exists() else None
    shipped = _shipped()
    if present is not None and POSTGRES in present and not os.environ.get(POSTGRES):
        raise UserError(
            f"{place} keeps Dagster's history in the database that {POSTGRES} names, and {POSTGRES} is not set. Set it "
            "as before. To go back to a history in this folder, move that file away."
        )
    if present is not None and POSTGRES not in present and POSTGRES in shipped and (place.parent / "history").is_dir():
        tell(f"note: what Dagster noted of runs up to now stays in {place.parent}, and is not in the database.")
    if present is None or (present != _stamped(shipped) and present == _stamped(present.partition("\n")[2])):
        atomically(place, lambda p: p.write_text(_stamped(shipped), encoding="utf-8"))
        return
    if os.environ.get(POSTGRES) and POSTGRES not in present:
        raise UserError(
            f"{POSTGRES} is set, but {place} was edited and does not name it. Add these lines to that file, or unset "
            f"{POSTGRES}:\n{STORAGE}"
        )
    launcher = (yaml.safe_load(present) or {}).get("run_launcher")
    if isinstance(launcher, dict) and (module := launcher.get("module")) in MOVED:
        raise UserError(
            f"{place} names the module {module}, which is {MOVED[module]} now. In its section run_launcher change the "
            f"line\n  module: {module}\nto\n  module: {MOVED[module]}"
        )
    if launcher is None:
        tell(
            f"note: {place} has no run_launcher, so that a Dagster run that is killed stays in progress for ever. Move "
            f"that file away to get the project's own (history is kept), or take run_launcher over from {SETTINGS}."
        )


def as_shipped(settings: str) -> bool:
    """Whether a dagster.yaml is what this version of the project puts there, for what the environment says."""
    return settings == _stamped(_shipped())


def _shipped() -> str:
    return SETTINGS.read_text(encoding="utf-8") + (STORAGE if os.environ.get(POSTGRES) else "")


def _stamped(settings: str) -> str:
    return f"{COPIED}{blake2b(settings.encode(), digest_size=8).hexdigest()}\n{settings}"


def instance() -> "dg.DagsterInstance":
    """The instance, ready for use. To load Dagster takes most of a second, and only here is it loaded.

    The pool has its limit from the beginning: one that the daemon meets first in its queue does not count in that
    round, and two backfills of a fresh instance would start together.

    Raises `UserError` if its home cannot be written or its database cannot be reached.
    """
    import dagster as dg

    from mr_assets.wiring.partitions import POOL

    dagster_home()
    if url := os.environ.get(POSTGRES):
        plain = url.replace(DRIVER, "postgresql://", 1) if url.startswith(DRIVER) else url
        _reach(plain)
        os.environ[POSTGRES] = plain.replace("postgresql://", DRIVER, 1)
    found = dg.DagsterInstance.get()
    if POOL not in found.event_log_storage.get_concurrency_keys():
        found.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    return found


def has_history() -> bool:
    """Whether there is a Dagster history to look into; to look makes none."""
    return home().is_dir() or bool(os.environ.get(POSTGRES))


def _reach(url: str) -> None:
    """Raise `UserError` unless a database answers at `url`, whose password is not told."""
    try:
        import dagster_postgres  # noqa: F401 (to see whether it is there)
        import psycopg2
    except ImportError as error:
        raise UserError(
            f"{POSTGRES} is set, but {error.name} is not installed. Install it: pip install -e '.[postgres]'"
        ) from error
    if not url.startswith("postgresql://"):
        raise UserError(f"{POSTGRES}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and it begins otherwise.")
    if not _PASSWORD.fullmatch(url.removeprefix("postgresql://").rpartition("@")[0].partition(":")[2]):
        raise UserError(
            f"{POSTGRES}: the password has one of / @ ? # [ ] %, which mean something else in an address. Write %2F, "
            "%40, %3F, %23, %5B, %5D, %25 for them."
        )
    try:
        psycopg2.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg2.Error as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"Dagster's history cannot be reached in the database that {POSTGRES} names: {said}. Start the server, or "
            f"mend {POSTGRES}."
        ) from error
