"""The plan of a run with what its own files say."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.run_plan import (
    Earlier,
    gpus_here,
    keep_prediction,
    lengths_assumed_of,
    not_comparable,
    other_model,
    plan_of,
)
from mr_assets.planning.data_sheets import GPUS, Card
from mr_assets.planning.devices import Device
from mr_assets.planning.prediction import read_prediction
from mr_assets.planning.shapes import KNOWN, model_shape
from mr_assets.planning.stages import EFT_REPLIES, NOT_COUNTED, Sampling
from mr_assets.runs.data_folder import PROJECT, resolve
from mr_assets.runs.run import Run
from mr_assets_tests.rankings import trees_of, write
from mr_assets_tests.tiny import model_folder, stored, tiny_recipe, tiny_run

H200 = Device("NVIDIA H200", 150_754_820_096, 150_000_000_000)
SHAPE = KNOWN["1b"]
FOLDER = resolve(tiny_recipe().model.seed, PROJECT)
TINY, _ = model_shape("", FOLDER)


def with_gpus(monkeypatch: pytest.MonkeyPatch, *there: Device) -> None:
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: list(there))


def answered(run: Run, lengths: Sequence[int]) -> Run:
    """The run with responses of so many tokens in its first iteration, made in 1.5 seconds."""
    stored(run, "responses", "1", [{"token_ids": list(range(n))} for n in lengths])
    return run


def test_the_gpus_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are, or as are asked for; of those that differ, the one with the least memory.

    One without a data sheet is what its driver tells. Without any, one is planned for, of no kind.
    """
    with_gpus(monkeypatch, H200, H200)
    assert gpus_here() == (GPUS["h200"], 2)
    assert gpus_here(8) == (GPUS["h200"], 8)
    with_gpus(monkeypatch, H200, Device("NVIDIA L4", 24_152_899_584, 24_000_000_000))
    assert gpus_here() == (GPUS["l4"], 2)
    with_gpus(monkeypatch, Device("NVIDIA A10G", 24_100_000_000, 24_000_000_000))
    assert gpus_here() == (Card("NVIDIA A10G", "NVIDIA A10G", 24.1), 1)
    with_gpus(monkeypatch)
    assert gpus_here() == (None, 1)
    with pytest.raises(UserError, match="--count is of the GPUs that --gpu names, and this machine has none"):
        gpus_here(8)


def test_templates_are_counted_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    """A byte is a token of this one. Without a tokenizer five characters are."""
    (tmp_path / "judge.txt").write_text("Rate {response} to {prompt} from 0 to 5.\nScore:")
    sets = ("judgments.template=judge.txt", "model.seed=mine")
    judge = lengths_assumed_of(tiny_run(tmp_path, *sets)).judge
    assert judge == (("", 1.0), ("response", 0.0), ("", 0.8), ("prompt", 0.0), ("", 4.0))
    model_folder(tmp_path / "mine")
    judge = lengths_assumed_of(tiny_run(tmp_path, *sets)).judge
    assert judge == (("", 5.0), ("response", 0.0), ("", 4.0), ("prompt", 0.0), ("", 20.0))


def test_without_an_earlier_run_lengths_are_assumed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    plan = plan_of(run, SHAPE, GPUS["h200"], 2)
    assert (plan.name, plan.recipe, plan.shape, plan.gpu, plan.count) == ("tiny", run.recipe, SHAPE, GPUS["h200"], 2)
    assert plan.lengths == lengths_assumed_of(run)
    assert (plan.measured, plan.rates) == (None, {})


def test_an_earlier_run_or_a_pilot_tells_lengths_and_rates(tmp_path: Path) -> None:
    """Responses of 10 and 20 tokens: 15. Of 5 prompts with 4 each in 1.5 seconds: 200 tokens per second.

    Its rates are not those of another GPU.
    """
    run, earlier = tiny_run(tmp_path), answered(Run("earlier", tiny_recipe(), tmp_path), [10, 20])
    plan = plan_of(run, TINY, None, 1, Earlier(earlier))
    assert (plan.lengths.response, plan.lengths.judgment) == (15, lengths_assumed_of(run).judgment)
    assert plan.rates == {"responses": 200}
    assert plan.measured is not None and plan.measured.origin == "run earlier"
    pilot = plan_of(run, TINY, GPUS["h200"], 1, Earlier(earlier, pilot=True))
    assert pilot.measured is not None and pilot.measured.origin == "the pilot of earlier"
    assert (pilot.lengths.response, pilot.rates) == (15, {})
    here = plan_of(run, TINY, GPUS["h200"], 1, Earlier(earlier, pilot=True), measured_here=True)
    assert here.rates == {"responses": 200}


