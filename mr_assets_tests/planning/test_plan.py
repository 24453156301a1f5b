"""The whole plan: what fits, what does not, which fields to change, and the words."""

from pathlib import Path

import pytest

from mr_assets.planning.data_sheets import GPUS, Card
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.plan import Plan, make_plan, verdict
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets


def planned(recipe: Recipe, lengths: Lengths, data: Path, gpu: str | None, count: int = 1, shape: str = "8b") -> Plan:
    return make_plan("a run", recipe, KNOWN[shape], lengths, data, GPUS[gpu] if gpu else None, count)


def test_the_papers_recipe_on_one_h200(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """It is meant for it. Most of the time is the meta-judge's, two iterations of it 12 hours."""
    plan = planned(paper, lengths, tmp_path, "h200")
    assert plan.problems == []
    assert plan.hours == pytest.approx(28, abs=2)
    assert plan.hours == pytest.approx(sum(row.seconds or 0 for row in plan.rows) / 3600)
    said = verdict(plan)
    assert "a run fits on 1 x NVIDIA H200 (141 GB). 4 iterations would take about 28 hours" in said
    assert "Most of it goes into meta_judgments (12 hours), then checkpoints" in said
    assert "The disk needs 215 GB, of which 164 GB stay." in said


@pytest.mark.parametrize(
    ("gpu", "count", "shape", "sets", "changes"),
    [
        ("h100", 1, "8b", (), [("sft.lora_r=16",), ("dpo.lora_r=16",)]),
        (
            "h100",
            8,
            "8b",
            (),
            [
                ("sft.optimizer=adamw_torch", "sft.num_processes=8", "sft.accelerate_config=fsdp"),
                ("dpo.optimizer=adamw_torch", "dpo.num_processes=8", "dpo.accelerate_config=fsdp"),
            ],
        ),
        ("h200", 1, "8b", ("dpo.micro_batch_size=8",), [("dpo.micro_batch_size=1",)]),
        (
            "h200",
            1,
            "8b",
            ("dpo.gradient_checkpointing=false", "sft=null", "dpo.optimizer=adamw_torch_fused"),
            [("dpo.micro_batch_size=1", "dpo.optimizer=adamw_8bit", "dpo.gradient_checkpointing=true")],
        ),
        ("l40s", 1, "1b", (), []),
        ("4090", 2, "8b", ("engine.max_model_len=65536", "sft=null", "dpo.max_length=128"), None),
        ("h200", 2, "1b", ("engine.tensor_parallel_size=4", "dpo.num_processes=4"), None),
    ],
)
def test_what_does_not_fit(
    paper: Recipe,
    lengths: Lengths,
    tmp_path: Path,
    gpu: str,
    count: int,
    shape: str,
    sets: tuple[str, ...],
    changes: list[tuple[str, ...]] | None,
) -> None:
    """Each problem names the fields, and with them changed it is none any more."""
    recipe = with_sets(paper, sets)
    plan = planned(recipe, lengths, tmp_path, gpu, count, shape)
    if changes is not None:
        assert [problem.change for problem in plan.problems] == changes
    assert bool(plan.problems) == ("does not fit" in verdict(plan))
    fixes = [change for problem in plan.problems for change in problem.change]
    mended = planned(with_sets(recipe, fixes), lengths, tmp_path, gpu, count, shape) if fixes else plan
    assert [problem for problem in mended.problems if problem.change] == []


def test_hours_and_memory_are_of_the_gpus_that_are_there(lengths: Lengths, tmp_path: Path) -> None:
    """Of eight GPUs that the recipe is for there are two: four times the hours, and four times the FSDP's share."""
    recipe = load_recipe("llama_3_8b_meta_rewarding_8_h100")
    eight, two, one = (planned(recipe, lengths, tmp_path, "b200", count) for count in (8, 2, 1))
    assert eight.begun == eight.recipe == two.recipe == recipe
    assert eight.hours is not None and two.hours == pytest.approx(4 * eight.hours)
    assert two.begun.engine.replicas == two.begun.dpo.num_processes == 2
    assert two.memory["dpo"].certain["weights"] == 4 * eight.memory["dpo"].certain["weights"]
    assert two.host["dpo"] == eight.host["dpo"] / 4
    assert one.begun.dpo.accelerate_config is None
    assert one.memory["dpo"].certain["weights"] == 4 * KNOWN["8b"].weights
    assert planned(recipe, lengths, tmp_path, None).begun == recipe


def test_a_card_without_a_data_sheet(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """Its memory is known, and no hours."""
    card = Card("NVIDIA A10G", "NVIDIA A10G", 24.1)
    plan = make_plan("a run", paper, KNOWN["8b"], lengths, tmp_path, card, 1)
    assert [problem.of for problem in plan.problems] == ["sft", "dpo"]
    assert plan.hours is None and plan.memory["dpo"].needed > 24.1e9
    assert "a run does not fit on 1 x NVIDIA A10G (24 GB)" in verdict(plan)
    assert "There are no hours: no data sheet of this card is known. Name one like it with --gpu" in verdict(plan)


def test_pruned_policies_are_not_counted_as_kept(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """M0 and M4 stay, of M1 to M3 nothing."""
    plan, pruned = (
        planned(with_sets(paper, sets), lengths, tmp_path, None) for sets in ([], ["storage.keep_policies=1"])
    )
    assert plan.disk.kept - pruned.disk.kept == 3 * 4 * KNOWN["8b"].weights
    assert pruned.disk.most < plan.disk.most


def test_without_a_gpu_there_are_no_hours(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    plan = planned(paper, lengths, tmp_path, None)
    assert (plan.hours, plan.problems) == (None, [])
    assert {row.seconds for row in plan.rows} == {None}
    assert "no GPU is named" in verdict(plan)
