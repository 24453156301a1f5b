"""Files that are whole or not there."""

import os
import sqlite3
import time
from dataclasses import replace
from errno import EACCES, ENOSPC, EROFS
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from mr_assets import files as module
from mr_assets.errors import UserError
from mr_assets.files import (
    TEMPORARY,
    atomically,
    fingerprint,
    fingerprint_like,
    full_disk,
    remembered_fingerprint,
    storage_trouble,
    sweep_temporary,
    temporary_beside,
    write_json,
)
from mr_assets.processes import Worker
from mr_assets.runs.artifact import Model
from mr_assets_tests.tiny import files, model_folder

NO_SUCH_PROCESS = 2**30  # beyond what Linux gives out


def test_a_file_is_written_into_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    """And nothing but the file is left."""
    write_json(tmp_path / "a" / "b.json", {"letter": "é"})
    assert files(tmp_path) == {"a/b.json": '{\n "letter": "é"\n}\n'.encode()}


@pytest.mark.parametrize("error", [RuntimeError("stopped"), KeyboardInterrupt(), PermissionError("not yours")])
def test_an_exception_midway_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    """Half of the new content was written: the old file is whole, the temporary one is gone, the error is passed on."""
    path = tmp_path / "table"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(type(error)):
        atomically(path, write)
    assert files(tmp_path) == {"table": b"old"}


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """The temporary file lies beside it, under a name with a dot."""
    path = tmp_path / "table"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert path.read_text() == "old"

    atomically(path, write)
    assert files(tmp_path) == {"table": b"new"}


