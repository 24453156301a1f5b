"""What lies behind a guardrail's finding, in Dagster: with a launchpad's value, and once more before training."""

import dagster as dg
import pytest

from mr_assets.definitions import build_definitions
from mr_assets.runs.run import Run
from mr_assets.wiring.checks import background, iteration_findings, tables_of

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_a_launchpads_value_that_leaves_no_pair_is_named(run: Run) -> None:
    """actor_pairs[1] with max_chosen_chars 1: the failed checks say so as it is made, and before training again."""
    job = build_definitions([run]).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey([run.name, "actor_pairs"])
    result = job.execute_in_process(
        run_config={"ops": {f"{run.name}__actor_pairs": {"config": {"max_chosen_chars": 1}}}},
        asset_selection=[key],
        partition_key="1",
        raise_on_error=False,
    )
    [empty] = [e for e in result.get_asset_check_evaluations() if e.check_name == "not_empty"]
    assert not empty.passed
    for text in (
        empty.description or "",
        next(f.said for f in iteration_findings(run, 1, tables_of(run, 1)) if not f.passed),
    ):
        assert "chosen_too_long" in text
        assert "by iteration.max_chosen_chars = 1." in text
        assert "actor_pairs with max_chosen_chars = 1 (the recipe: null)" in text
        assert "The bound is not what is wrong" in text
    assert [d.asset for d in background(run, "dpo_dataset", "1").departed] == ["actor_pairs"]
    assert background(run, "dpo_dataset", "2").departed == ()
