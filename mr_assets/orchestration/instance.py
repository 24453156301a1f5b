"""The Dagster instance: one folder under the data root that every command and the UI share."""

import os
from glob import has_magic
from hashlib import blake2b
from pathlib import Path

import dagster as dg
import yaml

from mr_assets.errors import UserError
from mr_assets.files import atomically
from mr_assets.printable import tell
from mr_assets.runs.data_folder import data_root
from mr_assets.wiring.partitions import POOL

SETTINGS = Path(__file__).parents[1] / "dagster.yaml"
COPIED = "# Copied by mr and kept up to date while nobody edits it: "
MOVED = {"mr_assets.run_launcher": "mr_assets.orchestration.run_launcher"}
"""Where a module is now that a dagster.yaml may name, by its name in an earlier version."""


def dagster_home() -> Path:
    """DAGSTER_HOME, or `.dagster` under the data root; made, with this project's dagster.yaml, if it is not there.

    Without an existing absolute folder that holds dagster.yaml, Dagster would lose the history or end in a traceback.
    """
    place = home()
    if not place.is_absolute():
        raise UserError(f"DAGSTER_HOME is {str(place)!r}, expected an absolute path. Set one, or unset it.")
    if has_magic(str(place)):
        raise UserError(
            f"the Dagster home {place} has one of * ? [ in its path, which Dagster takes for a pattern: it would not "
            "find its settings there. Set DAGSTER_HOME to a folder without them; the data folder can stay where it is."
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
    """Copy the project's settings to `place`, unless what is there was edited or is another's.

    The copy's first line has a hash of the rest; as long as they agree nobody edited it, and a newer version of the
    project replaces it. One that leaves runs unwatched is named. Raises `UserError` with the line to change in one that
    names a module which has moved.
    """
    present = place.read_text(encoding="utf-8") if place.exists() else None
    shipped = SETTINGS.read_text(encoding="utf-8")
    if present is None or (present != _stamped(shipped) and present == _stamped(present.partition("\n")[2])):
        atomically(place, lambda p: p.write_text(_stamped(shipped), encoding="utf-8"))
        return
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


def _stamped(settings: str) -> str:
    return f"{COPIED}{blake2b(settings.encode(), digest_size=8).hexdigest()}\n{settings}"


def instance() -> dg.DagsterInstance:
    """The instance, ready for use.

    The pool has its limit from the beginning: one that the daemon meets first in its queue does not count in that
    round, and two backfills of a fresh instance would start together.
    """
    dagster_home()
    found = dg.DagsterInstance.get()
    if POOL not in found.event_log_storage.get_concurrency_keys():
        found.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    return found
