"""`mr runs`, `mr runs remove` and `mr recipes`: what is listed, and what is removed."""

import os
import re
import shutil
from pathlib import Path

import pytest

from mr_assets.recipes.fields import described
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.recipes.sets import PATHS
from mr_assets.runs.run import Run
from mr_assets.runs.stored import all_runs, save, stored_and_unreadable_runs, stored_runs
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said, worked
from mr_assets_tests.tiny import NAME, complete, files


def test_recipes_are_listed_with_their_titles(mr: Mr) -> None:
    lines = worked(mr("recipes")).splitlines()
    assert [line.split()[0] for line in lines] == list_recipes()
    assert "Meta-Rewarding in the small world" in next(line for line in lines if line.startswith(NAME))


def test_no_runs_yet(mr: Mr, data: Path) -> None:
    assert "No run yet. Start one: mr run" in worked(mr("status"))
    assert "runs" in worked(mr("runs"))
    assert files(data) == {}


def test_runs_are_listed(mr: Mr, launched: Run) -> None:
    assert re.search(r"tiny .*Meta-Rewarding in the small world .*1 of 2 .*MiB", said(mr("runs")))


def test_a_run_is_removed_after_a_question(mr: Mr, data: Path, launched: Run) -> None:
    """No leaves it, yes removes it; its family stays."""
    before = files(data)
    assert mr("runs", "remove", "tiny", answer="n\n").exit_code != 0
    assert files(data) == before
    assert "Removed tiny." in worked(mr("runs", "remove", "tiny", answer="y\n"))
    assert {name.split("/")[0] for name in files(data)} == {launched.family, ".dagster"}
    save(launched)
    assert worked(mr("runs", "remove", "tiny", "--yes")) == "Removed tiny.\n"
    assert stored_runs(data) == {}


def test_folders_that_no_run_can_be_called_are_passed_over(mr: Mr, data: Path, launched: Run) -> None:
    """With one note each; every command goes on as if they were not there."""
    names = ["tiny.bak", "tiny bak", "Tiny", "tiny-2", "x\ny", "[red]", "\x1b[2J"]
    for name in names:
        shutil.copytree(launched.folder, data / name)
    for command in (("status", "tiny"), ("runs",), ("report", "tiny"), ("run", NAME, "--name", "tiny", "--dry-run")):
        assert worked(mr(*command)).count("tiny:") or command == ("runs",)
    runs, unreadable = stored_and_unreadable_runs(data)
    assert (list(runs), sorted(unreadable)) == (["tiny"], sorted(names))
    assert [run.name for run in all_runs(data)].count("tiny") == 1
    assert worked(mr("runs", "remove", "tiny", "--yes")) == "Removed tiny.\n"
    assert all((data / name / "recipe.yaml").exists() for name in names)


def test_what_else_lies_in_the_data_folder_is_no_harm(mr: Mr, data: Path, launched: Run) -> None:
    """Files, links to nowhere, a copy inside a run, pipes where nobody writes."""
    (data / "file").write_text("")
    (data / "lost").symlink_to(data / "nowhere")
    shutil.copytree(launched.folder, launched.folder / "tiny_bak")
    os.mkfifo(data / "pipe")
    (data / "piped").mkdir()
    os.mkfifo(data / "piped" / "recipe.yaml")
    assert "tiny" in worked(mr("status", "tiny"))
    assert list(stored_runs(data)) == ["tiny"]


def test_of_a_link_the_link_is_removed(mr: Mr, data: Path, tmp_path: Path, launched: Run) -> None:
    """What it points at is untouched, byte for byte."""
    target = tmp_path / "elsewhere"
    launched.folder.rename(target)
    (data / "tiny").symlink_to(target)
    before = files(target)
    assert worked(mr("runs", "remove", "tiny", "--yes")) == "Removed tiny.\n"
    assert not (data / "tiny").is_symlink()
    assert files(target) == before


@pytest.mark.parametrize("command", [["status"], ["report"], ["runs", "remove"]])
def test_an_unknown_run(refused: Refused, command: list[str], launched: Run) -> None:
    assert "there is no run 'tny'. Runs: tiny." in refused(*command, "tny")


@pytest.mark.parametrize("command", [["status"], ["report"], ["runs", "remove"]])
def test_an_unknown_run_where_there_is_none(refused: Refused, command: list[str]) -> None:
    assert "there is no run 'tiny'. Runs: none yet." in refused(*command, "tiny")


def test_an_iteration_that_is_stale_is_not_complete(mr: Mr, done: Run) -> None:
    assert re.search(r"tiny .* 2 of 2 ", said(mr("runs")))
    complete(done, "judgments", "2", version="v2")
    assert re.search(r"tiny .* 1 of 2, 1 stale ", said(mr("runs")))
    [found] = as_json(mr("runs", "--json"))
    assert (found["run"], found["iterations"], found["complete"], found["stale"]) == ("tiny", 2, 1, 1)


def test_a_recipe_is_listed_with_values_ranges_and_meanings(mr: Mr) -> None:
    """Every key that --set takes, once."""
    fields = as_json(mr("recipes", NAME, "--json"))["fields"]
    found = {field["key"]: field for field in fields}
    sections = {each.key for each in described(load_recipe(NAME)) if each.is_section}
    assert set(found) | sections == set(PATHS)
    assert all(field["meaning"] for field in fields)
    assert found["dpo.beta"]["value"] == load_recipe(NAME).dpo.beta
    assert found["dpo.beta"]["allowed"] == "a number > 0"
    assert found["switches.cut_off"]["allowed"] == "never_chosen or eligible"
    assert found["prompts.count"]["allowed"] == "a whole number >= 1, or null"
    assert found["iterations.*.judge_training"]["value"] == [True, True, False, False]
    shown = said(mr("recipes", NAME))
    assert re.search(r"^  dpo\.beta = \S+  \(a number > 0\)\n +DPO's beta", shown, re.MULTILINE)
    assert "iterations.*.judge_training = true, true, false, false  (true or false)" in shown


def test_recipes_as_json(mr: Mr) -> None:
    assert [each["recipe"] for each in as_json(mr("recipes", "--json"))] == list_recipes()


def test_an_unknown_recipe_has_no_fields(mr: Mr) -> None:
    result = mr("recipes", "small_wrld")
    assert result.exit_code == 1
    assert "Did you mean small_world" in result.output
