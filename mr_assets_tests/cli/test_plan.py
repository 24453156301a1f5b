"""`mr plan`: a verdict, tables that fit the terminal, JSON, and messages."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mr_assets.cli.main import main
from mr_assets.planning.devices import Device
from mr_assets.planning.prediction import Prediction, write_prediction
from mr_assets.recipes.load import list_recipes
from mr_assets.runs.record import write_record
from mr_assets.wiring import sampling
from mr_assets_tests.fakes import WorldSampler, pictures_are
from mr_assets_tests.tiny import NAME, SMALL, files

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
Mr = Callable[..., Result]
PAPER = "llama_3_8b_meta_rewarding"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MR_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: [])
    return tmp_path


@pytest.fixture
def mr(data: Path) -> Mr:
    return lambda *arguments: CliRunner().invoke(main, ["plan", *map(str, arguments)])


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_paper_on_one_h200(mr: Mr, data: Path) -> None:
    """The verdict comes first; nothing is written."""
    result = mr(PAPER, "--gpu", "h200")
    assert result.exit_code == 0
    assert result.output.startswith(f"{PAPER} fits on 1 x NVIDIA H200 (141 GB). 4 iterations would take about 28 hours")
    assert "550,000" in result.output and "the shape is the known one called 8b, by its name" in result.output
    assert files(data) == {}


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_can_be_planned(mr: Mr, name: str) -> None:
    found = as_json(mr(name, "--gpu", "h200", "--count", 8, "--json"))
    assert (found["run"], found["fits"]) == (name, True)
    assert found["hours"] > 0 and found["unknown"] == []


def test_another_model_whose_shape_nobody_knows_is_named(mr: Mr) -> None:
    """Neither its hours are known nor its memory. Of the shipped recipe's, 34B in bf16, both are."""
    by_rewards = "llama_3_8b_self_rewarding_reward_model"
    said = mr(by_rewards, "--gpu", "h200", "--set", "reward_model.folder=someone/Reward").output
    assert "Of judgments no time is known: it is not in that." in said
    assert "What reward_model = someone/Reward takes is not known" in said
    known = as_json(mr(by_rewards, "--gpu", "l40s", "--json"))
    assert "reward_model = Nexusflow/Starling-RM-34B needs 72 GB, there are 1 x 48 GB: take a smaller one." in [
        problem["said"] for problem in known["problems"]
    ]


def test_it_fits_80_columns(mr: Mr, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a path, which is not broken."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output = mr(PAPER, "--gpu", "a100-40", "--count", 8, "--set", "dpo.num_processes=16").output
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    assert max(len(line) for line in lines if str(data) not in line) <= 80
    assert any("┃ stage" in line for line in lines), "a table, not lines of words"


def test_what_to_change_can_be_typed(mr: Mr) -> None:
    result = mr(PAPER, "--gpu", "h200", "--set", "dpo.micro_batch_size=8")
    assert "does not fit" in result.output and "--set dpo.micro_batch_size=1" in result.output


def test_one_checkpoint_at_a_time_is_said_to_be_one(mr: Mr) -> None:
    """51 GB to resume from at 8B; 71 where the next ones are written beside them."""
    over = [part for name in ("dpo", "sft") for part in ("--set", f"{name}.overwrite_checkpoint=true")]
    two, one = (" ".join(mr(PAPER, *sets).output.split()) for sets in ([], over))
    assert "up to 71 GB besides its model, for the checkpoint to resume from, and a second one while that is" in two
    assert "up to 51 GB besides its model, for the checkpoint to resume from." in one and "second one" not in one


def test_json(mr: Mr) -> None:
    """Seconds and bytes; the same verdict."""
    found = as_json(mr(PAPER, "--gpu", "h200", "--json"))
    assert found["fits"] is True and found["problems"] == []
    assert found["hours"] == pytest.approx(sum(row["seconds"] for row in found["stages"]) / 3600)
    (meta,) = (row for row in found["stages"] if (row["asset"], row["partition"]) == ("meta_judgments", "1"))
    assert meta["requests"] == 550_000 and meta["at_most_because"].startswith("judgments without a score")
    assert found["memory_bytes"]["dpo"]["weights"] == 4 * found["shape"]["weights"] == 4 * 8_030_261_248
    assert found["host_memory_bytes"] == {"sft": 4 * 8_030_261_248, "dpo": 4 * 8_030_261_248}
    sharded = mr(f"{PAPER}_8_h100", "--gpu", "h100", "--count", 8).output
    assert "host memory" in sharded and "sft 257 GB, dpo 514 GB" in " ".join(sharded.replace("│", " ").split())
    none = as_json(mr("small_world_meta_rewarding", "--json"))
    assert (none["gpu"], none["fits"], none["hours"]) == (None, None, None)


def test_iterations_shape_and_settings(mr: Mr) -> None:
    found = as_json(mr(PAPER, "--json", "--shape", "1b", "--iterations", 2, "--set", "iterations.all.prompts=10"))
    assert (found["shape"]["name"], found["stages"][-1]["partition"]) == ("1b", "2")
    assert found["stages"][1]["requests"] == 10


def test_the_gpus_of_this_machine(mr: Mr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is named, they are planned for; --count says how many of them."""
    here = [Device("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81559 * 2**20)] * 4
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: here)
    found = as_json(mr(PAPER, "--json"))
    assert (found["gpu"]["name"], found["count"]) == ("h100", 4)
    assert as_json(mr(PAPER, "--json", "--count", 2))["count"] == 2
    assert as_json(mr(PAPER, "--json", "--gpu", "l4"))["count"] == 1


def test_a_card_without_a_data_sheet(mr: Mr, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits is said, by its driver's name and memory; of hours, that there are none."""
    monkeypatch.setattr(
        "mr_assets.planning.devices.devices", lambda: [Device("NVIDIA A10G", 24_146_608_128, 24_000_000_000)]
    )
    output = " ".join(mr(PAPER).output.split())
    assert f"{PAPER} does not fit on 1 x NVIDIA A10G (24 GB)" in output and "There are no hours" in output
    assert "The engine's cache holds" in output and "bf16 TFLOP/s" not in output
    found = as_json(mr(PAPER, "--json"))
    assert (found["gpu"]["memory"], found["fits"], found["hours"]) == (24.146608128, False, None)


def test_what_is_planned_in_place_of_the_recipes_numbers_is_said(mr: Mr) -> None:
    output = " ".join(mr(f"{PAPER}_8_h100", "--gpu", "h200", "--count", 2, "--set", "sft=null").output.split())
    said = "Hours, memory and disk are with what these GPUs can begin: dpo.num_processes=2 engine.replicas=2."
    assert said in output
    assert "can begin" not in mr(f"{PAPER}_8_h100", "--gpu", "h100", "--count", 8).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((PAPER, "--gpu", "h300"), "GPU 'h300' is not known. Did you mean h200"),
        ((PAPER, "--shape", "9b"), "shape '9b' is not known."),
        ((PAPER, "--count", "0"), "0 is not in the range x>=1"),
        ((PAPER, "--count", "8"), "--count is of the GPUs that --gpu names, and this machine has none."),
        (("nothing",), "recipe 'nothing' is not known."),
        ((PAPER, "--set", "model.seed=mine"), "name a model folder (--set model.seed=...) or a shape"),
    ],
)
def test_messages(mr: Mr, arguments: tuple[str, ...], said: str) -> None:
    result = mr(*arguments)
    assert result.exit_code != 0 and "Traceback" not in result.output
    assert said.lower() in " ".join(result.output.split()).lower()


