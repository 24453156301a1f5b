"""What an asset gives to its IO manager: rows of a table or a model, with the record that will stand beside it."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mr_assets.errors import UserError
from mr_assets.files import fingerprint_like
from mr_assets.ids import model_id, model_key
from mr_assets.runs.object_store import damage_of, store_of
from mr_assets.runs.record import Record, read_record


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
        """Read the folder again: raises `UserError` if it does not hold the model that was recorded, or no weights.

        What an object store alone has of it is fetched before.

        Bits that flip on a disk leave size and time as they were. To be called where the model is loaded or handed
        over.
        """
        folder = self.folder(data)
        if pruned_since(folder):
            raise UserError(said_of_pruned(folder))
        fetch_files(folder / "complete.json")
        try:
            came = fingerprint_like(self.fingerprint, folder)
        except OSError as error:
            came = f"what cannot be read ({error})"
        if came != self.fingerprint:
            record = read_record(folder / "complete.json")
            why = damaged_files(folder / "complete.json", record) if record else ""
            raise UserError(
                f"{self.name} is damaged: {folder} is not what was recorded. Expected the fingerprint "
                f"{self.fingerprint}, found {came}{f'; {why}' if why else ''}. {self._again(folder)}"
            )

    def _again(self, folder: Path) -> str:
        """What to do about a damaged folder."""
        if self.name == "seed":
            return "Restore its files. If the seed model was changed on purpose, materialize sft_checkpoint again."
        asset = "sft_checkpoint" if self.name == model_id(0) else f"checkpoints of iteration {model_key(self.name)}"
        again = f"and materialize {asset} again (`mr run` does)."
        if store_of(folder) is None:
            return f"Restore its files, or remove the folder {again}"
        fetched = "Remove the folder: it is fetched again. If it is damaged in the store, too, remove"
        return f"{fetched} {_to_remove(folder)} {again}"


@dataclass(frozen=True)
class Artifact:
    """What an asset gives to its IO manager: rows of a table or a model, with the record that will stand beside it.

    rows: the table, as a frame or lazily; dropped: what was dropped (columns of `DROPPED`), if the asset selects.
    """

    record: Record
    rows: pl.DataFrame | pl.LazyFrame | None = None
    dropped: pl.DataFrame | None = None
    model: Model | None = None


def fetch_files(record_path: Path) -> None:
    """Have all files that a record stands for beside it, if an object store has them; of a model its weights, too."""
    if (store := store_of(record_path.parent)) and (record := read_record(record_path)):
        for name, note in record.files.items():
            store.fetch(record_path.parent / name, note)


def pruned_since(folder: Path) -> str:
    """When a trained model's weights were removed (`mr_assets.runs.pruning`), ISO; "" if they were not."""
    record = read_record(folder / "complete.json")
    return record.pruned if record else ""


def said_of_pruned(folder: Path) -> str:
    """That a model's weights were removed, and how to have them again: trained from the last one that has its own.

    folder: of the checkpoints of an iteration.
    """
    t, gone = int(folder.name), [folder]
    while pruned_since(earlier := folder.with_name(str(t - 1))):
        t, gone = t - 1, [earlier, *gone]
    return (
        f"The weights of {model_id(int(folder.name))} were removed on {pruned_since(folder)[:10]}, as "
        f"storage.keep_policies says. To train it again, remove {' and '.join(map(_to_remove, gone))}; `mr run` then "
        "makes what is missing."
    )


def _to_remove(folder: Path) -> str:
    """What a person removes to have a model made again: its folder; where a store has the model, its record there."""
    store = store_of(folder)
    return store.address(folder / "complete.json") if store else str(folder)


def damaged_files(record_path: Path, record: Record) -> str:
    """What is wrong with the files of a model's folder by their sizes, in words; "" if nothing is."""
    found = (damage_of(record_path.parent / name, note, record_path.parent) for name, note in record.files.items())
    return next(filter(None, found), "")
