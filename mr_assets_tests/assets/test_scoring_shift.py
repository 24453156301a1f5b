"""How the judge's scores moved on responses that stay the same, by a fake engine."""

import polars as pl
import pytest

from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import World

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_it_compares_with_the_model_before_and_the_seed(probed: Run) -> None:
    """Of M0 both are the seed; of the seed itself there is no model before."""
    m0, seed = (probed.record("scoring_shift", model) for model in ("0", "seed"))
    assert m0 is not None
    assert seed is not None
    assert list(m0.inputs) == ["held_out_responses of seed", "probe_judgments", "probe_judgments of seed"]
    assert m0.numbers["shift_previous"] == m0.numbers["shift_seed"]
    assert seed.numbers["shift_seed"] == 0
    assert "shift_previous" not in seed.numbers
    means = table(probed, "probe_judgments", "0").group_by("response_id").agg(pl.col("score").mean())
    rows = table(probed, "scoring_shift", "0").join(means, on="response_id")
    assert rows.filter((pl.col("mean") - pl.col("score")).abs() > 1e-6).is_empty()
    worth = table(probed, "held_out_responses", "seed").select("response_id", true="true_score")
    assert rows.join(worth, on="response_id").filter(pl.col("true") != pl.col("true_score")).is_empty()


def test_it_has_a_picture_and_checks_that_warn(probed_copy: World) -> None:
    """Made again in a copy, whose history has it."""
    probed_copy.make(Step("again", ("scoring_shift",), "0"))
    assert "picture: densities" in probed_copy.metadata("scoring_shift", "0")
    checks = ["mean_shift", "score_entropy", "self_consistency", "top_score_share"]
    assert sorted(probed_copy.check_specs("scoring_shift")) == checks
    found = {name: probed_copy.check("scoring_shift", name, "0") for name in checks}
    assert not any(check.blocking for check in found.values())
    assert "came 0" in str(found["top_score_share"].description)


def test_rows_that_do_not_follow_from_their_ancestors_are_found(probed_copy: World) -> None:
    assert list(verify(probed_copy.run, None, ["scoring_shift"])) == []
    path = probed_copy.run.path("scoring_shift", "0")
    pl.read_parquet(path).with_columns(mean=pl.lit(9.0)).write_parquet(path)
    said = [str(fault) for fault in verify(probed_copy.run, None, ["scoring_shift"])]
    assert any("mean is 9.0, its ancestors give" in each for each in said)
