"""The command `mr`: what works, and what is said when something does not."""

import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster._core.test_utils import create_run_for_test

from mr_assets.cli.main import main
from mr_assets.cli.run import adopt
from mr_assets.loop import LOOP
from mr_assets.orchestration.instance import instance
from mr_assets.orchestration.lock import run_lock
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overridden
from mr_assets.runs.status import state
from mr_assets.runs.stored import all_runs, load_run, save, stored_and_unreadable_runs, stored_runs
from mr_assets_tests.tiny import NAME, SMALL, complete, files, model_folder, tiny_run

Mr = Callable[..., Result]
SETS = [part for text in SMALL for part in ("--set", text)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the commands under test."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MR_DATA", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return folder


@pytest.fixture
def mr(data: Path) -> Mr:
    return lambda *arguments, answer=None: CliRunner().invoke(main, [str(a) for a in arguments], input=answer)


@pytest.fixture
def refused(mr: Mr, data: Path) -> Callable[..., str]:
    """What a command says that fails as it should: a message, no traceback, nothing written."""

    def invoke(*arguments: object) -> str:
        before = files(data)
        result = mr(*arguments)
        assert result.exit_code not in (0, None), result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert files(data) == before
        return " ".join(result.output.split())

    return invoke


def worked(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture
def launched(data: Path, fresh_home: Path) -> Run:
    """A run that is complete but for the last model."""
    shutil.copytree(fresh_home, data / ".dagster")
    run = tiny_run(data)
    save(run)
    for asset in LOOP.per("family"):
        complete(run, asset)
    for model in ("seed", "0"):
        complete(run, "evaluation", model)
    for t in run.iterations:
        for asset in LOOP.per("iteration"):
            if (asset, t) != ("checkpoints", "2"):
                complete(run, asset, t)
    return run


# --------------------------------------------------------------------------------------------------------- what works


def test_help_begins_with_what_it_is(mr: Mr) -> None:
    said = worked(mr("--help"))
    for command in ("run", "status", "report", "compare", "recipes", "runs", "ui"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE)
    assert "Meta-Rewarding language models" in said
    assert worked(mr("run", "-h")).count("mr run small_world_meta_rewarding") >= 3


def test_recipes_are_listed_with_their_titles(mr: Mr) -> None:
    lines = worked(mr("recipes")).splitlines()
    assert [line.split()[0] for line in lines] == list_recipes()
    assert "Meta-Rewarding in the small world" in next(line for line in lines if line.startswith(NAME))


def test_a_dry_run_says_what_would_be_done(mr: Mr, data: Path) -> None:
    """Every step with its assets and partition key, in order; and writes nothing, not even the data folder."""
    data.rmdir()
    first, *rest = worked(mr("run", NAME, "--iterations", 2, "--dry-run")).splitlines()
    assert first == f"{NAME}: would begin with one-off assets"
    titles = ["one-off assets", "evaluation of seed", "evaluation of M0"]
    titles += ["iteration 1 of 2", "evaluation of M1", "iteration 2 of 2", "evaluation of M2"]
    assert [line.split(".", 1)[1].split(":")[0].strip() for line in rest] == titles
    assert rest[0].endswith(": seed_prompts, eft_dataset, sft_checkpoint")
    pending = ", ".join(f"{asset} [1]" for asset in LOOP.per("iteration"))
    assert rest[3].endswith(f": {pending}")
    assert not data.exists()


def test_run_without_a_recipe_asks_for_one(mr: Mr, data: Path, launched: Run) -> None:
    """It shows the runs, how far they are and how to go on with them, and the recipes; it runs and writes nothing."""
    before = files(data)
    for arguments in ((), ("--dry-run",), ("--set", "beta=0.2")):
        result = mr("run", *arguments)
        assert result.exit_code == 2
        assert "Name a recipe: mr run RECIPE. Nothing was run." in result.output
        assert "tiny: 1 of 2 iterations, next: evaluation of M1" in result.output
        assert all(name in result.output for name in list_recipes())
        assert files(data) == before


def test_what_the_list_says_to_do_is_done(mr: Mr, data: Path, launched: Run) -> None:
    """The command that goes on with a run does; a run's name in a recipe's place is told the same."""
    save(replace(launched, origin=(NAME, *SMALL)))
    command = next(line for line in mr("run").output.splitlines() if "mr run" in line and "--name tiny" in line)
    said = worked(mr(*shlex.split(command)[1:], "--dry-run"))
    assert "tiny: would begin with evaluation of M1" in said
    assert "note: the recipe" not in said
    hinted = mr("run", "tiny")
    assert hinted.exit_code == 1
    assert "tiny is a run, and no recipe. To go on with it: mr run" in hinted.output


def test_a_field_of_rows_means_all_of_them(mr: Mr, data: Path, launched: Run) -> None:
    """rho=0.3 is what it is in `mr compare`; a name that is also another field's must be spelt out."""
    for key in ("rho", "iterations.all.rho"):
        result = mr("run", NAME, "--name", "tiny", *SETS, "--iterations", 2, "--set", f"{key}=0.3", "--dry-run")
        assert "iterations.1.rho: launched with 0.0, now 0.3" in result.output
        assert "iterations.2.rho: launched with 0.0, now 0.3" in result.output
    assert "several fields have this name" in mr("run", NAME, "--set", "keep_epoch=1", "--dry-run").output


def test_a_dry_run_of_what_was_begun(mr: Mr, data: Path, launched: Run) -> None:
    """All settings are those that it was launched with; only the last model is missing."""
    before = files(data)
    result = mr("run", NAME, "--name", "tiny", "--dry-run")
    assert "tiny: would begin with evaluation of M1" in worked(result)
    complete(launched, "evaluation", "1")
    assert "tiny: would begin with iteration 2 of 2" in worked(mr("run", NAME, "--name", "tiny", "--dry-run"))
    complete(launched, "checkpoints", "2")
    complete(launched, "evaluation", "2")
    assert "tiny: nothing to do" in worked(mr("run", NAME, "--name", "tiny", "--dry-run"))
    assert "tiny: would begin with iteration 3 of 3" in worked(
        mr("run", NAME, "--name", "tiny", "--iterations", 3, "--dry-run")
    )
    assert set(before) <= set(files(data))


def test_a_dry_run_of_taken_over_settings(mr: Mr, launched: Run) -> None:
    """With --update the run would begin where the changed setting matters first."""
    complete(launched, "evaluation", "1")
    changed = ("run", NAME, "--name", "tiny", *SETS, "--iterations", 2, "--set", "iterations.1.rho=0.3", "--update")
    assert "tiny: would begin with iteration 1 of 2" in worked(mr(*changed, "--dry-run"))


def test_a_recipes_drift_is_told(mr: Mr, launched: Run) -> None:
    """The recipe file has other numbers than the run was launched with: the run goes on with its own."""
    result = mr("run", NAME, "--name", "tiny", "--dry-run")
    assert "note: the recipe file now has responses.k = 7; this run goes on with 4." in result.output


def test_what_was_chosen_in_the_ui_stays_unless_told_otherwise(mr: Mr, launched: Run) -> None:
    """The last model aside everything is there; with --as-recipe the pairs of iteration 1 are re-materialized."""
    chosen = {"rho": 0.3}
    record = complete(overridden(launched, "actor_pairs", "1", chosen), "actor_pairs", "1")
    write_record(launched.record_path("actor_pairs", "1"), replace(record, overrides=chosen))
    complete(launched, "evaluation", "1")
    command = ("run", NAME, "--name", "tiny", "--dry-run")
    said = worked(mr(*command))
    assert "note: actor_pairs of iteration 1 stays overridden: rho = 0.3, the recipe says 0.0 (--as-recipe" in said
    assert "tiny: would begin with iteration 2 of 2" in said
    back = worked(mr(*command, "--as-recipe"))
    assert "stays overridden" not in back
    assert "tiny: would begin with iteration 1 of 2" in back
    assert "actor_pairs of iteration 1: rho = 0.3, the recipe says 0.0" in worked(mr("status", "tiny"))


def test_fewer_iterations_need_fewer_prompts(mr: Mr) -> None:
    """One iteration of 20 prompts is fine with 40 seed prompts, though the recipe's four would need 80."""
    few = ("--set", "prompts.count=40", "--set", "iterations.all.prompts=20")
    assert "would begin with" in worked(mr("run", NAME, "--iterations", 1, *few, "--dry-run"))
    assert mr("run", NAME, *few, "--dry-run").exit_code != 0


def test_no_runs_yet(mr: Mr, data: Path) -> None:
    assert "No run yet. Start one: mr run" in worked(mr("status"))
    assert "runs" in worked(mr("runs"))
    assert files(data) == {}


def test_runs_are_listed(mr: Mr, launched: Run) -> None:
    said = worked(mr("runs"))
    assert re.search(r"tiny .*Meta-Rewarding in the small world .*1 of 2 .*MiB", said)


def test_status_shows_every_artifact(mr: Mr, launched: Run) -> None:
    """One row per asset, one column per iteration: the last model is missing, the first pairs are out of date."""
    complete(launched, "judgments", "1", version="v2")
    rows = {line.split()[1]: line for line in worked(mr("status", "tiny")).splitlines() if line.startswith("│")}
    assert set(LOOP.per("iteration")) <= set(rows)
    assert rows["judgments"].count("done") == 2
    assert rows["actor_pairs"].count("out of date") == 1
    assert rows["actor_pairs"].count("done") == 1
    assert rows["checkpoints"].count("done") == 1
    assert rows[f"{launched.family}/sft_checkpoint"].count("done") == 1
    assert worked(mr("status")).count("tiny: Meta-Rewarding") == 1


def test_report_of_an_unfinished_run(mr: Mr, launched: Run) -> None:
    """The tables of what is there; the evaluation's figures come from its record."""
    numbers = {"true_score": 2.5, "accuracy": 0.5, "characters": 20.0, "judge_exact": 0.4, "judge_spearman": 0.3}
    for model in ("seed", "0"):
        record = complete(launched, "evaluation", model)
        record.numbers.update({**numbers, "meta_accuracy": 0.6, "meta_first": 0.5})
        write_record(launched.record_path("evaluation", model), record)
    said = worked(mr("report", "tiny"))
    assert re.search(r"seed .*2\.50 .*0\.50 .*20 .*0\.40 .*0\.30 .*0\.60 .*0\.50", said)
    assert "preference pairs per iteration" in said
    assert "seconds per stage" in said


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


# --------------------------------------------------------------------------------------------------- more iterations


def judged(run: Run) -> list[bool]:
    return [row.judge_training for row in run.recipe.iterations]


def test_more_iterations_are_the_recipes_rows(data: Path) -> None:
    """Of a run that was launched with two of four: rows 3 and 4 train no judge, though row 2 does; then row 4 again."""
    save(load_run(NAME, name="short", iterations=2, data=data))
    whole = load_recipe(NAME).iterations
    for count in (2, 3, 4, 6):
        wanted = load_run(NAME, name="short", iterations=count, data=data)
        kept = adopt(wanted, changed=False, update=False, extended=True)
        assert kept.recipe.iterations == (*whole, whole[3], whole[3])[:count]
        save(kept)
    assert judged(stored_runs(data)["short"]) == [True, True, False, False, False, False]


def test_the_rows_to_come_are_those_of_the_launch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the recipe's file has changed since, which is told; and of a run that an earlier version stored."""
    path = tmp_path / "mine.yaml"
    rows = [f"{{prompts: 5, rho: 0.{t}, max_chosen_chars: null, judge_training: false, " for t in (1, 2, 3)]
    rows = [f"{row}max_chosen_judgment_chars: null, keep_epoch: 1}}" for row in rows]

    def recipe(*used: str) -> str:
        return f"extends: {NAME}\niterations: [{', '.join(used)}]\n"

    path.write_text(recipe(*rows))
    save(load_run(str(path), iterations=1, data=data))
    launched = stored_runs(data)["mine"]
    assert [row.rho for row in launched.with_iterations(4).recipe.iterations] == [0.1, 0.2, 0.3, 0.3]
    old = replace(launched, further=None)
    assert [row.rho for row in old.with_iterations(4).recipe.iterations] == [0.1, 0.2, 0.3, 0.3]
    path.write_text(recipe(rows[0], rows[2], rows[2]))
    kept = adopt(load_run(str(path), iterations=2, data=data), changed=False, update=False, extended=True)
    assert [row.rho for row in kept.recipe.iterations] == [0.1, 0.2]
    assert "the recipe file now has iterations.2.rho = 0.3; this run goes on with 0.2" in capsys.readouterr().err
    path.write_text(recipe(rows[1], rows[2]))
    assert [row.rho for row in old.with_iterations(2).recipe.iterations] == [0.1, 0.1]


def test_extend_adds_iterations_and_says_what_to_reload(mr: Mr, data: Path, launched: Run) -> None:
    said = worked(mr("extend", "tiny", 4))
    assert "tiny has 4 iterations now; 3 to 4 are to be made" in said
    assert "Reload definitions" in said
    assert stored_runs(data)["tiny"].iterations == ["1", "2", "3", "4"]
    assert {state(launched, asset, "1") for asset in LOOP.per("iteration")} == {"done"}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tiny", 2], "run tiny has 2 iterations; name a larger number"),
        (["tny", 4], "there is no run 'tny'. Runs: "),
        (["tiny", 99], "prompts.count = 24"),
        (["tiny", "many"], "'many' is not a valid integer"),
    ],
)
def test_an_extension_that_cannot_be(
    refused: Callable[..., str], launched: Run, arguments: list[object], part: str
) -> None:
    assert part in refused("extend", *arguments)


