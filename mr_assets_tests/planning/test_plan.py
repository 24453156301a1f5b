"""The whole plan: what fits, what does not, which fields to change, and the words."""

from pathlib import Path

import pytest

from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.fits import is_sharded, size
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.plan import Plan, make_plan, verdict
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

FSDP = "distributed_type: FSDP\nnum_processes: 8\n"


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
        ("h100", 1, "8b", (), [(), ()]),
        (
            "h100",
            8,
            "8b",
            (),
            [
                ("sft.accelerate_config=fsdp", "sft.num_processes=8", "sft.optimizer=adamw_torch"),
                ("dpo.accelerate_config=fsdp", "dpo.num_processes=8", "dpo.optimizer=adamw_torch"),
            ],
        ),
        ("h200", 1, "8b", ("dpo.micro_batch_size=8",), [("dpo.micro_batch_size=1",)]),
        (
            "h200",
            1,
            "8b",
            ("dpo.gradient_checkpointing=false", "sft=null", "dpo.optimizer=adamw_torch_fused"),
            [("dpo.micro_batch_size=1", "dpo.gradient_checkpointing=true", "dpo.optimizer=adamw_8bit")],
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


def test_adapters_are_not_told_to_take_fsdp(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """LoRA with FSDP is refused, so that it is no way out: 49 GB do not fit into eight cards of 24 GB each."""
    recipe = with_sets(paper, ["sft=null", "dpo.lora_r=16"])
    [problem] = planned(recipe, lengths, tmp_path, "4090", 8).problems
    assert problem.said.startswith("Training (dpo) needs 49 GB of each GPU")
    assert problem.change == ()


def test_pruned_policies_are_not_counted_as_kept(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """M0 and M4 stay, of M1 to M3 nothing."""
    plan, pruned = (
        planned(with_sets(paper, sets), lengths, tmp_path, None) for sets in ([], ["storage.keep_policies=1"])
    )
    assert plan.disk.kept - pruned.disk.kept == 3 * 4 * KNOWN["8b"].weights
    assert pruned.disk.most < plan.disk.most


def test_too_few_gpus(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    recipe = with_sets(paper, ["engine.tensor_parallel_size=4", "dpo.num_processes=2"])
    engine, dpo = planned(recipe, lengths, tmp_path, "h200", 1, "1b").problems
    assert engine.said == "engine.tensor_parallel_size = 4 needs 4 GPUs, there is 1."
    assert dpo.change == ("dpo.num_processes=1",)
    recipe = with_sets(paper, ["engine.tensor_parallel_size=2", "engine.replicas=4"])
    [engine] = planned(recipe, lengths, tmp_path, "h200", 6, "1b").problems
    assert engine.said == "engine.replicas = 4 with 2 GPUs each need 8 GPUs, there are 6."
    assert engine.change == ("engine.replicas=3",)


@pytest.mark.parametrize(
    ("count", "processes", "parts"), [(2, 2, 2), (3, 2, 2), (5, 4, 4), (6, 4, 4), (7, 4, 4), (12, 8, 8)]
)
def test_what_is_told_to_change_can_be_changed(
    paper: Recipe, lengths: Lengths, tmp_path: Path, count: int, processes: int, parts: int
) -> None:
    """A batch of 32 in passes of 2 goes to 2, 4, 8 or 16 processes; 32 heads, 8 with keys, to 2, 4, 8, 16 or 32."""
    recipe = with_sets(paper, ["sft=null", "engine.tensor_parallel_size=16", "dpo.num_processes=16"])
    problems = planned(recipe, lengths, tmp_path, "h200", count, "8b").problems
    changes = [change for problem in problems for change in problem.change]
    assert f"engine.tensor_parallel_size={parts}" in changes
    assert f"dpo.num_processes={processes}" in changes
    [problem] = planned(with_sets(paper, ["sft=null"]), lengths, tmp_path, "h100-nvl", count).problems
    assert problem.change[:2] == ("dpo.accelerate_config=fsdp", f"dpo.num_processes={processes}")
    assert with_sets(recipe, [*changes, *problem.change]).dpo.num_processes == processes


def test_an_engine_that_takes_two_gpus(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    """16 GB of weights and a cache of 16,384 tokens (2.1 GB) do not fit into 0.9 x 24 GB less 3 GB."""
    recipe = with_sets(paper, ["engine.max_model_len=32768"])
    problem, *_ = planned(recipe, lengths, tmp_path, "4090", 2).problems
    assert problem.said.startswith("The engine needs 23 GB of each GPU")
    assert problem.change == ("engine.tensor_parallel_size=2",)
    alone, *_ = planned(recipe, lengths, tmp_path, "4090", 1).problems
    assert alone.change == ()


def test_without_a_gpu_there_are_no_hours(paper: Recipe, lengths: Lengths, tmp_path: Path) -> None:
    plan = planned(paper, lengths, tmp_path, None)
    assert (plan.hours, plan.problems) == (None, [])
    assert {row.seconds for row in plan.rows} == {None}
    assert "no GPU is named" in verdict(plan)


@pytest.mark.parametrize(
    ("text", "sharded"),
    [(FSDP, True), ("distributed_type: DEEPSPEED", True), ("distributed_type: MULTI_GPU", False), ("[", True)],
)
def test_what_shares_the_weights_out(paper: Recipe, tmp_path: Path, text: str, sharded: bool) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert is_sharded(with_sets(paper, ["dpo.accelerate_config=a.yaml"]).dpo, tmp_path) is sharded
    assert not is_sharded(paper.dpo, tmp_path)


@pytest.mark.parametrize(
    ("count", "said"), [(1e5, "0.1 MB"), (9.5e8, "950 MB"), (9.3e9, "9.3 GB"), (1.11e11, "111 GB"), (2e12, "2.0 TB")]
)
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said
