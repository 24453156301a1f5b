"""Records: read back, of earlier and later versions, broken ones."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.runs.record import read_record, write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overridden, overrides_of
from mr_assets.runs.status import state
from mr_assets_tests.runs.conftest import states
from mr_assets_tests.tiny import complete


def test_a_record_of_before_there_were_overrides_still_loads(run: Run) -> None:
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    old = json.loads(path.read_text())
    del old["overrides"], old["code"]
    path.write_text(json.dumps(old))
    assert state(run, "seed_prompts") == "done"


def test_a_record_that_calls_overrides_chosen_is_read(done: Run) -> None:
    """As version 0.1 wrote it; what writes it again gives it the present name."""
    overrides = {"rho": 0.3}
    complete(overridden(done, "actor_pairs", "2", overrides), "actor_pairs", "2")
    path = done.record_path("actor_pairs", "2")
    old = json.loads(path.read_text())
    del old["overrides"]
    path.write_text(json.dumps(old | {"chosen": overrides}))
    record = read_record(path)
    assert record is not None
    assert (record.overrides, record.unknown) == (overrides, {})
    assert overrides_of(done, "actor_pairs", "2") == overrides
    assert states(done) == {}
    write_record(path, record)
    written = json.loads(path.read_text())
    assert (written["overrides"], "chosen" in written) == (overrides, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asset": "responses"}', '{"unknown": 1}', "null"])
def test_a_broken_record_is_none(tmp_path: Path, text: str) -> None:
    """Then what it stood beside is not complete."""
    path = tmp_path / "1.json"
    path.write_text(text)
    assert read_record(path) is None
    assert read_record(tmp_path) is None


def test_what_a_later_version_notes_is_kept(run: Run) -> None:
    """A field that this version does not know makes a record neither missing nor poorer."""
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    later = json.loads(path.read_text()) | {"signed_by": {"name": "Ada"}, "cost": 3}
    path.write_text(json.dumps(later))
    record = run.record("seed_prompts")
    assert record is not None
    assert state(run, "seed_prompts") == "done"
    write_record(path, replace(record, seconds=2.0))
    assert {k: json.loads(path.read_text())[k] for k in ("signed_by", "cost", "seconds")} == {
        "signed_by": {"name": "Ada"},
        "cost": 3,
        "seconds": 2.0,
    }


@pytest.mark.parametrize("field", [{"inputs": []}, {"settings": 1}, {"asset": None}, {"model": {"path": 1}}])
def test_a_record_with_a_field_of_another_kind_is_none(run: Run, field: dict[str, object]) -> None:
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    path.write_text(json.dumps(json.loads(path.read_text()) | field))
    assert read_record(path) is None


def test_a_record_reads_back_as_it_was_written(run: Run) -> None:
    complete(run, "seed_prompts")
    record = complete(run, "prompts", "1")
    write_record(run.record_path("prompts", "1"), record)
    assert record.inputs == {"seed_prompts": "v1"}
    assert run.record("prompts", "1") == record


def test_a_record_is_read_once_and_again_when_its_file_is_another(done: Run) -> None:
    """Also if the other has as many bytes and the same time of writing."""
    path = done.record_path("actor_pairs", "1")
    text = path.read_text(encoding="utf-8")
    os.utime(path, ns=(10**18, 10**18))
    first = read_record(path)
    assert first is not None and read_record(path) is first
    path.write_text(text.replace('"v1"', '"v2"'), encoding="utf-8")
    os.utime(path, ns=(10**18, 10**18))
    second = read_record(path)
    assert second is not None and (first.version, second.version) == ("v1", "v2")
