"""How many GPUs an asset works on follows from the recipe."""

import pytest

from mr_assets.loop import LOOP
from mr_assets.recipes.gpus import fields_of, gpus
from mr_assets_tests.tiny import tiny_recipe

SAMPLING = ("responses", "judgments", "meta_judgments", "evaluation")


def asked(*sets: str) -> dict[str, int]:
    """Of each asset that asks for any, how many."""
    recipe = tiny_recipe(*sets)
    return {asset: count for asset in LOOP.of(recipe) if (count := gpus(recipe, asset))}


def test_engine_and_trainer_have_one_each_by_default() -> None:
    assert asked() == dict.fromkeys((*SAMPLING, "sft_checkpoint", "checkpoints"), 1)


@pytest.mark.parametrize(
    ("sets", "assets", "count"),
    [
        (("engine.tensor_parallel_size=4",), SAMPLING, 4),
        (("engine.tensor_parallel_size=2", "engine.extra.pipeline_parallel_size=3"), SAMPLING, 6),
        (("engine.tensor_parallel_size=2", "engine.replicas=4"), SAMPLING, 8),
        (("dpo.num_processes=2", "dpo.micro_batch_size=8"), ("checkpoints",), 2),
        (("sft.num_processes=8", "sft.micro_batch_size=1"), ("sft_checkpoint",), 8),
    ],
)
def test_each_gpu_of_an_engine_and_each_training_process_counts(
    sets: tuple[str, ...], assets: tuple[str, ...], count: int
) -> None:
    assert asked(*sets) == asked() | dict.fromkeys(assets, count)


def test_the_seed_model_judges_replies_with_an_engine() -> None:
    rankings = "eft.source=open_assistant:trees.jsonl"
    assert asked(rankings) == asked() | {"eft_judgments": 1}
    assert asked(rankings, "eft.judged_by=ranks") == asked()


def test_without_sft_the_first_model_needs_none() -> None:
    """It is the seed model itself."""
    assert "sft_checkpoint" not in asked("sft=null")


def test_the_fields_are_those_by_which_it_changes() -> None:
    assert fields_of("judgments") == ("engine.tensor_parallel_size", "engine.replicas")
    assert fields_of("checkpoints") == ("dpo.num_processes",)
    assert fields_of("sft_checkpoint") == ("sft.num_processes",)