def test_the_rates_of_a_run_are_of_its_model_and_machine(
    mr: Mr, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small world's on a CPU: neither those of 8B nor held against an H200's data sheet; lengths are taken."""
    monkeypatch.setenv("MR_DATA", str(finished.data))
    larger = as_json(mr(PAPER, "--from", finished.name, "--json"))
    assert (larger["hours"], larger["measured_on"]) == (None, "a CPU")
    said = " ".join(mr(PAPER, "--from", finished.name, "--gpu", "h200").output.split())
    assert f"Of run {finished.name} lengths and shares are taken, and no rates: its model has another shape" in said
    assert f"Mean lengths in run {finished.name}" in said and "tokens of a response" in said and "tokens/s" not in said
    same = " ".join(mr(finished.folder / "recipe.yaml", "--from", finished.name, "--gpu", "h200").output.split())
    assert "are not held against the data sheet: they are of a CPU, not of h200." in same and "tokens/s" not in same


def test_what_does_not_fit_here_is_said_at_the_rates_of_a_run_too(
    mr: Mr, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with a GPU: that is what must hold the models, and hours are the run's."""
    monkeypatch.setenv("MR_DATA", str(finished.data))
    l4 = Device("NVIDIA L4", 23034 * 2**20, 22000 * 2**20)
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: [l4])
    larger = as_json(mr(PAPER, "--from", finished.name, "--json"))
    assert (larger["gpu"]["name"], larger["fits"]) == ("l4", False) and larger["hours"] > 1
    output = " ".join(mr(finished.folder / "recipe.yaml", "--from", finished.name, "--name", "again").output.split())
    assert output.startswith("again fits on 1 x NVIDIA L4 (24 GB).")
    assert f", at the rates of run {finished.name}, which was made on a CPU." in output


