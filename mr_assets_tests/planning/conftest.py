"""The paper's recipe on the model that it is for, as every test of this room plans with."""

import pytest

from mr_assets.planning.lengths import Lengths, assumed_lengths
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets.templates import judge_template, meta_judge_template


@pytest.fixture(scope="session")
def paper() -> Recipe:
    return load_recipe("llama_3_8b_meta_rewarding")


@pytest.fixture(scope="session")
def lengths(paper: Recipe) -> Lengths:
    return assumed_lengths(paper, judge_template(), meta_judge_template())
