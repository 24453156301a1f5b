"""Dagster's IO managers: tables as parquet files, models as folders, each with a record beside it.

An asset returns an `Artifact`; `handle_output` writes it whole or not at all, and its record last. What is read is
checked: that its record is there, and that its columns are the table's.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
from upath import UPath

from mr_assets.errors import UserError
from mr_assets.files import atomically, note_of, storage_trouble, sweep_temporary
from mr_assets.loop import LOOP
from mr_assets.runs.artifact import Artifact, Model, damaged_files, said_of_pruned
from mr_assets.runs.object_store import SHARDS, store_of
from mr_assets.runs.record import read_record, remove_record, write_record
from mr_assets.tables import DROPPED, TABLES, dropped_beside, dropped_path


def shard_folder(table: Path) -> Path:
    """Where the completions of a table lie until it is complete."""
    return table.with_name(f"{SHARDS}{table.stem}")


@contextmanager
def users_errors() -> Iterator[None]:
    """Turn the user's errors, and those of a disk that is full or cannot be written, into a Dagster failure.

    It shows their message and is not retried.
    """
    try:
        yield
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except dg.Failure:
        raise
    except Exception as error:
        if trouble := storage_trouble(error):
            raise dg.Failure(trouble, allow_retries=False) from error
        raise


class TableIOManager(dg.UPathIOManager):
    """Tables as `<data root>/<run>/<asset>/<t>.parquet`, written atomically; what was dropped: `dropped_path`."""

    extension = ".parquet"

    @users_errors()
    def dump_to_path(self, context: dg.OutputContext, obj: Artifact, path: UPath) -> None:
        """Write dropped rows, then the table, then the record. Raises `dg.Failure` on wrong columns or a full disk."""
        assert obj.rows is not None
        table, target = TABLES[context.asset_key.path[-1]], Path(str(path))
        rows, dropped = obj.rows, obj.dropped
        table.check(rows)
        sweep_temporary(target.parent)
        record_path = target.with_suffix(".json")
        remove_record(record_path)
        dropped_file = dropped_path(target)
        dropped_beside(target).unlink(missing_ok=True)
        if dropped is None:
            dropped_file.unlink(missing_ok=True)
        else:
            DROPPED.check(dropped)
            dropped_file.parent.mkdir(parents=True, exist_ok=True)
            sweep_temporary(dropped_file.parent)
            atomically(dropped_file, lambda p: dropped.write_parquet(p))
        if isinstance(rows, pl.LazyFrame):
            atomically(target, lambda p: rows.sink_parquet(p, row_group_size=20_000, maintain_order=True))
        else:
            atomically(target, lambda p: rows.write_parquet(p, row_group_size=20_000))
        written = [target] if dropped is None else [target, dropped_file]
        files = {os.path.relpath(p, target.parent): note_of(p, content=True) for p in written}
        write_record(record_path, replace(obj.record, files=files))
        shards = shard_folder(target)
        if shards.is_dir() and (store := store_of(target.parent)):
            store.remove(shards)
        shutil.rmtree(shards, ignore_errors=True)

    @users_errors()
    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.LazyFrame:
        """Read a table lazily. Raises `dg.Failure` that names what to materialize if it is not complete."""
        where = f" of iteration {context.asset_partition_key}" if context.has_asset_partitions else ""
        return load_table(Path(str(path)), context.asset_key, where)


class ModelIOManager(dg.IOManager):
    """Models: the folder was written by the trainer; here its record is written and read."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def _record_path(self, context: dg.InputContext | dg.OutputContext) -> Path:
        place = self.data.joinpath(*context.asset_key.path)
        if context.has_asset_partitions:
            place /= context.asset_partition_key
        pointer = LOOP[context.asset_key.path[-1]].holds == "pointer"
        return place.with_name(place.name + ".json") if pointer else place / "complete.json"

    @users_errors()
    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Write the record, with the sizes of a trained model's files: from now on the model is complete."""
        assert obj.model is not None
        model = {"path": obj.model.path, "fingerprint": obj.model.fingerprint, "name": obj.model.name}
        place, folder = self._record_path(context), obj.model.folder(self.data)
        if place.parent == folder:  # of the model that was there before
            remove_record(place)
        files = {p.name: note_of(p, content=False) for p in _parts(folder)} if place.parent == folder else {}
        write_record(place, replace(obj.record, model=model, files=files))

    def load_input(self, context: dg.InputContext) -> Model:
        """Read a model's record. Raises `dg.Failure` that names what to materialize if it is not complete."""
        where = f" of iteration {context.asset_partition_key}" if context.has_asset_partitions else ""
        return load_model(self._record_path(context), context.asset_key.to_user_string() + where)


def _parts(folder: Path) -> list[Path]:
    """What a trained model's folder holds besides its record and what is under way: weights, tokenizer, logs."""
    if not folder.is_dir():
        return []
    found = (p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith("."))
    return [p for p in found if p.name != "complete.json"]


def load_table(source: Path, key: dg.AssetKey, where: str) -> pl.LazyFrame:
    """A table, lazily; where: of which partition it is, in words.

    Raises `UserError` that names what to materialize if it is not complete, or is no whole table.
    """
    asset, materialize = key.path[-1], f"Materialize {key.to_user_string()}{where}"
    record = read_record(source.with_suffix(".json"))
    if record is not None and (store := store_of(source.parent)):
        store.fetch(source, record.files.get(source.name))
    if record is None or not source.is_file():
        raise UserError(
            f"{asset}{where} is not complete: {source} is not there with its record beside it. {materialize} first."
        )
    try:
        return TABLES[asset].scan(source)
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{asset}{where} is damaged: {source} is no whole table. {materialize} again.") from error


def load_model(record_path: Path, asset: str) -> Model:
    """The model that a record stands for. Raises `dg.Failure` naming `asset` if it is not complete, or was pruned."""
    record = read_record(record_path)
    if record is None or record.model is None:
        why = f"there is no {record_path}"
    elif record.pruned:
        raise dg.Failure(f"{asset}: {said_of_pruned(record_path.parent)}", allow_retries=False)
    else:
        why = damaged_files(record_path, record)
        if not why:
            return Model(**{name: record.model[name] for name in ("path", "fingerprint", "name")})
    raise dg.Failure(f"{asset} is not complete: {why}. Materialize it first.", allow_retries=False)
