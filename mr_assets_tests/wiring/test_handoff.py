"""The handoff from one iteration to the next."""

import dagster as dg
import pytest

from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.wiring.handoff import handed_over
from mr_assets_tests.tiny import complete


def test_the_first_iteration_starts_from_the_familys_model(run: Run) -> None:
    with pytest.raises(dg.Failure, match=rf"{run.family}/sft_checkpoint is not complete: .*Materialize it first") as no:
        handed_over(run, 1)
    assert not no.value.allow_retries
    complete(run, "sft_checkpoint", version="f00d")
    assert handed_over(run, 1) == Model(f"{run.family}/sft_checkpoint", "f00d", "M0")


def test_a_later_iteration_starts_from_the_one_before(run: Run) -> None:
    """Without M1 the message names what to materialize first: checkpoints of iteration 1."""
    complete(run, "sft_checkpoint")
    with pytest.raises(dg.Failure, match=r"tiny/checkpoints of iteration 1 is not complete: .*Materialize it first"):
        handed_over(run, 2)
    complete(run, "checkpoints", "1", version="beef")
    assert handed_over(run, 2) == Model("tiny/checkpoints/1", "beef", "M1")


def test_a_model_without_its_record_is_not_handed_over(run: Run) -> None:
    """A folder that a killed training or copy left is no model yet."""
    run.path("checkpoints", "1").mkdir(parents=True)
    (run.path("checkpoints", "1") / "model.safetensors").write_bytes(b"half")
    with pytest.raises(dg.Failure, match="checkpoints of iteration 1"):
        handed_over(run, 2)
