"""The data root, which runs write to, and the files in it that a recipe names."""

import os
import re
from pathlib import Path

from mr_assets.errors import UserError, shown
from mr_assets.runs.object_store import SCHEME, scratch_of, store_of
from mr_assets.text_files import given_path, is_file_or_folder
from mr_assets.training.accelerate_config import SHIPPED

PROJECT = Path(__file__).parents[2]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def data_root() -> Path:
    """The folder that runs write to: MR_DATA, or the project's own data folder; of an object store, its scratch.

    Raises `UserError` for another URL than s3://BUCKET/PREFIX.
    """
    named = os.environ.get("MR_DATA") or str(PROJECT / "data")
    if named.startswith(SCHEME):
        return scratch_of(named)
    if _URL.match(named):
        raise UserError(
            f"MR_DATA = {shown(named)}: expected a folder or s3://BUCKET/PREFIX, and this is another URL. Mount that "
            "storage and name the folder where it is mounted."
        )
    return given_path(named, "MR_DATA").resolve()


def hand_on(data: Path) -> None:
    """Have the processes that this one starts, on whatever host, use this data folder: its path, or its store's URL."""
    store = store_of(data)
    os.environ["MR_DATA"] = store.url if store else str(data)


def resolve(path: str, data: Path) -> Path:
    """A path of a recipe: absolute, or relative to the data root, or to the data that ships with the project.

    Raises `UserError` if no file can have it.
    """
    places = candidates(path, data)
    if (store := store_of(data)) and places[0].is_relative_to(data):
        store.fetch_given(places[0])
    return next((p for p in places if is_file_or_folder(p)), places[0])


def accelerate_file(name: str, data: Path) -> Path:
    """accelerate's configuration that a recipe names: one that ships ("fsdp"), or a file of the user's."""
    return SHIPPED.get(name) or resolve(name, data)


def candidates(path: str, data: Path) -> list[Path]:
    """Where `resolve` looks for a path, in order. Raises as it does."""
    given = given_path(path, "path")
    return [given] if given.is_absolute() else [data / given, PROJECT / "data" / given]
