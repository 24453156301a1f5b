"""Stored runs: which there are, renamed, copied, unreadable and removed ones."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.runs.run import Run
from mr_assets.runs.stored import all_runs, load_run, remove_run, save, stored_runs
from mr_assets_tests.runs.conftest import states
from mr_assets_tests.tiny import NAME, files


def test_a_stored_recipe_reads_back_with_its_family(run: Run) -> None:
    """The tiny run's family has a hash, as it changes the number of prompts."""
    save(run)
    stored = stored_runs(run.data)["tiny"]
    assert (stored.name, stored.recipe, stored.family) == ("tiny", run.recipe, run.family)
    assert run.family.startswith("small_world_")


def test_a_launched_run_keeps_its_family(run: Run) -> None:
    """The family's plain recipe may change afterwards; the run's seed prompts and M_0 stay where they were made."""
    save(replace(run, launched_family="small_world_before"))
    stored = stored_runs(run.data)["tiny"]
    assert stored.family == "small_world_before"
    assert stored.path("sft_checkpoint") == run.data / "small_world_before" / "sft_checkpoint"


def test_a_recipe_that_a_person_put_there_has_no_family_line(run: Run) -> None:
    run.folder.mkdir()
    (run.folder / "recipe.yaml").write_text(run.recipe.dump_yaml(), encoding="utf-8")
    assert stored_runs(run.data)["tiny"].family == run.family


@pytest.mark.parametrize("content", [b"", b"title: [", b"\xff", b"title: 1", b"[" * 9999, None])
def test_an_unreadable_stored_recipe_hides_its_run_alone(
    run: Run, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    save(run)
    broken = run.data / "broken" / "recipe.yaml"
    broken.parent.mkdir()
    broken.mkdir() if content is None else broken.write_bytes(content)
    assert list(stored_runs(run.data)) == ["tiny"]
    assert "run broken is left out" in caplog.text


def test_all_runs_are_the_launched_and_the_shipped_ones(run: Run) -> None:
    """A launched run takes the place of the shipped recipe of its name."""
    changed = load_run(NAME, sets=("dpo.beta=0.2",), data=run.data)
    for each in (run, changed):
        save(each)
    found = {r.name: r for r in all_runs(run.data)}
    assert {"tiny", NAME, "llama_3_8b_meta_rewarding"} <= set(found)
    assert found[NAME].recipe == changed.recipe


def test_a_variant_is_shown_once_it_is_launched(run: Run) -> None:
    """So that the UI is not full of what few people run."""
    variant = "llama_3_8b_meta_rewarding_8_h100"
    assert variant not in {r.name for r in all_runs(run.data)}
    save(load_run(variant, data=run.data))
    assert variant in {r.name for r in all_runs(run.data)}


@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_runs_folder_may_be_renamed_or_copied(done: Run, how: str) -> None:
    """Everything is as it was; its own models are where the folder is now, the family's where they were."""
    save(done)
    other = done.folder.with_name("other")
    done.folder.rename(other) if how == "renamed" else shutil.copytree(done.folder, other)
    run = stored_runs(done.data)["other"]
    assert states(run) == {}
    paths = {place: record.model["path"] for place in MODELS if (record := run.record(*place)) and record.model}
    assert paths == {
        ("sft_checkpoint", None): f"{run.family}/sft_checkpoint",
        ("policy", "1"): f"{run.family}/sft_checkpoint",
        ("checkpoints", "1"): "other/checkpoints/1",
        ("policy", "2"): "other/checkpoints/1",
        ("checkpoints", "2"): "other/checkpoints/2",
    }


MODELS = (("sft_checkpoint", None), ("policy", "1"), ("checkpoints", "1"), ("policy", "2"), ("checkpoints", "2"))


def test_removing_a_run_leaves_the_family_alone(done: Run) -> None:
    save(done)
    other = replace(done, name="tiny_2")
    save(other)
    remove_run(done)
    assert sorted(p.name for p in done.data.iterdir()) == sorted([done.family, "tiny_2"])
    assert done.record("sft_checkpoint") is not None
    assert list(stored_runs(done.data)) == ["tiny_2"]
    remove_run(done)  # once more is no error


def test_a_removal_that_was_killed_is_taken_up(done: Run) -> None:
    """What is left of it is no run, and does not stand in the way of the next removal."""
    left = done.data / ".removed-tiny"
    left.mkdir()
    (left / "recipe.yaml").write_text(done.recipe.dump_yaml(), encoding="utf-8")
    save(done)
    assert list(stored_runs(done.data)) == ["tiny"]
    remove_run(done)
    assert sorted(p.name for p in done.data.iterdir()) == [done.family]


def test_a_run_of_a_bad_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lower-case"):
        load_run(NAME, name="Tiny Run", data=tmp_path)
    assert files(tmp_path) == {}
