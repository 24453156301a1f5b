"""Names of recipes, runs and families: lower-case words joined by single underscores.

Dagster 1.13.27 takes anything in an asset key, but refuses a hyphen in a group name, makes one op name of ``a-b`` and
``a_b``, and cannot parse a hyphen in an unquoted asset selection; so one spelling serves key, group and folder.
"""

import re

from mr_assets.errors import UserError
from mr_assets.recipes.yaml_files import shipped

MAX_NAME = 60
NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"
RESERVED = ("seeds", "prompts", "eft", "pilots")  # folders of what ships, or is put, beside the runs


def check_run_name(name: str) -> str:
    """`name`, if a run can have it: it becomes an asset key prefix, a group and a folder. Raises `UserError`."""
    taken = {*RESERVED, *(n for n, abstract in shipped().items() if abstract)}
    if name in taken:
        raise UserError(f"run name {name!r} is taken by what runs share. Choose another, {name}_1 for example.")
    if re.fullmatch(NAME, name) and len(name) <= MAX_NAME:
        return name
    hint = re.sub(r"[^a-z0-9]+", "_", name.lower())[:MAX_NAME].strip("_")
    raise UserError(
        f"run name {name!r}: expected lower-case letters and digits in words joined by single underscores, at most "
        f"{MAX_NAME} characters, as it becomes an asset key, a group and a folder." + (f" Try {hint}." if hint else "")
    )


def is_run_name(name: str) -> bool:
    """Whether a folder of this name can be a run's, whatever else lies there."""
    return bool(re.fullmatch(NAME, name)) and len(name) <= MAX_NAME and name not in RESERVED
