"""A model's folder held against what was recorded, and what is said of one that is damaged or pruned."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.files import fingerprint, note_of
from mr_assets.runs.artifact import Model, damaged_files, pruned_since, said_of_pruned
from mr_assets.runs.object_store import MARKER
from mr_assets.runs.record import Record
from mr_assets_tests.tiny import model_folder

WEIGHTS = "model.safetensors"


def recorded(folder: Path, files: tuple[str, ...] = (), pruned: str = "") -> Record:
    """A record of a model in its folder, with notes of some of its files."""
    notes = {name: note_of(folder / name, content=False) for name in files}
    record = Record("checkpoints", folder.name, "v", "a run", "2024-07-28T00:00:00+00:00", 1.5, {}, {}, files=notes)
    record = replace(record, pruned=pruned)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "complete.json").write_text(json.dumps(asdict(record)))
    return record


def refused(model: Model, data: Path) -> str:
    with pytest.raises(UserError) as error:
        model.check(data)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("seed", "If the seed model was changed on purpose, materialize sft_checkpoint again."),
        ("M0", "or remove the folder and materialize sft_checkpoint again (`mr run` does)."),
        ("M12", "or remove the folder and materialize checkpoints of iteration 12 again (`mr run` does)."),
    ],
)
def test_a_model_whose_content_is_another_is_damaged(tmp_path: Path, name: str, again: str) -> None:
    """One byte of the weights, at the same size: both fingerprints are named, and what to do."""
    folder = model_folder(tmp_path / "m")
    was = fingerprint(folder)
    model = Model("m", was, name)
    model.check(tmp_path)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1] + b"?")
    said = refused(model, tmp_path)
    assert said.startswith(f"{name} is damaged: {folder} is not what was recorded. Expected the fingerprint {was}, ")
    assert f"found {fingerprint(folder)}. Restore its files" in said
    assert said.endswith(again)


def test_of_a_store_the_record_there_is_what_has_a_model_made_again(tmp_path: Path) -> None:
    """A folder that is removed would be fetched again, a damaged one and one whose weights were removed."""
    (tmp_path / MARKER).write_text('{"url": "s3://bucket/runs"}')
    folder = model_folder(tmp_path / "a" / "checkpoints" / "2")
    again = "s3://bucket/runs/a/checkpoints/2/complete.json"
    assert refused(Model("a/checkpoints/2", "f00d", "M2"), tmp_path).endswith(
        f"Remove the folder: it is fetched again. If it is damaged in the store, too, remove {again} and materialize "
        "checkpoints of iteration 2 again (`mr run` does)."
    )
    recorded(folder, pruned="2024-08-01T10:00:00+00:00")
    assert said_of_pruned(folder).endswith(f"To train it again, remove {again}; `mr run` then makes what is missing.")


def test_a_damaged_file_is_told_beside_the_fingerprints(tmp_path: Path) -> None:
    """The weights are cut off: the record has their size, 72 bytes."""
    folder = model_folder(tmp_path / "m")
    model = Model("m", fingerprint(folder), "M1")
    recorded(folder, (WEIGHTS,))
    model.check(tmp_path)
    (folder / WEIGHTS).write_bytes(b"half")
    told = f"found {fingerprint(folder)}; {folder / WEIGHTS} has 4 bytes, 72 were written. Restore its files"
    assert told in refused(model, tmp_path)


def test_a_folder_that_is_gone_cannot_be_read(tmp_path: Path) -> None:
    told = f"Expected the fingerprint f00d, found what cannot be read ([Errno 2] No such file or directory: '{tmp_path}"
    assert told in refused(Model("gone", "f00d", "M1"), tmp_path)


def test_the_first_damaged_file_of_a_record_is_told(tmp_path: Path) -> None:
    """In the record's order and by sizes alone: another content of the same size is none of its matter."""
    folder = model_folder(tmp_path / "m")
    place, record = folder / "complete.json", recorded(folder, ("config.json", WEIGHTS))
    (folder / WEIGHTS).write_bytes(bytes(72))
    assert damaged_files(place, record) == ""
    (folder / WEIGHTS).write_bytes(b"half")
    assert damaged_files(place, record) == f"{folder / WEIGHTS} has 4 bytes, 72 were written"
    (folder / "config.json").unlink()
    assert damaged_files(place, record) == f"{folder / 'config.json'} is not there"
    assert damaged_files(place, replace(record, files={})) == ""


def test_since_when_a_model_is_pruned(tmp_path: Path) -> None:
    """Its record says so; without a record it is not."""
    assert pruned_since(tmp_path / "1") == ""
    recorded(tmp_path / "1")
    assert pruned_since(tmp_path / "1") == ""
    recorded(tmp_path / "1", pruned="2024-08-01T10:00:00+00:00")
    assert pruned_since(tmp_path / "1") == "2024-08-01T10:00:00+00:00"


def test_a_pruned_model_is_trained_again_from_the_last_one_with_weights(tmp_path: Path) -> None:
    """M1 has its weights, M2 to M4 have none: for M4 all three folders have to go, the first one first."""
    recorded(tmp_path / "1")
    for t, day in (("2", "01"), ("3", "02"), ("4", "03")):
        recorded(tmp_path / t, pruned=f"2024-08-{day}T10:00:00+00:00")
    two, three, four = (tmp_path / t for t in "234")
    assert said_of_pruned(four) == (
        "The weights of M4 were removed on 2024-08-03, as storage.keep_policies says. To train it again, remove "
        f"{two} and {three} and {four}; `mr run` then makes what is missing."
    )
    assert f"remove {two}; `mr run`" in said_of_pruned(two)
    assert refused(Model("4", "f00d", "M4"), tmp_path) == said_of_pruned(four)
