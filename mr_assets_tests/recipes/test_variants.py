"""The variants of the paper's recipes: for other GPUs, where the method's numbers stay, and the ablations of 3.5."""

from pathlib import Path

import pytest

from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.lengths import assumed_lengths
from mr_assets.planning.plan import make_plan
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.differences import differences
from mr_assets.recipes.load import load_recipe
from mr_assets.templates import judge_template, meta_judge_template

PAPER = ("llama_3_8b_meta_rewarding", "llama_3_8b_self_rewarding")
NOT_THE_METHODS = ("title", "family", "engine.replicas")
FSDP = {
    f"{section}.{field}"
    for section in ("sft", "dpo")
    for field in ("optimizer", "num_processes", "accelerate_config", "micro_batch_size")
}


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize(
    ("suffix", "gpu", "count"), [("", "h200", 1), ("_8_h100", "h100", 8), ("_8_a100_40gb", "a100-40", 8)]
)
def test_it_fits_on_the_gpus_that_it_is_for(name: str, suffix: str, gpu: str, count: int, tmp_path: Path) -> None:
    """And differs from the paper's in speed, memory and the optimizer's precision alone."""
    recipe = load_recipe(name + suffix)
    lengths = assumed_lengths(recipe, judge_template(), meta_judge_template())
    assert make_plan(name, recipe, KNOWN["8b"], lengths, tmp_path, GPUS[gpu], count).problems == []
    changed = {each.path for each in differences(load_recipe(name), recipe)}
    assert changed <= {*NOT_THE_METHODS, *FSDP}


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize(("suffix", "longest"), [("_no_length_control", None), ("_length_filter", 2500)])
def test_an_ablation_differs_in_its_last_row_alone(name: str, suffix: str, longest: int | None) -> None:
    """3.5 and Table 4: rho = 0 in the last iteration; with it, a filter of 2,500 characters."""
    paper, ablation = load_recipe(name), load_recipe(name + suffix)
    assert ablation.iterations[:3] == paper.iterations[:3]
    last = paper.row(4).model_copy(update={"rho": 0.0, "max_chosen_chars": longest})
    assert ablation.row(4) == last != paper.row(4)
    assert ablation.model_copy(update={"iterations": ()}) == paper.model_copy(
        update={"iterations": (), "title": ablation.title, "description": ablation.description}
    )


def test_the_reward_models_ablation_is_the_first_iteration_without_a_judge() -> None:
    """3.5: of the first iteration; all else is that of the run it stands beside."""
    paper, ablation = (load_recipe(f"llama_3_8b_self_rewarding{end}") for end in ("", "_reward_model"))
    changed = {each.path for each in differences(paper, ablation) if each.path.partition(".")[0] != "iterations"}
    assert {path.partition(".")[0] for path in changed} <= {"title", "description", "reward_model"}
    assert ablation.iterations == paper.iterations[:1]
    assert ablation.reward_model is not None and "Starling-RM-34B" in ablation.reward_model.folder
