"""The models beside the loop's own that a recipe runs."""

import pytest

from mr_assets.planning.other_models import Other, others
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets
from mr_assets.sampling.settings import RewardSettings

HELD_OUT = "held_out={source: p.jsonl, prompts: 9}"


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        ([], []),
        (
            ["reward_model={folder: rm, dtype: bfloat16}", "iterations.all.judge_training=false"],
            [Other("judgments", "reward_model", "rm", RewardSettings(folder="rm", dtype="bfloat16"))],
        ),
        (
            [HELD_OUT, "win_rates={judge: reward_model:rm}"],
            [Other("win_rates", "win_rates.judge", "rm", RewardSettings(folder="rm"))],
        ),
        ([HELD_OUT, "win_rates={judge: judge-7b}"], [Other("win_rates", "win_rates.judge", "judge-7b")]),
        ([HELD_OUT, "win_rates={judge: seed}"], []),
        (
            ["prompts={source: generated, generator: llama-70b, count: 20000}"],
            [Other("generated_prompts", "prompts.generator", "llama-70b")],
        ),
        (["prompts={source: generated, count: 20000}"], []),
        (["prompts={source: generated, generator: http://127.0.0.1:1/v1, count: 20000}", "generation.model=m"], []),
    ],
    ids=[
        "none",
        "rewards",
        "win rates by rewards",
        "another judge",
        "the seed model",
        "generator",
        "itself",
        "endpoint",
    ],
)
def test_a_recipes_other_models(paper: Recipe, sets: list[str], found: list[Other]) -> None:
    """Whose memory and hours are their own. What an endpoint runs is not here."""
    assert list(others(with_sets(paper, sets))) == found