def test_a_full_disk_is_the_users_to_mend(tmp_path: Path) -> None:
    """The message says what was written, how much is free, and that what was complete is untouched."""
    path = tmp_path / "table"
    path.write_text("old")

    def write(temporary: Path) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"no space left .*table \(\d+ MiB free\).* free some space"):
        atomically(path, write)
    assert files(tmp_path) == {"table": b"old"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("lazy", [False, True])
def test_a_full_disk_is_recognised_in_polars_errors(tmp_path: Path, lazy: bool) -> None:
    """Polars raises an error of its own, which is no OSError."""
    frame = pl.DataFrame({"n": range(10)})
    full = Path("/dev/full")
    with pytest.raises(UserError, match="no space left"):
        atomically(tmp_path / "t", lambda _: frame.lazy().sink_parquet(full) if lazy else frame.write_parquet(full))


def test_only_dead_writers_are_swept(tmp_path: Path) -> None:
    """A temporary file's name has its writer: host, boot, process id, start. Another host's may live."""
    me = Worker.of(os.getpid())
    dead = [replace(me, pid=NO_SUCH_PROCESS), replace(me, ticks=1), replace(me, boot="of-an-earlier-day")]
    living = [me, replace(me, host="gpu-07"), replace(me, host="gpu-07", boot="another", pid=NO_SUCH_PROCESS)]
    for writer in (*dead, *living):
        temporary_beside(tmp_path / "1.parquet", writer).write_text("")
    temporary_beside(tmp_path / "2", dead[0]).mkdir()
    (tmp_path / "1.parquet").write_text("")
    sweep_temporary(tmp_path)
    stay = [temporary_beside(tmp_path / "1.parquet", writer) for writer in living]
    assert sorted(tmp_path.iterdir()) == sorted([*stay, tmp_path / "1.parquet"])


@pytest.mark.parametrize("name", ["of another host", f"{TEMPORARY}41213-2.parquet"])
def test_what_nobody_here_can_look_up_is_swept_a_day_after_its_last_write(tmp_path: Path, name: str) -> None:
    """Another host's process, and one of an earlier version, whose files named no host."""
    other = replace(Worker.of(os.getpid()), host="gpu-07", pid=NO_SUCH_PROCESS)
    path = tmp_path / name if name.startswith(TEMPORARY) else temporary_beside(tmp_path / "2.parquet", other)
    path.write_text("")
    for hours, there in ((0, True), (23, True), (25, False)):
        written = time.time() - hours * 3600
        os.utime(path, (written, written))
        sweep_temporary(tmp_path)
        assert path.exists() == there


def test_a_temporary_name_is_no_longer_than_a_name_may_be(tmp_path: Path) -> None:
    """On a host whose name has the 64 characters that Linux allows."""
    writer = Worker("h" * 64, 4194304, "8a52c0de-1f6e-4c55-9b1b-0a4f6d1d2a77", 2**63)
    temporary_beside(tmp_path / ("n" * 255), writer).touch()


def test_sweeping_a_folder_that_is_not_there(tmp_path: Path) -> None:
    sweep_temporary(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors"]
)
def test_the_fingerprint_changes_with_every_byte(tmp_path: Path, name: str) -> None:
    """The last byte of any file that shapes what the model says, at the same length."""
    before = fingerprint(model_folder(tmp_path))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert fingerprint(tmp_path) != before


def test_the_fingerprint_is_of_content_alone(tmp_path: Path) -> None:
    """Not of the folder's name, the record, the training's log, or times; a file moved under another name counts."""
    first, second = model_folder(tmp_path / "a"), model_folder(tmp_path / "b")
    before = fingerprint(first)
    write_json(first / "complete.json", {"version": 1})
    (first / "training_log.jsonl").write_text("{}")
    os.utime(first / "config.json", (0, 0))
    assert fingerprint(first) == fingerprint(second) == before
    (second / "chat_template.jinja").rename(second / "other.jinja")
    assert fingerprint(second) != before


def test_a_file_has_a_fingerprint_too(tmp_path: Path) -> None:
    """Of its name and content."""
    path = tmp_path / "prompts.txt"
    path.write_text("one")
    first = fingerprint(path)
    path.write_text("two")
    assert fingerprint(path) != first
    path.write_text("one")
    assert fingerprint(path) == first


@pytest.mark.parametrize("size", [8, 9, 16, 17, 40])
def test_every_byte_of_a_file_in_chunks_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """So does the order of the chunks; how they are read does not."""
    monkeypatch.setattr(module, "CHUNK", 8)
    path, content = tmp_path / "model.safetensors", bytes(range(size))
    path.write_bytes(content)
    before = fingerprint(path)
    for at in range(size):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert fingerprint(path) != before
    path.write_bytes(content[8:] + content[:8])
    assert (fingerprint(path) == before) == (size == 8)
    path.write_bytes(content)
    monkeypatch.setattr(module, "BLOCK", 3)
    assert fingerprint(path) == before


def test_a_fingerprint_of_an_earlier_version_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hashed a file of any size in one piece, as files of one chunk are still; another content is another's."""
    folder = model_folder(tmp_path / "m")
    in_one_piece = fingerprint(folder)
    monkeypatch.setattr(module, "CHUNK", 8)
    assert fingerprint(folder) != in_one_piece
    assert fingerprint_like(in_one_piece, folder) == in_one_piece
    assert fingerprint_like(fingerprint(folder), folder) == fingerprint(folder)
    Model("m", in_one_piece, "M1").check(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert fingerprint_like(in_one_piece, folder) == fingerprint(folder)
    with pytest.raises(UserError, match="M1 is damaged"):
        Model("m", in_one_piece, "M1").check(tmp_path)


def test_a_large_files_fingerprint_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when its size or its time of writing differs; small ones leave no note. A broken note is no harm."""
    path, notes = tmp_path / "model.bin", tmp_path / "notes.json"
    path.write_bytes(b"abc")
    assert remembered_fingerprint(path, notes) == fingerprint(path)
    assert not notes.exists()
    monkeypatch.setattr(module, "WORTH_A_NOTE", 3)
    first = remembered_fingerprint(path, notes)
    assert first == fingerprint(path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "fingerprint", lambda path: pytest.fail("computed again"))
        assert remembered_fingerprint(path, notes) == first
    path.write_bytes(b"abcd")
    second = remembered_fingerprint(path, notes)
    assert second == fingerprint(path) != first
    os.utime(path, ns=(0, 0))
    assert remembered_fingerprint(path, notes) == second
    notes.write_text("{")
    assert remembered_fingerprint(path, notes) == second


def test_what_a_disk_refuses_is_told_wherever_it_comes_up() -> None:
    """Of SQLite, of a library's own error, behind another error; any other error is none of the disk's."""
    behind = RuntimeError("the step failed")
    behind.__cause__ = sqlite3.OperationalError("database or disk is full")
    library = RuntimeError("I/O error: No space left on device (os error 28)")
    for error in (behind, library, OSError(ENOSPC, "No space left on device")):
        assert storage_trouble(error).startswith("no space left on disk")
    denied = PermissionError(EACCES, "Permission denied", "/data/x")
    read_only = sqlite3.OperationalError("attempt to write a readonly database")
    assert "/data/x cannot be read or written" in storage_trouble(denied)
    assert "set MR_DATA" in storage_trouble(read_only)
    in_history = storage_trouble(sqlite3.OperationalError("database or disk is full"), database=Path("/data/.dagster"))
    assert in_history.startswith("no space left on disk while writing /data/.dagster (")
    denied_there = type("InsufficientPrivilege", (Exception,), {})("permission denied for schema public\nLINE 2")
    assert "permission denied for schema public LINE 2 Let the user" in storage_trouble(denied_there)
    for other in (ValueError("x"), sqlite3.OperationalError("no such table: runs"), FileNotFoundError(2, "no")):
        assert storage_trouble(other) == ""


def test_a_disk_is_full_below_a_mebibyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder that is not there yet, it is the disk of the nearest one that is."""
    place = tmp_path / "not" / "there"
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free={tmp_path: 2**20}[path]))
    assert full_disk(place) == ""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free={tmp_path: 2**20 - 1}[path]))
    assert full_disk(place).startswith(f"no space left on disk while writing {place} (1 MiB free). ")


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        raise OSError(EROFS, "Read-only file system", str(temporary))

    with pytest.raises(UserError, match=r"table cannot be read or written: .*set MR_DATA"):
        atomically(tmp_path / "table", write)