# ------------------------------------------------------------------------------------------------------ what does not


BUSY = (
    ["run", NAME, "--name", "tiny", "--iterations", "4"],
    ["run", NAME, "--name", "tiny", *SETS, "--set", "beta=0.3", "--update"],
    ["extend", "tiny", "4"],
    ["runs", "remove", "tiny", "--yes"],
)


@pytest.mark.parametrize("arguments", BUSY, ids=lambda arguments: arguments[-1])
def test_a_command_that_is_refused_as_a_run_is_busy_changes_nothing(
    mr: Mr, data: Path, launched: Run, arguments: list[str]
) -> None:
    """Another process has it, or a Dagster run of the UI: what it goes by stays, byte for byte."""
    before = (launched.folder / "recipe.yaml").read_bytes()
    with run_lock(launched.folder, "run tiny", wait=False):
        kept = files(launched.folder)
        said = mr(*arguments)
        assert (said.exit_code, files(launched.folder)) == (1, kept)
        assert "is being run by process" in said.output
    with instance() as dagster:
        keys = frozenset({dg.AssetKey(["tiny", "responses"])})
        made = create_run_for_test(dagster, status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
    kept = {name: content for name, content in files(launched.folder).items() if name != ".lock"}
    said = mr(*arguments)
    assert said.exit_code == 1
    assert made.run_id in said.output
    assert {name: content for name, content in files(launched.folder).items() if name != ".lock"} == kept
    assert (launched.folder / "recipe.yaml").read_bytes() == before


def test_a_run_that_is_stopped_says_so_in_a_line(mr: Mr, launched: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a step: no error, no traceback, and a shell's status for it."""

    def interrupted(*step: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mr_assets.inputs.preflight.check_run", lambda run, dry: [])
    monkeypatch.setattr("mr_assets.orchestration.steps.launch", interrupted)
    said = mr("run", NAME, "--name", "tiny")
    assert said.exit_code == 130, said.output
    assert said.output.splitlines()[-1] == "stopped; the same command goes on"
    assert "Error" not in said.output
    assert "Traceback" not in said.output


def test_a_refused_command_leaves_no_folder(mr: Mr, data: Path) -> None:
    """A run that is not there yet, and whose assets the UI makes: neither folder nor lock is left."""
    with instance() as dagster:
        keys = frozenset({dg.AssetKey(["fresh", "responses"])})
        create_run_for_test(dagster, status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
    assert mr("run", NAME, "--name", "fresh").exit_code == 1
    assert not (data / "fresh").exists()


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


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["small_wrld"], ["recipe 'small_wrld' is not known", "Did you mean small_world", "Name one of"]),
        (["small_world"], ["is a base for others", "Run one of"]),
        (["nowhere.yaml"], ["nowhere.yaml cannot be read", "Name a readable .yaml file"]),
        ([NAME, "--set", "bta=0.2"], ["--set bta", "Did you mean beta", "Full paths look like dpo.beta"]),
        ([NAME, "--set", "beta"], ["--set beta: expected key=value", "for example dpo.beta=0.2"]),
        ([NAME, "--set", "beta=-1"], ["dpo.beta = -1", "greater than 0", "Mend the recipe"]),
        ([NAME, "--set", "beta=much"], ['dpo.beta = "much"', "valid number"]),
        ([NAME, "--set", "iterations.2.rho=2"], ["iterations.2.rho = 2", "less than or equal to 1"]),
        ([NAME, "--set", "iterations.5.rho=0"], ["there is no iteration 5; expected 1 to 4, or all"]),
        (
            [NAME, "--set", "prompts.count=10", "--set", "iterations.all.prompts=5"],
            ["prompts.count = 10", "need 5 + 5 + 5 + 5 = 20", "raise it"],
        ),
        ([NAME, "--iterations", "0"], ["iterations = 0: expected 1 or more"]),
        ([NAME, "--iterations", "many"], ["'many' is not a valid integer"]),
        (
            [NAME, "--iterations", "60", "--set", "prompts.count=50", "--set", "iterations.all.prompts=1"],
            ["prompts.count = 50", "= 60; raise it"],
        ),
        ([NAME, "--name", "My Run"], ["run name 'My Run': expected lower-case", "Try my_run"]),
        ([NAME, "--name", "../up"], ["run name '../up': expected lower-case"]),
        ([NAME, "--name", "seeds"], ["is taken by what runs share", "Choose another, seeds_1"]),
        ([NAME, "--set", "model.seed=nowhere"], ["there is no folder", "Name a local model folder"]),
        ([NAME, "--set", "judgments.template=none.txt"], ["template", "cannot be read", "Name a readable file"]),
        ([NAME, "--set", "eft.source=none.jsonl"], ["EFT file none.jsonl: there is no file", "Put it there"]),
        ([NAME, "--set", "prompts.source=none.txt"], ["prompts file none.txt: there is no file", "Put it there"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 4 else None,
)
@pytest.mark.parametrize("dry", [True, False])
def test_bad_input_is_told_before_anything_is_done(
    refused: Callable[..., str], arguments: list[str], parts: list[str], dry: bool
) -> None:
    """What was expected, what came, and what to do: whether or not the run is a dry one."""
    said = refused("run", *arguments, *(["--dry-run"] if dry else []))
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"title: [", "Mend the YAML"),
        (b"- 1", "expected a mapping of sections"),
        (b"\xff", "not UTF-8"),
        (b"extends: small_world\ntitle: x\niterations: []\n", "should have at least one row"),
        (b"extends: small_world_meta_rewarding\nbeta: 1\n", "beta = 1: unknown key"),
    ],
)
def test_a_bad_recipe_file(refused: Callable[..., str], tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert part in refused("run", path)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("mine.txt", "", "expected at least one prompt, found none"),
        ("mine.txt", "a\n\n", "1 empty or blank"),
        ("mine.txt", "a\na\n", "1 repeated"),
        ("mine.txt", "a\nb\n", "need 1 + 1 + 1 + 1 = 4, but there are 2 seed prompts"),
        ("mine.parquet", "no", "cannot be read as .parquet"),
        ("mine.jsonl", '{"text": "a"}\n', "expected a column 'prompt', found text"),
    ],
)
def test_bad_prompts(refused: Callable[..., str], data: Path, name: str, content: str, part: str) -> None:
    (data / name).write_text(content)
    sets = (f"prompts.source={name}", "prompts.count=null", "iterations.all.prompts=1")
    assert part in refused("run", NAME, *(a for text in sets for a in ("--set", text)))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "EFT file"),
        ("no", "cannot be read as .jsonl"),
        ('{"text": "a"}\n', "expected columns prompt and completion, or messages; found text"),
    ],
)
def test_bad_evaluation_data(refused: Callable[..., str], data: Path, content: str, part: str) -> None:
    (data / "mine.jsonl").write_text(content)
    assert part in refused("run", NAME, "--set", "eft.source=mine.jsonl")


