"""The model that an iteration starts from: the handoff."""

from pathlib import Path

import pytest

from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets_tests.assets.conftest import Again
from mr_assets_tests.whole_runs.test_loop import messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_it_is_m0_and_then_the_model_that_the_iteration_before_made(finished: Run) -> None:
    for t, asset, key, name in (("1", "sft_checkpoint", None, "M0"), ("2", "checkpoints", "1", "M1")):
        record, parent = finished.record("policy", t), finished.record(asset, key)
        assert record is not None and record.model is not None
        assert parent is not None and parent.model is not None
        assert record.model == parent.model
        assert (record.model["name"], record.version) == (name, parent.version)
        assert record.inputs == {asset: parent.version}


def test_its_page_links_to_its_parent(again: Again) -> None:
    """The edge that is not drawn is a link."""
    world = again()
    assert world.materialize(Step("again", ("policy",), "2")).success
    shown = world.metadata("policy", "2")
    assert shown["parent"] == "/assets/tiny/checkpoints?view=partitions&partition=1"
    assert shown["trained into"] == "/assets/tiny/checkpoints?view=partitions&partition=2"
    record = world.run.record("checkpoints", "1")
    assert record is not None
    assert shown["fingerprint"] == record.version
    assert shown["model"] == "M1"


def test_iteration_2_before_1_says_what_comes_first(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It fails at policy, and nothing else is begun."""
    world = new_world(patch, tmp_path)
    result = world.materialize(Step("iteration 2", ("policy", "responses"), "2"))
    assert not result.success
    assert len(messages(result)) == 1
    assert "tiny/checkpoints of iteration 1 is not complete" in messages(result)[0]
    assert "Materialize it first" in messages(result)[0]
    assert world.opened == []
