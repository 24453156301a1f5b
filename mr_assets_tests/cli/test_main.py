"""The command `mr`: its help, JSON for programs, and no text that acts on a terminal, whichever command prints it."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mr_assets.cli.main import main
from mr_assets.runs.run import Run
from mr_assets.runs.status import places
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Mr, as_json, worked
from mr_assets_tests.tiny import NAME, complete, tiny_run

HOSTILE = "[red]T[/] [/] \x1b[2J\u202e\x07 [bold"


def test_help_begins_with_what_it_is(mr: Mr) -> None:
    said = worked(mr("--help"))
    for command in ("run", "status", "report", "compare", "recipes", "runs", "ui"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE)
    assert "Meta-Rewarding language models" in said
    assert worked(mr("run", "-h")).count("mr run small_world_meta_rewarding") >= 3


@pytest.mark.parametrize("command", [["status"], ["status", "tiny"], ["report", "tiny"], ["runs"]])
def test_json_is_alone_on_standard_output(mr: Mr, done: Run, command: list[str]) -> None:
    """Also where a figure is no number, and beside a folder that cannot be read."""
    record = complete(done, "evaluation", "1")
    path = done.record_path("evaluation", "1")
    path.write_text(json.dumps(asdict(replace(record, numbers={"true_score": float("nan")}))))
    (done.data / "other").mkdir()
    (done.data / "other" / "recipe.yaml").write_text(f"title: {{{HOSTILE!r}")
    found = as_json(mr(*command, "--json"))
    if command[0] == "report":
        assert next(m for m in found["models"] if m["model"] == "M1")["true_score"] is None


def test_json_where_there_is_no_run(mr: Mr) -> None:
    for command in ("status", "runs", "pairs"):
        assert as_json(mr(command, "--json")) == []


COMMANDS = [
    *(["status"], ["report", "tiny"], ["runs"], ["pairs"], ["compare", "tiny"], ["verify", "tiny"], ["trace", "M1"]),
    *(["recipes", "MINE"], ["run", "MINE", "--dry-run"], ["status", HOSTILE], ["trace", HOSTILE], [HOSTILE]),
    *(["run", f"{HOSTILE}.yaml"], ["run", NAME, "--set", HOSTILE], ["status", f"--{HOSTILE}"], ["runs", HOSTILE]),
    *(["run", NAME, "--name", HOSTILE], ["status", "tiny", HOSTILE], ["report", HOSTILE], ["compare", HOSTILE]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: ascii(" ".join(command))[:20])
def test_titles_names_and_paths_do_not_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """In the data folder's path, the title, the description, in what is asked for, and in what cannot be read."""
    data = tmp_path / HOSTILE
    data.mkdir(parents=True)
    monkeypatch.setenv("MR_DATA", str(data))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    tiny = tiny_run(data)
    run = replace(tiny, recipe=tiny.recipe.model_copy(update={"title": HOSTILE, "description": HOSTILE}))
    save(run)
    for asset, partition in places(run):
        complete(run, asset, partition)
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"extends: {NAME}\ntitle: {json.dumps(HOSTILE)}\ndescription: {json.dumps(HOSTILE)}\n")
    (data / "other").mkdir()
    (data / "other" / "recipe.yaml").write_text(json.dumps({"title": HOSTILE}))
    for columns in ("80", "60"):
        monkeypatch.setenv("COLUMNS", columns)
        result = CliRunner().invoke(main, [str(mine) if word == "MINE" else word for word in command])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for line in result.output.split("\n"):
            assert line.isprintable(), line
        if command[0] in ("status", "runs", "recipes") and result.exit_code == 0:
            assert "[red]T[/] [/] \\x1b[2J" in " ".join(result.output.split())


def test_a_note_about_a_run_that_cannot_be_read_does_not_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of the data folder is in it; it goes to standard error."""
    other = tmp_path / HOSTILE / "other"
    other.mkdir(parents=True)
    (other / "recipe.yaml").write_text("title: x")
    monkeypatch.setenv("MR_DATA", str(tmp_path / HOSTILE))
    result = CliRunner().invoke(main, ["runs"])
    assert "run other is left out: " in result.stderr
    assert "\\x1b[2J" in result.stderr
    assert all(line.isprintable() for line in result.stderr.split("\n"))