def test_rates_are_those_of_a_model_of_the_same_shape(tmp_path: Path) -> None:
    """Lengths are taken all the same. What a recipe calls its model is no difference; a name that says no size is."""
    run, earlier = tiny_run(tmp_path), answered(Run("earlier", tiny_recipe(), tmp_path), [10, 20])
    plan = plan_of(run, SHAPE, None, 1, Earlier(earlier))
    assert plan.measured is not None and (plan.lengths.response, plan.rates, plan.measured.rates) == (15, {}, {})
    assert plan.measured.unlike == "its model has another shape, with 1,072,512 weights and not 1,235,814,400"
    copy = tiny_run(tmp_path, f"model.seed={shutil.copytree(FOLDER, tmp_path / 'of_another_name')}")
    assert other_model(copy, run, TINY) == ""
    unknown = tiny_run(tmp_path, "model.seed=nowhere")
    assert other_model(unknown, run, TINY) == "nothing says the shape of its model"
    assert other_model(unknown, unknown, SHAPE) == ""


def test_the_machine_of_a_pilot_is_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a run is what its launch or its records say."""
    run = answered(tiny_run(tmp_path), [10])
    with_gpus(monkeypatch, H200)
    for pilot, on in ((True, "h200"), (False, None)):
        plan = plan_of(run, TINY, None, 1, Earlier(run, pilot=pilot))
        assert plan.measured is not None and plan.measured.on == on


def test_what_was_taken_on_another_machine_or_by_another_model_is_not_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Launched on an H200. A plan without hours has nothing to compare."""
    run = tiny_run(tmp_path)
    assert not_comparable(run, plan_of(run, TINY, GPUS["h100"], 1)) == ""  # nothing tells where it was made
    with_gpus(monkeypatch, H200)
    keep_prediction(run)
    assert not_comparable(run, plan_of(run, TINY, GPUS["h200"], 1)) == ""
    h100 = plan_of(run, TINY, GPUS["h100"], 1)
    assert not_comparable(run, h100) == "it was made on h200, and planned for is h100"
    assert not_comparable(run, plan_of(run, SHAPE, GPUS["h200"], 1)).startswith("its model has another shape")
    assert not_comparable(run, plan_of(run, SHAPE, None, 1)) == ""


def test_an_earlier_run_without_responses_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--from tiny: it has no responses yet"):
        plan_of(tiny_run(tmp_path), SHAPE, None, 1, Earlier(tiny_run(tmp_path)))


def test_ranked_replies_are_counted_where_they_can_be_read(tmp_path: Path) -> None:
    """Eight prompts with three replies each, of which a quarter of the prompts is held out; else a plan assumes."""
    sets = ("eft.source=open_assistant:trees.jsonl", "eft.examples=null", "eft.held_out=0.25")

    def asked() -> tuple[int, str]:
        run = tiny_run(tmp_path, *sets, "prompts.source=prompts.txt", "prompts.count=null")
        rows = plan_of(run, SHAPE, None, 1).rows
        [stage] = [row.stage for row in rows if row.stage.asset == "eft_judgments"]
        assert isinstance(stage, Sampling)
        return stage.requests, stage.at_most

    assert asked() == (EFT_REPLIES, NOT_COUNTED)
    write(tmp_path / "trees.jsonl", trees_of(8))
    assert asked() == (18, "")


def test_a_launched_run_keeps_its_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the GPUs that there are; without any it has lengths alone."""
    with_gpus(monkeypatch, H200, H200)
    run = tiny_run(tmp_path)
    keep_prediction(run)
    kept = read_prediction(run)
    assert kept is not None and (kept.gpu, kept.count) == ("h200", 2)
    assert kept.lengths["response"] == lengths_assumed_of(run).response
    assert kept.rates.keys() >= {"responses", "checkpoints"}
    with_gpus(monkeypatch)
    keep_prediction(run)
    kept = read_prediction(run)
    assert kept is not None and (kept.gpu, kept.count, kept.rates) == (None, 1, {})


def test_of_a_model_without_a_known_shape_nothing_is_predicted(tmp_path: Path) -> None:
    """And nothing is refused for it."""
    run = tiny_run(tmp_path, "model.seed=nowhere")
    keep_prediction(run)
    assert read_prediction(run) is None
    assert not run.folder.exists()
