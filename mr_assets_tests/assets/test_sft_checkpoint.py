"""M_0, the seed model finetuned on evaluation data, by a fake trainer."""

import json
from pathlib import Path

import polars as pl
import pytest

from mr_assets.files import fingerprint
from mr_assets.orchestration.steps import Step
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets_tests.fakes import trained_on
from mr_assets_tests.whole_runs.test_loop import messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_m0_is_trained_on_every_example(finished: Run) -> None:
    """Twelve, none of which is too long; another model than the seed."""
    folder, record = finished.path("sft_checkpoint"), finished.record("sft_checkpoint")
    assert trained_on(folder) == [12]
    assert record is not None and record.model is not None
    assert (record.numbers["examples"], record.numbers["examples too long"]) == (12, 0)
    assert (record.model["name"], record.model["fingerprint"]) == ("M0", fingerprint(folder))
    assert record.version != record.settings["content of model.seed"]
    assert list(record.inputs) == ["eft_dataset"]


def test_examples_that_are_too_long_are_listed(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each with its tokens and the limit, where what other artifacts dropped lies; the page says where and how many.

    The limit is the median length of what the recipe's own examples take: some examples fit, some do not.
    """
    world = new_world(patch, tmp_path)
    world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None))
    rows = pl.read_parquet(world.run.path("sft_checkpoint").with_name("sft_dataset.parquet"))
    lengths = rows["prompt_token_ids"].list.len() + rows["completion_token_ids"].list.len()
    limit = int(lengths.sort()[rows.height // 2])
    short = new_world(patch, tmp_path, f"sft.max_length={limit}")
    short.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None))
    listed = pl.read_parquet(short.run.folder.with_name(short.run.family) / "dropped" / "sft_dataset.parquet")
    too_long = {e: n for e, n in zip(rows["example_id"], lengths, strict=True) if n > limit}
    assert 0 < len(too_long) < rows.height
    assert {e: json.loads(n)["tokens"] for e, n in listed.select("id", "numbers").iter_rows()} == too_long
    assert set(listed["reason"]) == {"too_long"}


def test_a_loss_that_is_no_number_fails_its_check(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No model is written, and the check on the page says why."""
    world = new_world(patch, tmp_path)
    world.failing = "error: loss is nan at step 3 of 9 (learning rate 0.001). No model is written."
    result = world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None))
    assert "loss is nan at step 3" in messages(result)[0]
    failed = world.check("sft_checkpoint", "finite_loss", None)
    assert (failed.passed, failed.description) == (False, "loss is nan at step 3 of 9. No model was written.")


def test_a_failed_training_shows_its_log_and_is_not_complete(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = new_world(patch, tmp_path)
    world.failing = "out of memory"
    result = world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None))
    assert len(messages(result)) == 1
    assert "out of memory" in messages(result)[0]
    assert state(world.run, "sft_checkpoint") == "missing"
    assert state(world.run, "eft_dataset") == "done"


def test_a_recipe_without_sft_starts_from_the_seed_model(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """M_0 is the seed model's own folder; nothing is copied or trained."""
    world = new_world(patch, tmp_path, "sft=null")
    assert world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None)).success
    assert world.materialize(Step("handoff", ("policy",), "1")).success
    record = world.run.record("policy", "1")
    assert record is not None
    assert record.model is not None
    seed = PROJECT / "data" / "seeds" / "small-world"
    assert (record.model["path"], record.model["name"]) == (str(seed), "seed")
    assert world.jobs == []
