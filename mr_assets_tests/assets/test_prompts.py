"""What the policy answers in an iteration."""

from pathlib import Path

import pytest

from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.tables import PROMPTS
from mr_assets_tests.assets.conftest import Again
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_iteration_has_its_own_five(finished: Run) -> None:
    """Rows of the seed prompts, as they are there; no prompt serves twice."""
    seeds = set(table(finished, "seed_prompts", None).rows())
    first, second = (table(finished, "prompts", t) for t in "12")
    for rows in (first, second):
        PROMPTS.check(rows)
        assert len(set(rows.rows()) & seeds) == rows.height == 5
    assert not set(first["prompt_id"]) & set(second["prompt_id"])
    record = finished.record("prompts", "1")
    assert record is not None
    assert (record.numbers, list(record.inputs)) == ({"prompts": 5}, ["seed_prompts"])


def test_prompts_before_seed_prompts(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = new_world(patch, tmp_path)
    result = world.materialize(Step("prompts", ("prompts",), "1"))
    assert "seed_prompts is not complete" in messages(result)[0]
    assert f"Materialize {world.run.family}/seed_prompts first" in messages(result)[0]


def test_prompts_of_another_seed_come_with_a_warning(finished: Run, again: Again) -> None:
    """The other iterations' prompts were drawn without regard to these."""
    world = again()
    for chosen, warnings in (({}, 0), ({"disjoint": False}, 0), ({"seed": 7}, 1)):
        result = world.materialize(Step("again", ("prompts",), "2"), prompts=chosen)
        logged = world.instance.all_logs(result.run_id)
        assert len([entry for entry in logged if "some may serve in both" in entry.user_message]) == warnings
    assert not world.table("prompts", "2").equals(table(finished, "prompts", "2"))
