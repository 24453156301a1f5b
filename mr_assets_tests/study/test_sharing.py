"""An arm takes of another what it would make alike, and nothing else; the run that comes of it is whole."""

from pathlib import Path

import pytest

from mr_assets.lineage.verification import verify
from mr_assets.loop import Place
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets_tests.study.sharing import is_of, share
from mr_assets_tests.tiny import copied, tiny_recipe


def shared(source: Run, name: str, *sets: str) -> tuple[Run, list[Place]]:
    """A run beside `source`, and what it takes of it."""
    run = Run(name, tiny_recipe(*sets), source.data)
    return run, share(source, run)


@pytest.fixture
def source(finished: Run, tmp_path: Path) -> Run:
    """A copy of the finished run, beside which others may be made."""
    copied(finished.data, tmp_path / "data")
    return Run(finished.name, finished.recipe, tmp_path / "data", finished.launched_family)


def test_without_judge_training_the_actors_side_of_iteration_1_is_the_same(source: Run) -> None:
    run, taken = shared(source, "self", "judge_training=false")
    first = {asset for asset, at in taken if at == "1" and asset != "evaluation"}
    assert first == {"policy", "prompts", "responses", "judgments", "actor_pairs"}
    assert all(state(run, *place) == "done" and is_of(source, run, place) for place in taken)
    assert {at for _, at in taken} == {"seed", "0", "1"}


def test_what_is_set_otherwise_is_not_taken_nor_what_comes_of_it(source: Run) -> None:
    """rho shapes the actor pairs of every iteration, and so the dataset and M1; other temperatures the responses."""
    _, taken = shared(source, "rho", "rho=0.45")
    assert ("elo_pairs", "1") in taken
    assert not {("actor_pairs", "1"), ("dpo_dataset", "1"), ("checkpoints", "1"), ("evaluation", "1")} & set(taken)
    _, taken = shared(source, "warm", "responses.temperature=0.71")
    assert {asset for asset, at in taken if at == "1"} == {"policy", "prompts"}


def test_an_equal_run_takes_all_of_iteration_1_and_is_sound(source: Run) -> None:
    run, taken = shared(source, "again")
    assert {("checkpoints", "1"), ("evaluation", "1")} <= set(taken)
    assert not any(at == "2" for _, at in taken)
    assert run.path("responses", "1").samefile(source.path("responses", "1"))
    assert share(source, run) == []
    assert [fault for fault in verify(run) if "is missing" not in str(fault)] == []


def test_what_is_damaged_is_not_taken(source: Run) -> None:
    source.path("judgments", "1").write_bytes(b"")
    _, taken = shared(source, "again")
    assert ("responses", "1") in taken and ("judgments", "1") not in taken and ("actor_pairs", "1") not in taken