@pytest.mark.slow
def test_from_a_pilot(mr: Mr, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made first, beside the run; then planned with, at its rates or by a data sheet; and not made again.

    On a machine with a GPU, which it was then made on, its rates are taken where it has them.
    """
    opened: list[Path] = []

    def open_engine(folder: Path, policy: str, settings: Any, **_: Any) -> WorldSampler:
        opened.append(folder)
        return WorldSampler(folder, policy)

    monkeypatch.setattr(sampling, "open_engine", open_engine)
    pictures_are(False, monkeypatch)
    command = (NAME, "--name", "tiny", "--pilot", 3, *(part for text in SMALL for part in ("--set", text)))
    output = mr(*command).output
    asked = len(opened)
    assert "tiny on the machine of the pilot of tiny, at its rates." in output
    assert "how far off the assumptions were: the pilot of tiny" in output and "tokens of a response" in output
    found = as_json(mr(*command, "--gpu", "h200", "--json"))
    assert len(opened) == asked and not (data / "data" / "tiny").exists()
    assert (found["measured_in"], found["measured_by"]) == ("tiny", "pilot")
    off = {each["what"]: each for each in found["how_far_off"]}
    assert off["tokens of a response"]["measured"] == found["lengths"]["response"] < 30
    assert "tokens/s, judgments" not in off and found["unknown"] == []  # sampled on this machine, on no H200
    assert "give one of them" in mr(*command, "--from", "tiny").output.lower()
    here = [Device("NVIDIA H100 80GB HBM3", 81559 * 2**20, 81559 * 2**20)]
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: here)
    elsewhere, measured = as_json(mr(*command, "--gpu", "h100", "--json")), as_json(mr(*command, "--json"))
    assert (elsewhere["gpu"], elsewhere["measured_in"]) == (measured["gpu"], measured["measured_in"])
    rates = {each["what"]: each["measured"] for each in measured["how_far_off"]}
    for one, other in zip(measured["stages"], elsewhere["stages"], strict=True):
        if (rate := rates.get(f"tokens/s, {one['asset']}")) is not None:  # sampled by the pilot
            assert one["seconds"] == pytest.approx(one["tokens_out"] / rate)
        else:  # no pilot trains
            assert one["seconds"] == other["seconds"] > 0
    assert {one["asset"] for one in measured["stages"] if f"tokens/s, {one['asset']}" in rates} >= {"judgments"}
    assert measured["unknown"] == [] and measured["how_far_off"] == elsewhere["how_far_off"]
    assert "judgments, meta_judgments are at the rates of the pilot of tiny" in " ".join(mr(*command).output.split())


def test_from_a_run(mr: Mr, data: Path, finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours at its rates; the run itself is held against the data sheet's, and not against its own.

    Where a prediction was kept at its launch, it is held against that, whatever would be planned today.
    """
    monkeypatch.setenv("MR_DATA", str(finished.data))
    recipe = str(finished.folder / "recipe.yaml")
    name = finished.name
    result = mr(recipe, "--from", name, "--name", "again")
    assert result.exit_code == 0, result.output
    assert f"again on the machine of run {name}, at its rates." in result.output
    assert f"Mean lengths in run {name}, in tokens" in result.output and "planned / took" not in result.output
    assert as_json(mr(recipe, "--from", name, "--name", name, "--json"))["compared"] == []
    on_cpu = " ".join(mr(recipe, "--gpu", "h200", "--name", name).output.split())
    assert (
        f"What run {name} took is not held against this plan: it was made on a CPU, and planned for is h200." in on_cpu
    )
    assert "planned / took" not in on_cpu
    shutil.copytree(finished.data, data / "predicted")
    monkeypatch.setenv("MR_DATA", str(data / "predicted"))
    run = replace(finished, data=data / "predicted")
    for t in run.iterations:  # as if by an engine for GPUs
        write_record(run.record_path("responses", t), replace(run.record("responses", t), software={"vllm": "0.32.0"}))
    held = as_json(mr(recipe, "--gpu", "h200", "--name", name, "--json"))["compared"]
    assert {each["asset"] for each in held} >= {"responses", "judgments", "checkpoints", "evaluation"}
    assert all(each["took"] > 0 and each["planned"] > 0 for each in held)
    table = mr(recipe, "--gpu", "h200", "--name", name).output
    assert f"{name}: planned and taken" in table and "planned / took" in table
    unnoted = f"On which machine run {name} was made is not noted: it is taken to be the one that is planned for."
    assert unnoted in " ".join(table.split())
    again = " ".join(mr(recipe, "--gpu", "h200", "--from", name, "--name", "again").output.split())
    assert unnoted in again and "tokens/s, judgments" in again
    places: dict[tuple[str, str | None], float] = {
        ("responses", "1"): 1000.0,
        ("responses", "2"): 24.0,
        ("checkpoints", "9"): 1.0,
    }
    write_prediction(run, Prediction("h200", 1, {"response": 77.0}, {"judgments": 5.0}, places))
    by_today = {each["asset"]: each["planned"] for each in held}
    (responses,) = as_json(mr(recipe, "--gpu", "h200", "--name", name, "--json"))["compared"]
    assert (responses["asset"], responses["planned"]) == ("responses", 1024.0) and by_today["responses"] != 1024.0
    off = {each["what"]: each for each in as_json(mr(recipe, "--from", name, "--json"))["how_far_off"]}
    assert off["tokens of a response"]["assumed"] == 77.0 and off["tokens of a judgment"]["assumed"] != 77.0
    assert off["tokens/s, judgments"]["assumed"] == 5.0 and "tokens/s, responses" not in off
    assert "planned at its launch, and taken" in mr(recipe, "--name", name).output
    (run.folder / "plan.json").write_text("{}")
    assert as_json(mr(recipe, "--gpu", "h200", "--name", name, "--json"))["compared"] == held
    assert "there is no run 'nobody'" in mr(recipe, "--from", "nobody").output
