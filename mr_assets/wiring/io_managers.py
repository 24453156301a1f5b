"""Dagster's IO managers: tables as parquet files, models as folders, each with a record beside it.

An asset returns an `Artifact`; `handle_output` writes it whole or not at all, and its record last. What is read is
checked: that its record is there, and that its columns are the table's.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import dagster as dg
import polars as pl
from upath import UPath

from mr_assets.errors import UserError
from mr_assets.files import atomically, damage, fingerprint, note_of, storage_trouble, sweep_temporary
from mr_assets.ids import model_id, model_key
from mr_assets.loop import LOOP
from mr_assets.runs.run import Record, read_record, write_record
from mr_assets.tables import DROPPED, TABLES, dropped_beside, dropped_path


@dataclass(frozen=True)
class Model:
    """A model folder: where it lies, what its content hashes to, and its name in the loop ("seed", "M0", "M1", ...)."""

    path: str
    fingerprint: str
    name: str

    def folder(self, data: Path) -> Path:
        """The folder, whether it lies inside the data root or elsewhere."""
        return data / self.path

    def check(self, data: Path) -> None:
        """Read the folder again: raises `UserError` if it does not hold the model that was recorded.

        Bits that flip on a disk leave size and time as they were. To be called where the model is loaded or handed
        over.
        """
        folder = self.folder(data)
        try:
            came = fingerprint(folder)
        except OSError as error:
            came = f"what cannot be read ({error})"
        if came != self.fingerprint:
            record = read_record(folder / "complete.json")
            why = _damaged(folder / "complete.json", record) if record else ""
            raise UserError(
                f"{self.name} is damaged: {folder} is not what was recorded. Expected the fingerprint "
                f"{self.fingerprint}, found {came}{f'; {why}' if why else ''}. {self._again}"
            )

    @property
    def _again(self) -> str:
        """What to do about a damaged folder."""
        if self.name == "seed":
            return "Restore its files. If the seed model was changed on purpose, materialize sft_checkpoint again."
        made = "sft_checkpoint" if self.name == model_id(0) else f"checkpoints of iteration {model_key(self.name)}"
        return f"Restore its files, or remove the folder and materialize {made} again (`mr run` does)."


@dataclass(frozen=True)
class Artifact:
    """What an asset made: rows of a table or a model, with the record that will stand beside it.

    rows: the table, as a frame or lazily; dropped: what was left out (columns of `DROPPED`), if the asset selects.
    """

    record: Record
    rows: pl.DataFrame | pl.LazyFrame | None = None
    dropped: pl.DataFrame | None = None
    model: Model | None = None


def shard_folder(table: Path) -> Path:
    """Where the completions of a table lie until it is complete."""
    return table.with_name(f".shards-{table.stem}")


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


def version_of(rows: pl.DataFrame | pl.LazyFrame) -> str:
    """Sixteen hex digits over a table's content: names, types and values in order.

    Not over Arrow's buffers, which for the same values may differ in padding, in what lies under a null, or in whether
    there is a null mask at all.
    """
    digest = blake2b(repr(list(rows.collect_schema().items())).encode(), digest_size=8)
    for batch in rows.lazy().collect_batches(maintain_order=True, chunk_size=20_000):
        for column in batch:
            for part in _content(column):
                digest.update(part)
    return digest.hexdigest()


def _content(column: pl.Series) -> Iterator[bytes]:
    """The values of a column as bytes: length and nulls, then what is not null, lists and structs by their parts."""
    yield len(column).to_bytes(8, "little") + column.is_null().cast(pl.UInt8).to_numpy().tobytes()
    values = column.drop_nulls()
    match column.dtype:
        case pl.List():
            lengths = values.list.len()
            yield lengths.to_numpy().tobytes()
            yield from _content(values.filter(lengths > 0).explode())
        case pl.Struct():
            for field in values.struct.fields:
                yield from _content(values.struct.field(field))
        case pl.String:
            yield values.str.len_bytes().to_numpy().tobytes()
            yield values.str.join().item().encode()
        case pl.Boolean:
            yield values.cast(pl.UInt8).to_numpy().tobytes()
        case _:
            yield values.to_numpy().tobytes()


class TableIOManager(dg.UPathIOManager):
    """Tables as `<data root>/<run>/<asset>/<t>.parquet`, written atomically; what was left out: `dropped_path`."""

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
        record_path.unlink(missing_ok=True)
        left_out = dropped_path(target)
        dropped_beside(target).unlink(missing_ok=True)
        if dropped is None:
            left_out.unlink(missing_ok=True)
        else:
            DROPPED.check(dropped)
            left_out.parent.mkdir(parents=True, exist_ok=True)
            sweep_temporary(left_out.parent)
            atomically(left_out, lambda p: dropped.write_parquet(p))
        if isinstance(rows, pl.LazyFrame):
            atomically(target, lambda p: rows.sink_parquet(p, row_group_size=20_000, maintain_order=True))
        else:
            atomically(target, lambda p: rows.write_parquet(p, row_group_size=20_000))
        made = [target] if dropped is None else [target, left_out]
        files = {os.path.relpath(p, target.parent): note_of(p, content=True) for p in made}
        write_record(record_path, replace(obj.record, files=files))
        shutil.rmtree(shard_folder(target), ignore_errors=True)

    @users_errors()
    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.LazyFrame:
        """Read a table lazily. Raises `dg.Failure` that names what to materialize if it is not complete."""
        asset, source = context.asset_key.path[-1], Path(str(path))
        where = f" of iteration {context.asset_partition_key}" if context.has_asset_partitions else ""
        materialize = f"Materialize {context.asset_key.to_user_string()}{where}"
        if read_record(source.with_suffix(".json")) is None or not source.is_file():
            raise UserError(
                f"{asset}{where} is not complete: {source} is not there with its record beside it. {materialize} first."
            )
        try:
            return TABLES[asset].scan(source)
        except pl.exceptions.PolarsError as error:
            raise UserError(f"{asset}{where} is damaged: {source} is no whole table. {materialize} again.") from error


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


def load_model(record_path: Path, asset: str) -> Model:
    """The model that a record stands for. Raises `dg.Failure` naming `asset` if it is not complete."""
    record = read_record(record_path)
    if record is None or record.model is None:
        why = f"there is no {record_path}"
    else:
        why = _damaged(record_path, record)
        if not why:
            return Model(**{name: record.model[name] for name in ("path", "fingerprint", "name")})
    raise dg.Failure(f"{asset} is not complete: {why}. Materialize it first.", allow_retries=False)


def _damaged(record_path: Path, record: Record) -> str:
    """What is wrong with the files of a model's folder by their sizes, in words; "" if nothing is."""
    found = (damage(record_path.parent / name, note, record_path.parent) for name, note in record.files.items())
    return next(filter(None, found), "")
