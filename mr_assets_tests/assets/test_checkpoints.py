"""M_t, trained by DPO from M_{t-1}, by a fake trainer."""

import dagster as dg
import polars as pl
import pytest

from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.training.margins import MEAN, POSITIVE, scan_margins
from mr_assets_tests.assets.conftest import Again
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import FEW, HARM, World, messages

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_the_reward_margin_of_every_pair_lies_in_its_models_folder(finished: Run) -> None:
    """In the dataset's order; pair n of N has (n - 1)/4, so that the mean is (N - 3)/8. SFT has none."""
    for t in "12":
        margins, pairs = scan_margins(finished.path("checkpoints", t)), table(finished, "dpo_dataset", t)
        assert margins is not None
        assert margins.collect()["pair_id"].to_list() == pairs["pair_id"].to_list()
        record = finished.record("checkpoints", t)
        assert record is not None
        shown = record.numbers
        assert shown[MEAN.format("pairs")] == pytest.approx((pairs.height - 3) / 8)
        assert shown[POSITIVE.format("pairs")] == pytest.approx((pairs.height - 2) / pairs.height)
        assert (MEAN.format("judge pairs") in shown) == (t == "1")  # the second iteration trains the actor alone
    assert scan_margins(finished.path("sft_checkpoint")) is None


@pytest.mark.slow
def test_its_page_links_to_its_policies(again: Again) -> None:
    """The one that it was trained from, and the one that it becomes; the last becomes none."""
    world = again()
    for t in "12":
        world.make(Step("again", ("checkpoints",), t))
    shown = [world.metadata("checkpoints", t) for t in "12"]
    for t, metadata in zip("12", shown, strict=True):
        assert metadata["trained from"] == f"/assets/tiny/policy?view=partitions&partition={t}"
        assert metadata["policy"] == world.run.record("policy", t).version  # type: ignore[union-attr]
    assert shown[0]["handed over to"] == "/assets/tiny/policy?view=partitions&partition=2"
    assert "handed over to" not in shown[1]


def spoilt(again: Again, *sets: str) -> World:
    """A copy of the finished run in which one judgment of iteration 2 gives no score."""
    world = again(FEW, *sets)
    path = world.run.path("judgments", "2")
    first = pl.int_range(pl.len()) == 0
    spoilt = pl.read_parquet(path).with_columns(
        score=pl.when(~first).then("score"), invalid=pl.when(first).then(pl.lit("no_score"))
    )
    spoilt.write_parquet(path)
    return world


def test_a_harmful_finding_stops_training_alone(again: Again) -> None:
    """checkpoints is materialized alone: it refuses, names check, numbers and what to do, and its check has failed."""
    world = spoilt(again, HARM)
    before = world.run.record("checkpoints", "2")
    rows = world.table("judgments", "2").height
    result = world.materialize(Step("train", ("checkpoints",), "2"))
    assert not result.success
    assert world.jobs == []
    [said] = messages(result)
    assert "- parse_rate of judgments: Expected at least 100% of judgments to give a score, came " in said
    assert f"{rows - 1} of {rows}, the others 1 no_score. Read some without a score. Mend the template" in said
    assert "\n\nIf the data is as it should be, change guardrails.judgment_parse_rate_at_least.stop" in said
    assert said.endswith("recipe.yaml, then re-execute the run from failure or materialize checkpoints again.")
    failed = world.check("checkpoints", "data_is_fit", "2")
    assert (failed.passed, failed.severity, failed.description) == (False, dg.AssetCheckSeverity.ERROR, said)
    assert (failed.blocking, failed.metadata["harmful"].value) == (True, 1)
    untouched = world.check("checkpoints", "finite_loss", "2")
    assert (untouched.passed, untouched.description) == (True, "Nothing was trained.")
    follows = world.check("checkpoints", "follows_from_ancestors", "2")
    assert (follows.passed, follows.severity, follows.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert "do not follow from their ancestors" in (follows.description or "")
    assert world.run.record("checkpoints", "2") == before


def test_a_warning_does_not_stop_training(again: Again) -> None:
    """The same judgment with the bound as a warning: training goes on and names it."""
    warn = "guardrails.judgment_parse_rate_at_least={warn: 1.0, stop: 0.5}"
    world = spoilt(again, warn)
    assert world.materialize(Step("train", ("checkpoints",), "2")).success
    assert len(world.jobs) == 1
    fit = world.check("checkpoints", "data_is_fit", "2")
    assert fit.passed
    assert "1 warn: parse_rate of judgments" in (fit.description or "")


def test_no_pairs_no_training(again: Again) -> None:
    """A dataset that is empty stops the iteration, with where to look."""
    world = again()
    world.table("dpo_dataset", "2").clear().write_parquet(world.run.path("dpo_dataset", "2"))
    result = world.materialize(Step("train", ("checkpoints",), "2"))
    assert "Iteration 2 is not trained" in messages(result)[0]
    assert (
        "not_empty of dpo_dataset: Expected at least 1 row, came 0 rows. See what dpo_dataset dropped"
        in messages(result)[0]
    )
    assert world.jobs == []


def test_a_margin_that_is_no_number_fails_the_check_of_the_loss(again: Again) -> None:
    """The last step's loss was fine, what it made of the model is not: no model is written."""
    world = again()
    world.failing = "error: reward margin is nan after step 9, for 3 of 8 pairs (the first is x). No model is written."
    assert not world.materialize(Step("train", ("checkpoints",), "2")).success
    failed = world.check("checkpoints", "finite_loss", "2")
    assert (failed.passed, failed.description) == (False, "reward margin is nan after step 9. No model was written.")


def test_a_failed_training_calls_no_check_before_it_failed(again: Again) -> None:
    """What was asked before the training stays on the page as it was answered; Dagster would call it failed."""
    world = again(FEW)
    world.failing = "out of memory"
    assert "out of memory" in messages(world.materialize(Step("train", ("checkpoints",), "2")))[0]
    for name in ("data_is_fit", "follows_from_ancestors"):
        assert world.check("checkpoints", name, "2").passed