def test_bad_models(refused: Callable[..., str], data: Path) -> None:
    """Without a chat template; with pickled weights alone; a file in place of a folder."""
    folder = model_folder(data / "mine")
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refused("run", NAME, "--set", "model.seed=mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "found only pytorch_model.bin, which may run code" in refused("run", NAME, "--set", "model.seed=mine")
    (data / "file").write_text("")
    assert "there is no folder" in refused("run", NAME, "--set", "model.seed=file")


def test_a_data_folder_that_cannot_be_used(
    refused: Callable[..., str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not writable; full; under a file."""
    with monkeypatch.context() as patch:
        patch.setattr("mr_assets.inputs.preflight.os.access", lambda path, mode: False)
        assert "cannot be written. Set MR_DATA to a writable folder." in refused("run", NAME)
    with monkeypatch.context() as patch:
        patch.setattr("mr_assets.inputs.preflight.shutil.disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
        assert "only 5 MiB are free" in refused("run", NAME)
    (data / "file").write_text("")
    monkeypatch.setenv("MR_DATA", str(data / "file" / "data"))
    assert "cannot be made" in refused("run", NAME)


def test_a_run_that_exists_with_other_settings(refused: Callable[..., str], launched: Run) -> None:
    """Every difference is listed, with what to do; see also --update above."""
    same = ("run", NAME, "--name", "tiny", *SETS, "--iterations", 2)
    said = refused(*same, "--set", "dpo.beta=0.2")
    assert "run tiny exists with other settings: dpo.beta: launched with 0.1, now 0.2 Give" in said
    assert "a name of its own (--name)" in said
    assert "(--update)" in said


@pytest.mark.parametrize("command", [["status"], ["report"], ["runs", "remove"]])
def test_an_unknown_run(refused: Callable[..., str], command: list[str], launched: Run) -> None:
    assert "there is no run 'tny'. Runs: tiny." in refused(*command, "tny")


@pytest.mark.parametrize("command", [["status"], ["report"], ["runs", "remove"]])
def test_an_unknown_run_where_there_is_none(refused: Callable[..., str], command: list[str]) -> None:
    assert "there is no run 'tiny'. Runs: none yet." in refused(*command, "tiny")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tny"], "there is no run 'tny'. Runs: tiny."),
        (["tiny", "tny"], "there is no run 'tny'. Runs: tiny."),
        (["tiny", "tiny", "--set", "rho=0.3"], "leave OTHER or --set out"),
        (["tiny", "--set", "rho=3"], "iterations.1.rho = 3: should be less than or equal to 1"),
        (["tiny", "--set", "rhoo=3"], "Did you mean rho"),
        (["tiny", "--set", "rho"], "expected key=value"),
        (["tiny", "--iteration", "7"], "run tiny has iterations 1 to 2"),
    ],
)
def test_a_comparison_that_cannot_be(
    refused: Callable[..., str], launched: Run, arguments: list[str], part: str
) -> None:
    assert part in refused("compare", *arguments)


def test_a_comparison_before_there_are_pairs(refused: Callable[..., str], data: Path) -> None:
    save(tiny_run(data))
    assert "there are no pairs to compare yet. Materialize actor_pairs of tiny." in refused("compare", "tiny")
    assert "no actor pairs of iteration 1 yet. There are those of no iteration" in refused(
        "compare", "tiny", "--iteration", "1"
    )


@pytest.mark.parametrize(
    "arguments", [["rum"], ["run", "--speed"], ["report"], ["runs", "remove"], ["ui", "--port", "x"]]
)
def test_wrong_usage(refused: Callable[..., str], arguments: list[str]) -> None:
    assert "Usage: " in refused(*arguments)


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("relative", "DAGSTER_HOME is 'relative', expected an absolute path"),
        ("tiny/recipe.yaml/home", "recipe.yaml/home cannot be written"),
    ],
)
def test_a_dagster_home_that_cannot_be_used(
    mr: Mr, refused: Callable[..., str], launched: Run, monkeypatch: pytest.MonkeyPatch, home: str, said: str
) -> None:
    """Nothing runs; `mr status` shows what the records say, and why it does not know the rest."""
    monkeypatch.setenv("DAGSTER_HOME", home if home == "relative" else str(launched.data / home))
    assert said in refused("run", NAME)
    shown = " ".join(worked(mr("status", "tiny")).split())
    assert "failed or was interrupted is not known" in shown
    assert said.split()[0] in shown
