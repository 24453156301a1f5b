"""What the commands show of runs and recipes: what is stale says so, JSON is JSON alone, hostile titles do not act."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from mr_assets.cli.main import main
from mr_assets.cli.status import statuses
from mr_assets.orchestration.instance import instance
from mr_assets.processes import TAG, Worker
from mr_assets.recipes.fields import described
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.recipes.overrides import PATHS
from mr_assets.runs.progress import Progress, forget, note, noted
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import places
from mr_assets.runs.stored import save
from mr_assets_tests.tiny import NAME, complete, tiny_run

Mr = Callable[..., Result]
HOSTILE = "[red]T[/] [/] \x1b[2J\u202e\x07 [bold"
RANGE = {"dagster/partition": "2"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return tmp_path


@pytest.fixture
def mr(data: Path) -> Mr:
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def done(data: Path, fresh_home: Path) -> Run:
    """A run of which everything has its record; the tables themselves are not there."""
    shutil.copytree(fresh_home, data / ".dagster")
    run = tiny_run(data)
    save(run)
    for asset, partition in places(run):
        complete(run, asset, partition)
    return run


def said(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def as_json(result: Result) -> Any:
    """What is on standard output, which is JSON by the letter and nothing else."""
    return json.loads(said(result), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# -------------------------------------------------------------------------------------------------------------- stale


def test_scores_of_a_model_that_was_trained_again_say_so(mr: Mr, done: Run) -> None:
    """M1 was trained again after it was evaluated: its scores are of another model, and M2 came of the old one."""
    assert "out of date" not in said(mr("report", "tiny"))
    complete(done, "checkpoints", "1", version="v2")
    shown = said(mr("report", "tiny"))
    learnt = shown.partition("preference pairs")[0]
    assert re.search(r"M1, out of date", learnt)
    assert re.search(r"M2, out of date", learnt)
    assert not re.search(r"(seed|M0), out of date", learnt)
    assert "  evaluation of M1: checkpoints of iteration 1 changed\n" in shown
    models = as_json(mr("report", "tiny", "--json"))["models"]
    assert [(m["model"], bool(m["stale"])) for m in models] == [
        ("seed", False),
        ("M0", False),
        ("M1", True),
        ("M2", True),
    ]


def test_pairs_and_times_that_are_out_of_date_say_so(mr: Mr, done: Run) -> None:
    complete(done, "judgments", "2", version="v2")
    shown = said(mr("report", "tiny")).partition("preference pairs")[2]
    assert shown.count("2, out of date") >= 2  # pairs and seconds
    assert "1, out of date" not in shown
    found = as_json(mr("report", "tiny", "--json"))
    assert [bool(p["stale"]) for p in found["pairs"]] == [False, True]
    assert {s["asset"] for s in found["seconds"] if s["stale"]} >= {"actor_pairs", "dpo_dataset", "checkpoints"}


def test_an_iteration_that_is_out_of_date_is_not_complete(mr: Mr, done: Run) -> None:
    assert re.search(r"tiny .* 2 of 2 ", said(mr("runs")))
    complete(done, "judgments", "2", version="v2")
    assert re.search(r"tiny .* 1 of 2, 1 out of date ", said(mr("runs")))
    [found] = as_json(mr("runs", "--json"))
    assert (found["run"], found["iterations"], found["complete"], found["out_of_date"]) == ("tiny", 2, 1, 1)


def test_status_has_a_star_where_something_behind_is_out_of_date(mr: Mr, done: Run) -> None:
    complete(done, "judgments", "1", version="v2")
    rows = {line.split()[1]: line for line in said(mr("status", "tiny")).splitlines() if line.startswith("│")}
    assert rows["actor_pairs"].count("out of date") == 1
    assert rows["checkpoints"].count("done *") == 2
    assert "*" not in rows["judgments"].split("│")[3]
    found = {(a["asset"], a["partition"]): a for a in as_json(mr("status", "tiny", "--json"))["artifacts"]}
    assert found["actor_pairs", "1"]["state"] == "out of date"
    assert found["checkpoints", "2"]["stale"] == "comes of dpo_dataset of iteration 1, which is out of date"


# --------------------------------------------------------------------------------------------- failed, running, stopped


def dagster_run(run: Run, status: dg.DagsterRunStatus, worker: Worker, *assets: str) -> str:
    run_id = make_new_run_id()
    with instance() as history:
        create_run_for_test(
            history,
            run_id=run_id,
            status=status,
            asset_selection=frozenset(dg.AssetKey([run.namespace(each), each]) for each in assets),
            tags={TAG: worker.tag(run_id), **RANGE},
        )
    return run_id


def test_status_names_a_dagster_run_that_died(mr: Mr, data: Path) -> None:
    """Which artifact, which Dagster run, when, and the first line of why."""
    run = tiny_run(data)
    save(run)
    dead = dagster_run(run, dg.DagsterRunStatus.STARTED, replace(Worker.of(os.getpid()), ticks=1), "responses")
    shown = said(mr("status", "tiny"))
    assert "failed, and not made since" in shown
    [line] = [line for line in shown.splitlines() if line.startswith("  responses, iteration 2: ")]
    assert "has ended without a word" in line
    assert f"Dagster run {dead}" in line
    assert re.search(r"\d\d:\d\d", line)
    found = {(a["asset"], a["partition"]): a for a in as_json(mr("status", "tiny", "--json"))["artifacts"]}
    assert found["responses", "2"]["state"] == "failed"
    assert found["responses", "2"]["attempt"]["dagster_run"] == dead
    complete(run, "responses", "2")
    record = run.record("responses", "2")
    assert record is not None
    write_record(run.record_path("responses", "2"), replace(record, created="2999-01-01T00:00:00+00:00"))
    assert "failed" not in said(mr("status", "tiny"))  # it was made since


def test_status_shows_how_far_a_run_is(mr: Mr, data: Path) -> None:
    """Share, rate and time left of a process that is there; nothing of one that is not, or of another Dagster run."""
    run = tiny_run(data)
    save(run)
    me = dagster_run(run, dg.DagsterRunStatus.STARTED, Worker.of(os.getpid()), "responses")
    progress = Progress("responses", "2", "responses", "requests", 30, 120, 12.5, 7.2, me)
    note(run, progress)
    shown = said(mr("status", "tiny"))
    assert "  responses, iteration 2: 25%, 30 of 120 requests, 12/s, 7 s left (since " in shown
    assert f"Dagster run {me}" in shown
    [status] = statuses([run])
    assert status.state(("responses", "2")) == "running"
    found = status.as_json()["artifacts"]
    [at_work] = [a["progress"] for a in found if a["progress"]]
    assert (at_work["share"], at_work["rate"], at_work["seconds_left"]) == (0.25, 12.5, 7.2)
    note(run, replace(progress, what="responses: 120 requests, as soon as the engine is ready", unit=""))
    assert "  responses, iteration 2: 120 requests, as soon as the engine is ready (" in said(mr("status", "tiny"))
    note(run, replace(progress, dagster_run="another"))
    assert "25%" not in said(mr("status", "tiny"))
    file = data / "tiny" / "responses" / ".2.progress.json"
    left_behind = replace(progress, process=replace(Worker.of(os.getpid()), ticks=1).tag(me))
    file.write_text(json.dumps(asdict(left_behind)))
    assert noted(run, "responses", "2") is None
    assert "25%" not in said(mr("status", "tiny"))
    elsewhere = replace(Worker.of(os.getpid()), host="gpu-07")  # its process id says nothing here
    file.write_text(json.dumps(asdict(replace(progress, process=elsewhere.tag(me)))))
    with instance() as dagster:
        dagster.add_run_tags(me, {TAG: elsewhere.tag(me)})
    assert "25%, 30 of 120 requests, 12/s, 7 s left (since " in (shown := said(mr("status", "tiny")))
    assert f"Dagster run {me} on host gpu-07)" in shown
    file.write_text("{")
    assert noted(run, "responses", "2") is None
    forget(run, "responses", "2")
    assert not file.exists()


def test_watching_in_a_pipe_prints_what_changes(mr: Mr, data: Path) -> None:
    """The states as often as they change, and nothing else; Ctrl-C is how it ends."""
    run = tiny_run(data)
    save(run)
    assert "exclude each other" in mr("status", "--watch", "--json").output
    command = [sys.executable, "-m", "mr_assets.cli", "status", "tiny", "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        assert watching.stdout is not None
        seen = [_block(watching.stdout)]
        complete(run, "prompts", "1")
        seen.append(_block(watching.stdout))
        watching.send_signal(signal.SIGINT)
        rest, status = watching.stdout.read(), watching.wait()
    assert status == 0
    assert rest == ""
    assert ["done" in block for block in seen] == [False, True]


def _block(output: IO[str]) -> str:
    """What is printed up to the next empty line."""
    return "".join(iter(output.readline, "\n"))


def test_watching_a_terminal_leaves_only_the_last_state_there(done: Run) -> None:
    """It has a screen of its own meanwhile, however small the terminal is."""
    reading, writing = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "LINES": "10", "COLUMNS": "80"}
    command = [sys.executable, "-m", "mr_assets.cli", "status", "tiny", "--watch"]
    with subprocess.Popen(command, stdout=writing, stderr=writing, env=environment) as watching:
        os.close(writing)
        shown = b""
        while shown.count(b"tiny: ") < 2:
            shown += os.read(reading, 65536)
        watching.send_signal(signal.SIGINT)
        with suppress(OSError):  # the other end is closed
            while part := os.read(reading, 65536):
                shown += part
    assert watching.returncode == 0
    own, left = shown.decode().split("\x1b[?1049h")[1].split("\x1b[?1049l")
    assert left.count("tiny: ") == 1
    assert all(frame.count("\n") < 10 for frame in own.split("\x1b[H"))


# ------------------------------------------------------------------------------------------------------------ recipes


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


# ---------------------------------------------------------------------------------------------------------- as programs


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


# ------------------------------------------------------------------------------------------------------------- hostile


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


def on_a_terminal(data: Path, columns: int, *commands: list[str]) -> list[str]:
    """What each of some commands prints on a terminal of so many columns, without colours."""
    program = (
        "import json, sys; from mr_assets.cli.main import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    main(command, standalone_mode=False); print('\\f', end='', flush=True)"
    )
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(commands)],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env=os.environ | {"MR_DATA": str(data), "COLUMNS": str(columns), "TERM": "xterm"},
    )
    os.close(follower)
    read = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        read += part
    assert process.wait() == 0, read.decode()
    os.close(leader)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", read.decode()).replace("\r\n", "\n")
    return shown.split("\f")[:-1]


@pytest.mark.parametrize("columns", [80, 60])
def test_status_report_and_runs_fit_a_terminal(done: Run, columns: int) -> None:
    """No line is wider, and what one copies is whole."""
    name = "a_name_of_as_many_letters_as_one_gives_runs"
    long = replace(done, name=name)
    save(long)
    for asset, partition in places(long):
        complete(long, asset, partition)
    commands = [["status", name], ["report", name], ["runs"], ["recipes"], ["recipes", NAME]]
    for command, shown in zip(commands, on_a_terminal(done.data, columns, *commands), strict=True):
        for line in shown.split("\n"):
            assert len(line) <= columns or str(done.data) in line, line
        wanted = {"recipes": list_recipes() if len(command) == 1 else [NAME, "dpo.beta"]}.get(command[0], [name])
        for word in wanted:
            assert re.search(rf"\b{word}\b", shown), shown


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
