"""`mr run` and `mr extend`: what is done, what a run that exists keeps, and what is refused."""

import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from mr_assets.cli.run import adopt
from mr_assets.loop import LOOP
from mr_assets.orchestration.instance import instance
from mr_assets.orchestration.lock import run_lock
from mr_assets.planning.devices import Device
from mr_assets.planning.prediction import read_prediction
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overridden
from mr_assets.runs.status import state
from mr_assets.runs.stored import load_run, save, stored_runs
from mr_assets_tests.cli.conftest import SETS, Mr, Refused, worked
from mr_assets_tests.tiny import NAME, SMALL, complete, files, model_folder


@pytest.fixture
def stopped_at_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is launched is stopped as its first step begins; nothing is checked before."""

    def interrupted(*step: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mr_assets.inputs.preflight.check_run", lambda run, dry=False: [])
    monkeypatch.setattr("mr_assets.orchestration.steps.launch", interrupted)


def test_a_dry_run_says_what_would_be_done(mr: Mr, data: Path) -> None:
    """Every step with its assets and partition key, in order; and writes nothing, not even the data folder."""
    data.rmdir()
    first, *rest = worked(mr("run", NAME, "--iterations", 2, "--dry-run")).splitlines()
    assert first == f"{NAME}: would begin with one-off assets"
    by_model = ("evaluation", "human_agreement")
    begun = [f"{asset} of {model}" for model in ("seed", "M0") for asset in by_model]
    m1, m2 = ([f"{asset} of M{t}" for asset in by_model] for t in (1, 2))
    titles = ["one-off assets", *begun, "iteration 1 of 2", *m1, "iteration 2 of 2", *m2]
    assert [line.split(".", 1)[1].split(":")[0].strip() for line in rest] == titles
    assert rest[0].endswith(": seed_prompts, eft_dataset, sft_checkpoint")
    pending = ", ".join(f"{asset} [1]" for asset in LOOP.per("iteration"))
    assert rest[5].endswith(f": {pending}")
    assert not data.exists()


@pytest.mark.parametrize(
    ("executor", "part"), [("ray", "RAY_API_SERVER_ADDRESS is not set"), ("rey", "expected one of in_process")]
)
def test_a_dry_run_finds_an_executor_that_cannot_be(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, executor: str, part: str
) -> None:
    monkeypatch.setenv("MR_EXECUTOR", executor)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert part in refused("run", NAME, "--dry-run")


def test_an_object_store_is_refused_on_a_cluster_before_it_is_read(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With what to do. This one cannot be reached, which would be said else."""
    for name, value in {
        "MR_DATA": "s3://bucket/runs",
        "MR_SCRATCH": str(tmp_path / "scratch"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "MR_EXECUTOR": "ray",
        "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    said = refused("run", NAME)
    assert "Mount a shared folder and name it in MR_DATA; or run on one host without MR_EXECUTOR." in said


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
    assert "tiny is a run, not a recipe. To go on with it: mr run" in hinted.output


def test_a_recipe_of_this_folder_goes_on_with_its_run(
    mr: Mr, data: Path, launched: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mr run tiny: tiny.yaml lies here, whose run is called so, too."""
    (tmp_path / "tiny.yaml").write_text(launched.recipe.dump_yaml())
    monkeypatch.chdir(tmp_path)
    assert "tiny: would begin with evaluation of M1" in worked(mr("run", "tiny", "--dry-run"))


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
def test_an_extension_that_cannot_be(refused: Refused, launched: Run, arguments: list[object], part: str) -> None:
    assert part in refused("extend", *arguments)


def test_a_branch_says_how_to_go_on(mr: Mr, data: Path, done: Run) -> None:
    """And that command begins where the branch does."""
    save(replace(done, origin=(NAME, *SMALL)))
    said = worked(mr("branch", "tiny", "--from", 2, "--name", "other", "--set", "rho=0.3"))
    assert "other shares the iterations before 2 with tiny; from 2 on they are to be made." in said
    command = next(line for line in said.splitlines() if "mr run" in line).partition("mr run ")[2]
    assert "other: would begin with iteration 2 of 2" in worked(mr("run", *shlex.split(command), "--dry-run"))


def test_a_branch_has_its_prediction_when_it_is_run(mr: Mr, data: Path, done: Run, stopped_at_a_step: None) -> None:
    """By its own recipe. What is complete is launched no more: a plan would come too late to be one."""
    save(replace(done, origin=(NAME, *SMALL)))
    worked(mr("branch", "tiny", "--from", 2, "--name", "other"))
    assert mr("run", NAME, "--name", "other").exit_code == 130
    kept = read_prediction(stored_runs(data)["other"])
    assert kept is not None and kept.lengths["response"] > 0
    worked(mr("run", NAME, "--name", "tiny"))
    assert read_prediction(done) is None


def test_a_complete_run_loses_the_weights_that_it_is_to_keep_no_more(
    mr: Mr, done: Run, stopped_at_a_step: None
) -> None:
    """Nothing is computed, and it says what went."""
    for t in done.iterations:
        (done.path("checkpoints", t) / "model.safetensors").write_bytes(bytes(2_000_000))
    command = ("run", NAME, "--name", "tiny", *SETS, "--iterations", 2)
    said = worked(mr(*command, "--set", "storage.keep_policies=1", "--update"))
    assert "M1: its weights are removed, 2.0 MB (storage.keep_policies)" in said
    assert "tiny: everything is complete; nothing was computed." in said
    assert [(done.path("checkpoints", t) / "model.safetensors").exists() for t in done.iterations] == [False, True]
    assert "removed" not in worked(mr(*command, "--set", "storage.keep_policies=1"))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tiny", "--from", 3, "--name", "other"], "expected an iteration from 2 to 2"),
        (["tny", "--from", 2, "--name", "other"], "there is no run 'tny'. Runs: tiny"),
        (["tiny", "--from", 2, "--name", "tiny"], "exists already"),
        (["tiny", "--from", 2, "--name", "other", "--set", "seed=3"], "seed: this shapes M0"),
        (["tiny", "--from", 2, "--name", "other", "--set", "dpo.optimizer=adamw_9bit"], "adamw_9bit"),
    ],
)
def test_a_branch_that_cannot_be(refused: Refused, done: Run, arguments: list[object], part: str) -> None:
    assert part in refused("branch", *arguments)


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


def test_a_run_that_is_stopped_says_so_in_a_line(mr: Mr, launched: Run, stopped_at_a_step: None) -> None:
    """Ctrl-C in the middle of a step: no error, no traceback, and a shell's status for it."""
    said = mr("run", NAME, "--name", "tiny")
    assert said.exit_code == 130, said.output
    assert said.output.splitlines()[-1] == "stopped; the same command goes on"
    assert "Error" not in said.output
    assert "Traceback" not in said.output


def test_what_is_predicted_at_a_launch_is_kept(
    mr: Mr, data: Path, dagster_home: Path, stopped_at_a_step: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the GPUs of this machine, beside the recipe; as long as the recipe stays, so does it."""
    h100 = Device("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81559 * 2**20)
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: [h100])
    assert mr("run", NAME, "--name", "fresh", *SETS, "--iterations", 2).exit_code == 130
    run = stored_runs(data)["fresh"]
    kept = read_prediction(run)
    assert kept is not None and (kept.gpu, kept.count) == ("h100", 1)
    assert kept.lengths["response"] > 0 and kept.rates["judgments"] > 0
    assert {("responses", "1"), ("responses", "2"), ("checkpoints", "2")} <= set(kept.seconds)
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: [])
    assert mr("run", NAME, "--name", "fresh").exit_code == 130
    assert read_prediction(run) == kept
    worked(mr("extend", "fresh", 4))
    assert (longer := read_prediction(run)) is not None and longer.gpu is None and longer.seconds == {}


def test_a_refused_command_leaves_no_folder(mr: Mr, data: Path, dagster_home: Path) -> None:
    """A run that is not there yet, and whose assets the UI makes: neither folder nor lock is left."""
    with instance() as dagster:
        keys = frozenset({dg.AssetKey(["fresh", "responses"])})
        create_run_for_test(dagster, status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
    assert mr("run", NAME, "--name", "fresh").exit_code == 1
    assert not (data / "fresh").exists()


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
    refused: Refused, arguments: list[str], parts: list[str], dry: bool
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
def test_a_bad_recipe_file(refused: Refused, tmp_path: Path, content: bytes, part: str) -> None:
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
def test_bad_prompts(refused: Refused, data: Path, name: str, content: str, part: str) -> None:
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
def test_bad_evaluation_data(refused: Refused, data: Path, content: str, part: str) -> None:
    (data / "mine.jsonl").write_text(content)
    assert part in refused("run", NAME, "--set", "eft.source=mine.jsonl")


def test_bad_models(refused: Refused, data: Path) -> None:
    """Without a chat template; with pickled weights alone; a file in place of a folder."""
    folder = model_folder(data / "mine")
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refused("run", NAME, "--set", "model.seed=mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "found only pytorch_model.bin, which may run code" in refused("run", NAME, "--set", "model.seed=mine")
    (data / "file").write_text("")
    assert "there is no folder" in refused("run", NAME, "--set", "model.seed=file")


def test_a_data_folder_that_cannot_be_used(refused: Refused, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_run_that_exists_with_other_settings(refused: Refused, launched: Run) -> None:
    """Every difference is listed, with what to do; see also --update above."""
    same = ("run", NAME, "--name", "tiny", *SETS, "--iterations", 2)
    said = refused(*same, "--set", "dpo.beta=0.2")
    assert "run tiny exists with other settings: dpo.beta: launched with 0.1, now 0.2 Give" in said
    assert "a name of its own (--name)" in said
    assert "(--update)" in said
