"""The Dagster instance: one folder under the data root that every command and the UI share."""

import os
import shutil
from pathlib import Path

import dagster as dg

from mr_assets.errors import UserError
from mr_assets.runs import data_root

SETTINGS = Path(__file__).parent / "dagster.yaml"


def dagster_home() -> Path:
    """DAGSTER_HOME, or `.dagster` under the data root; made, with this project's dagster.yaml, if it is not there.

    Without an existing absolute folder that holds dagster.yaml, Dagster would lose the history or end in a traceback.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or data_root() / ".dagster").expanduser()
    if not home.is_absolute():
        raise UserError(f"DAGSTER_HOME is {str(home)!r}, expected an absolute path. Set one, or unset it.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shutil.copy(SETTINGS, home / "dagster.yaml")
    except OSError as error:
        raise UserError(f"the Dagster home {home} cannot be written: {error}. Set MR_DATA or DAGSTER_HOME.") from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def instance() -> dg.DagsterInstance:
    """The instance, ready for use."""
    dagster_home()
    return dg.DagsterInstance.get()
