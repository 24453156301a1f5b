"""What the two training assets share: progress, and the job that a recipe's section makes."""

from pathlib import Path

import pytest

from mr_assets.recipes.load import load_recipe
from mr_assets.runs.run import Run
from mr_assets.training.accelerate_config import SHIPPED
from mr_assets.wiring import training
from mr_assets_tests.tiny import NAME
from mr_assets_tests.wiring.conftest import work


def test_progress_of_training_counts_from_the_first_step(
    run: Run, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """30 s for the models and step 1, then 5 steps in 10 s: one every two seconds, and 12 s for the last six."""
    on_metrics = training.reporter(work(run, "checkpoints"), "checkpoints (M1)")
    for seconds, step in [(30, 1), (40, 6)]:
        clock[0] = seconds
        on_metrics({"step": step, "total_steps": 12})
    assert caplog.messages == ["checkpoints (M1): 6 of 12 steps, 0.5/s, 12 s left"]


def test_an_epoch_that_is_taken_without_training_is_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Which one and from where; it is no progress."""
    caplog.set_level("INFO")
    on_metrics = training.reporter(work(run, "checkpoints"), "checkpoints (M1)")
    on_metrics({"kept_epoch": 2, "folder": "checkpoints/1/epochs/2"})
    [said] = caplog.messages
    assert said.startswith("checkpoints (M1): no step is trained.")
    assert "epoch 2 is taken from checkpoints/1/epochs/2" in said


def test_accelerates_configuration_is_looked_for_in_the_data_folder(tmp_path: Path) -> None:
    """As every file of a recipe; not where the command was given. The one that ships goes by its name."""
    recipe = load_recipe(NAME, ["dpo.accelerate_config=fsdp.yaml", "sft.accelerate_config=fsdp"])
    places = {"root": tmp_path, "model": tmp_path, "data": tmp_path, "out": tmp_path}
    assert training.training_job(
        "dpo", recipe.dpo, **places, keep_epoch=1, seed=0, learning_rate=1e-5
    ).accelerate_config == str(tmp_path / "fsdp.yaml")
    assert recipe.sft is not None
    sft = training.training_job("sft", recipe.sft, **places, seed=0)
    assert sft.accelerate_config == str(SHIPPED["fsdp"])
