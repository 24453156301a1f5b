"""Which runs share seed prompts, EFT data and M_0, and the name that they share them under."""

import re
from pathlib import Path

import pytest

from mr_assets.recipes.family import family_name, family_settings
from mr_assets.recipes.load import load_recipe
from mr_assets_tests.recipes.conftest import DEFAULT, written


@pytest.mark.parametrize(
    "sets",
    [["seed=1"], ["sft.keep_epoch=2", "sft.schedule_epochs=2"], ["sft=null"], ["prompts.count=700"],
     ["model.seed=other"], ["world.judge_noise=0.3"], ["eft.examples=5"], ["judgments.template=mine.txt"]],
)  # fmt: skip
def test_what_shapes_the_shared_artifacts_has_a_family_of_its_own(sets: list[str]) -> None:
    """Runs that would make other seed prompts, EFT data or M_0 share them only with a baseline changed alike."""
    changed, plain = load_recipe(DEFAULT, sets), load_recipe(DEFAULT)
    assert re.fullmatch(r"small_world_[0-9a-f]{6}", family_name(changed))
    assert family_settings(changed) != family_settings(plain)
    assert family_name(load_recipe("small_world_self_rewarding", sets)) == family_name(changed)


@pytest.mark.parametrize(
    "sets",
    [["beta=0.2"], ["iterations.all.prompts=20"], ["responses.k=3"], ["judgments.n=5"], ["prompts.disjoint=false"],
     ["sft.micro_batch_size=8"], ["model.allow_hub=true"], ["engine.max_num_seqs=8"], ["evaluation=null"],
     ["guardrails.min_count=1"]],
)  # fmt: skip
def test_what_does_not_shape_them_shares_the_family(sets: list[str]) -> None:
    """A variant of the loop starts from the same M_0."""
    assert family_name(load_recipe(DEFAULT, sets)) == "small_world"


def test_family_without_a_shipped_base(tmp_path: Path) -> None:
    """Where no base defines the plain name, the hash is always there, so that two such families cannot collide."""
    path = written(tmp_path, f"extends: {DEFAULT}\nfamily: mine\n")
    assert re.fullmatch(r"mine_[0-9a-f]{6}", family_name(load_recipe(path)))


def test_family_names_differ_by_seed() -> None:
    """Five seeds, five families."""
    assert len({family_name(load_recipe(DEFAULT, [f"seed={i}"])) for i in range(5)}) == 5
