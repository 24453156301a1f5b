"""Weights that nothing needs any more are removed; the model is then pruned, and no less current for it."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.files import note_of
from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import plan, steps
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.artifact import Model
from mr_assets.runs.branch import branch
from mr_assets.runs.pruning import prunable, prune
from mr_assets.runs.run import Run
from mr_assets.runs.status import damaged, lines, places, state
from mr_assets_tests.tiny import complete, tiny_recipe


def finished(data: Path, keep: int | None = 1) -> Run:
    """A run of four iterations of which everything is there; each trained model has weights of 1,000 bytes."""
    run = Run("tiny", with_iterations(tiny_recipe(f"storage.keep_policies={json.dumps(keep)}"), 4), data)
    for asset, partition in places(run):
        record = complete(run, asset, partition, version=f"{asset} {partition}")
        if asset == "checkpoints":
            folder = run.path(asset, partition)
            for name in ("model.safetensors", "epochs/2/model.safetensors", "epochs/1/model.safetensors"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(bytes(1000))
            (folder / "training_log.jsonl").write_text("")
            files = {n: note_of(folder / n, content=False) for n in ("model.safetensors", "training_log.jsonl")}
            (folder / "complete.json").write_text(json.dumps(asdict(replace(record, files=files))))
    return run


@pytest.mark.parametrize(("keep", "expected"), [(None, []), (1, ["1", "2", "3"]), (3, ["1"]), (4, [])])
def test_the_newest_models_keep_their_weights(tmp_path: Path, keep: int | None, expected: list[str]) -> None:
    assert prunable(finished(tmp_path, keep)) == expected


@pytest.mark.parametrize("place", [("evaluation", "2"), ("responses", "3"), ("checkpoints", "3")])
def test_a_model_that_is_still_needed_keeps_its_weights(tmp_path: Path, place: tuple[str, str]) -> None:
    """M2 is, until it is evaluated and all of iteration 3 is there, which starts from it."""
    run = finished(tmp_path)
    run.record_path(*place).unlink()
    assert "2" not in prunable(run)


def test_a_pruned_model_is_current_and_so_is_what_was_made_of_it(tmp_path: Path) -> None:
    """Weights and kept epochs are gone, 3,000 bytes each; log and record stay, and nothing is damaged or missing."""
    run = finished(tmp_path, 2)
    freed = prune(run)
    assert list(freed) == ["1", "2"]
    assert all(2900 < size <= 3000 for size in freed.values())
    for t in ("1", "2"):
        assert sorted(p.name for p in run.path("checkpoints", t).iterdir()) == ["complete.json", "training_log.jsonl"]
    assert (run.path("checkpoints", "3") / "model.safetensors").exists()
    assert {state(run, *place) for place in places(run)} == {"done"}
    assert damaged(run) == {}
    assert [line[:30] for line in lines(run) if "since" in line] == [f"  checkpoints of iteration {t}: " for t in "12"]
    assert prune(run) == {}
    (run.path("checkpoints", "1") / "training_log.jsonl").unlink()
    assert state(run, "checkpoints", "1") == "missing", "what stayed is looked after as before"


def test_weights_that_a_kill_left_are_removed_by_the_next_one(tmp_path: Path) -> None:
    """The record is written first."""
    run = finished(tmp_path)
    prune(run)
    left = run.path("checkpoints", "1") / "model.safetensors"
    left.write_bytes(b"weights")
    prune(run)
    assert not left.exists()


def test_what_needs_the_weights_again_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Before anything is made: by the plan, by the steps, and for a branch. M2 can be trained again from M1 alone."""
    run = finished(tmp_path)
    prune(run)
    run.record_path("responses", "3").unlink()
    one, two = (run.path("checkpoints", t) for t in "12")
    for ask in (plan, lambda run: list(steps(run))):
        with pytest.raises(UserError, match=r"responses of iteration 3 of tiny cannot be re-materialized") as refused:
            ask(run)
        assert f"remove {one} and {two}; `mr run` then makes what is missing" in str(refused.value)
    shutil.rmtree(one)
    shutil.rmtree(two)
    assert [step.partition for step, _ in plan(run)] == ["1", "1", "2", "2", "3", "3", "4", "4"]


def test_a_branch_needs_the_weights_that_it_starts_from(tmp_path: Path) -> None:
    run = finished(tmp_path)
    prune(run)
    with pytest.raises(UserError, match=r"policy of iteration 3 of tiny cannot be re-materialized. The weights of M2"):
        branch(run, "other", 3)
    assert not (tmp_path / "other").exists()


def test_an_evaluation_needs_them_too(tmp_path: Path) -> None:
    run = finished(tmp_path)
    prune(run)
    run.record_path("evaluation", "1").unlink()
    with pytest.raises(UserError, match="evaluation of M1 of tiny cannot be re-materialized"):
        list(steps(run))


def test_a_pruned_model_is_not_damaged(tmp_path: Path) -> None:
    """Whoever loads it is told; `mr verify` holds nothing against it, but of another one that its weights are gone."""
    run = finished(tmp_path, 3)
    prune(run)
    model = Model("tiny/checkpoints/1", "checkpoints 1", "M1")
    with pytest.raises(
        UserError, match=r"The weights of M1 were removed on 20\d\d-\d\d-\d\d, as storage.keep_policies"
    ):
        model.check(tmp_path)
    of_weights = [str(fault) for fault in verify(run, assets=["checkpoints"]) if "fingerprint" in str(fault)]
    assert [said.partition(":")[0] for said in of_weights] == [
        title for t in "234" for title in [f"checkpoints of iteration {t}"] * 2
    ]
