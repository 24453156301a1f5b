"""What does not fit on GPUs, on a CPU and into the host's memory, and the fields that are named to change."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.fits import (
    Problem,
    can_share,
    cpu_problems,
    gpu_problems,
    host_memory_of,
    host_problems,
    is_sharded,
    memory_of,
    most_parts,
    most_processes,
    on_gpus,
    sections,
    size,
    training_of,
)
from mr_assets.planning.shapes import KNOWN
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

FSDP = "distributed_type: FSDP\nnum_processes: 8\n"
SHAPE = KNOWN["8b"]
MODEL = 4 * SHAPE.weights
"""Bytes of the 8B model in fp32: 32.1 GB."""
GIB = 2**30
MORE = ("take larger GPUs, or more of them.", "take larger GPUs, or more of them for FSDP.", "take larger GPUs.")
"""How a problem ends that no setting mends."""


@pytest.fixture(scope="session")
def eight() -> Recipe:
    return load_recipe("llama_3_8b_meta_rewarding_8_h100")


def problems(recipe: Recipe, data: Path, gpu: str, count: int, shape: str = "8b") -> list[Problem]:
    """On so many GPUs of that name."""
    return list(gpu_problems(recipe, KNOWN[shape], data, GPUS[gpu].memory, count))


def test_a_recipes_trainings(paper: Recipe) -> None:
    """Without SFT there is one; an asset's is the one that trains its model."""
    assert sections(paper) == {"sft": paper.sft, "dpo": paper.dpo}
    assert sections(with_sets(paper, ["sft=null"])) == {"dpo": paper.dpo}
    assert training_of(paper, "sft_checkpoint") is paper.sft
    assert training_of(paper, "checkpoints") is paper.dpo


@pytest.mark.parametrize(
    ("text", "sharded"),
    [(FSDP, True), ("distributed_type: DEEPSPEED", True), ("distributed_type: MULTI_GPU", False), ("[", True)],
)
def test_what_shares_the_weights_out(paper: Recipe, tmp_path: Path, text: str, sharded: bool) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert is_sharded(with_sets(paper, ["dpo.accelerate_config=a.yaml"]).dpo, tmp_path) is sharded
    assert not is_sharded(paper.dpo, tmp_path)


# ---------------------------------------------------------------------------------------------------------------- GPUs


@pytest.mark.parametrize(
    ("batch", "micro", "count", "most"),
    [(32, 2, 1, 1), (32, 2, 3, 2), (32, 2, 100, 16), (6, 1, 5, 3), (6, 2, 2, 1), (7, 1, 6, 1), (7, 1, 8, 7)],
)
def test_the_most_processes_that_share_batches_out(
    paper: Recipe, batch: int, micro: int, count: int, most: int
) -> None:
    """A batch of 6 in passes of 2 has three passes, which two processes cannot share."""
    section = paper.dpo.model_copy(update={"batch_size": batch, "micro_batch_size": micro})
    assert most_processes(section, count) == most


@pytest.mark.parametrize(
    ("shape", "count", "most"),
    [("8b", 1, 1), ("8b", 7, 4), ("8b", 31, 16), ("8b", 64, 32), ("0.5b", 14, 2), ("1.5b", 14, 4), ("135m", 8, 3)],
)
def test_the_most_gpus_that_share_a_model_out(shape: str, count: int, most: int) -> None:
    """8 heads with keys go to 32 GPUs, too, four of which have a copy of each; of 9 heads 3 are there.

    14 heads go to 14 GPUs, but a feed-forward width of 4,864 does not; 7 have no whole share of two heads with keys.
    """
    assert most_parts(KNOWN[shape], count) == most
    assert can_share(KNOWN[shape], most)


def test_adapters_are_not_told_to_take_fsdp(paper: Recipe, tmp_path: Path) -> None:
    """LoRA with FSDP is refused, so that it is no way out: 49 GB do not fit into eight cards of 24 GB each."""
    recipe = with_sets(paper, ["sft=null", "dpo.lora_r=16"])
    [problem] = problems(recipe, tmp_path, "4090", 8)
    assert problem.said.startswith("Training (dpo) needs 49 GB of each GPU")
    assert problem.change == ()


def test_too_few_gpus(paper: Recipe, tmp_path: Path) -> None:
    recipe = with_sets(paper, ["engine.tensor_parallel_size=4", "dpo.num_processes=2"])
    engine, dpo = problems(recipe, tmp_path, "h200", 1, "1b")
    assert engine.said == "engine.tensor_parallel_size = 4 needs 4 GPUs, there is 1."
    assert dpo.change == ("dpo.num_processes=1",)
    recipe = with_sets(paper, ["engine.tensor_parallel_size=2", "engine.replicas=4"])
    [engine] = problems(recipe, tmp_path, "h200", 6, "1b")
    assert engine.said == "engine.tensor_parallel_size = 2 x engine.replicas = 4 needs 8 GPUs, there are 6."
    assert engine.change == ("engine.replicas=3",)


def test_pipeline_ranks_ask_for_gpus_of_their_own(paper: Recipe, tmp_path: Path) -> None:
    """Two tensor parallel ranks with four pipeline ranks each are eight GPUs, of every replica."""
    recipe = with_sets(paper, ["engine.tensor_parallel_size=2", "engine.extra.pipeline_parallel_size=4"])
    assert problems(recipe, tmp_path, "h200", 8) == []
    [engine] = problems(recipe, tmp_path, "h200", 4)
    assert engine.said == (
        "engine.tensor_parallel_size = 2 x engine.extra.pipeline_parallel_size = 4 needs 8 GPUs, there are 4."
    )
    assert (engine.change, engine.certain) == (("engine.extra.pipeline_parallel_size=1",), True)
    [engine] = problems(with_sets(recipe, ["engine.replicas=3"]), tmp_path, "h200", 16)
    assert engine.change == ("engine.replicas=2",)
    found = problems(with_sets(paper, ["engine.extra.pipeline_parallel_size=8"]), tmp_path, "h100", 8, "70b")
    assert [problem.of for problem in found] == ["sft", "dpo"], "they share the layers out"


def test_heads_that_cannot_be_shared_out(paper: Recipe, tmp_path: Path) -> None:
    """Of 32 heads three GPUs have no equal shares. What fits is named, here with what the memory asks for."""
    three = with_sets(paper, ["engine.tensor_parallel_size=3"])
    [engine] = problems(three, tmp_path, "h200", 4)
    assert engine.said == (
        "engine.tensor_parallel_size = 3: 3 GPUs cannot share out 32 attention heads, 8 of them with keys and values, "
        "and a feed-forward width of 14,336 evenly."
    )
    assert (engine.change, engine.certain) == (("engine.tensor_parallel_size=2",), True)
    engine, *_ = problems(three, tmp_path, "h100", 4, "70b")
    assert "The engine then needs 75 GB of each GPU" in engine.said
    assert engine.change == ("engine.tensor_parallel_size=4",)


def test_a_larger_share_leaves_fewer_replicas(paper: Recipe, tmp_path: Path) -> None:
    """70 billion weights go to four GPUs of 80 GB: of eight there are two such engines."""
    engine, *_ = problems(with_sets(paper, ["engine.replicas=8"]), tmp_path, "h100", 8, "70b")
    assert engine.change == ("engine.tensor_parallel_size=4", "engine.replicas=2")


@pytest.mark.parametrize(
    ("count", "processes", "parts"), [(2, 2, 2), (3, 2, 2), (5, 4, 4), (6, 4, 4), (7, 4, 4), (12, 8, 8)]
)
def test_what_is_told_to_change_can_be_changed(
    paper: Recipe, tmp_path: Path, count: int, processes: int, parts: int
) -> None:
    """A batch of 32 in passes of 2 goes to 2, 4, 8 or 16 processes; 32 heads, 8 with keys, to 2, 4, 8, 16 or 32."""
    recipe = with_sets(paper, ["sft=null", "engine.tensor_parallel_size=16", "dpo.num_processes=16"])
    engine, dpo = problems(recipe, tmp_path, "h200", count)
    assert engine.change == (f"engine.tensor_parallel_size={parts}",)
    assert dpo.change == ("dpo.micro_batch_size=1", f"dpo.num_processes={processes}")
    [problem] = problems(with_sets(paper, ["sft=null"]), tmp_path, "h100-nvl", count)
    assert problem.change == (
        "dpo.optimizer=adamw_torch",
        f"dpo.num_processes={processes}",
        "dpo.accelerate_config=fsdp",
    )
    assert problems(with_sets(recipe, [*engine.change, *dpo.change]), tmp_path, "h200", count) == []


def test_fewer_processes_are_looked_at_as_such(eight: Recipe, tmp_path: Path) -> None:
    """One process takes no FSDP, and 114 GB, or 109 with every saving: adapters alone take 49. Four GPUs share them."""
    alone = {"dpo.optimizer=adamw_8bit", "dpo.num_processes=1", "dpo.accelerate_config=null"}
    _, _, dpo = problems(eight, tmp_path, "h200", 1)
    assert dpo.said.startswith("dpo.num_processes = 8 needs 8 GPUs, there is 1. Training (dpo) then needs 159 GB")
    assert {*dpo.change} == {*alone, "dpo.micro_batch_size=1"}
    _, _, dpo = problems(eight, tmp_path, "h100", 1)
    assert dpo.said.endswith("(LoRA). For all weights take larger GPUs, or more of them for FSDP.")
    assert {*dpo.change} == {*alone, "dpo.lora_r=16"}
    _, _, dpo = problems(eight, tmp_path, "4090", 1)
    assert dpo.said.endswith("take larger GPUs, or more of them for FSDP.") and dpo.change == ()
    _, sft, dpo = problems(eight, tmp_path, "h100", 4)
    assert (sft.change, dpo.change) == (("sft.num_processes=4",), ("dpo.num_processes=4",))


def test_what_may_not_fit_can_be_begun(paper: Recipe, tmp_path: Path) -> None:
    """Adapters have room but for the longest rows. That is said; two processes on one GPU are refused all the same."""
    recipe = with_sets(paper, ["sft=null", "dpo.lora_r=16", "dpo.num_processes=2", "dpo.max_length=8192"])
    [dpo] = problems(recipe, tmp_path, "l40s", 1)
    assert "then needs 63 GB of each GPU with rows of" in dpo.said and dpo.said.endswith("take larger GPUs.")
    assert (dpo.change, dpo.certain) == (("dpo.num_processes=1",), True)
    [dpo] = problems(with_sets(recipe, dpo.change), tmp_path, "l40s", 1)
    assert (dpo.change, dpo.certain) == ((), False)


def test_more_processes_share_more_out(eight: Recipe, tmp_path: Path) -> None:
    """Two processes of FSDP are too few for 80 GB each, of eight GPUs eight are not."""
    recipe = with_sets(eight, ["sft=null", "dpo.num_processes=2"])
    [problem] = problems(recipe, tmp_path, "h100", 8)
    assert problem.change == ("dpo.num_processes=8",)


@pytest.mark.parametrize(
    ("sets", "fault", "change"),
    [
        (("dpo.num_processes=1",), "num_processes is 1", ("dpo.accelerate_config=null",)),
        (("dpo.optimizer=adamw_8bit",), "optimizer is adamw_8bit", ("dpo.optimizer=adamw_torch",)),
        (("dpo.lora_r=16",), "lora_r is given", ("dpo.accelerate_config=null",)),
        (("dpo.accelerate_config=a.yaml",), "distributed_type is DEEPSPEED", ("dpo.accelerate_config=fsdp",)),
        (
            ("dpo.accelerate_config=b.yaml", "dpo.optimizer=adamw_8bit"),
            "mixed_precision is true",
            ("dpo.accelerate_config=null",),
        ),
    ],
)
def test_a_configuration_of_accelerate_that_cannot_be_trained_with(
    eight: Recipe, tmp_path: Path, sets: Sequence[str], fault: str, change: tuple[str, ...]
) -> None:
    """`mr run` refuses it by the same words."""
    (tmp_path / "a.yaml").write_text("distributed_type: DEEPSPEED\n")
    (tmp_path / "b.yaml").write_text("distributed_type: MULTI_GPU\nmixed_precision: true\n")
    recipe = with_sets(eight, ["sft=null", "engine.replicas=1", *sets])
    [problem] = problems(recipe, tmp_path, "h200", 8, "1b")
    assert f"cannot be trained with: {fault}" in problem.said
    assert (problem.change, problem.certain) == (change, True)
    assert problems(with_sets(recipe, problem.change), tmp_path, "h200", 8, "1b") == []


def test_of_a_configuration_that_is_not_here_nothing_is_said(eight: Recipe, tmp_path: Path) -> None:
    """A plan may be made where the file is not."""
    assert problems(with_sets(eight, ["dpo.accelerate_config=there.yaml"]), tmp_path, "h200", 8) == []


GRID = (
    (),
    ("engine.tensor_parallel_size=3",),
    ("engine.tensor_parallel_size=2", "engine.extra.pipeline_parallel_size=4"),
    ("dpo.lora_r=16", "sft.lora_r=16"),
    ("dpo.accelerate_config=fsdp", "sft.accelerate_config=fsdp"),
    ("dpo.batch_size=12", "dpo.num_processes=6", "dpo.micro_batch_size=2"),
)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("llama_3_8b_meta_rewarding", ("1b", "8b", "70b")),
        ("llama_3_8b_meta_rewarding_8_h100", ("1b", "8b", "70b")),
        ("small_world_meta_rewarding", ("0.5b",)),
    ],
)
@pytest.mark.parametrize("sets", GRID, ids=str)
def test_with_all_that_is_told_changed_no_problem_is_left_but_those_that_nothing_mends(
    name: str, shapes: Sequence[str], sets: Sequence[str], tmp_path: Path
) -> None:
    """On whatever GPUs: the advice for one field is none that breaks another, and it can be given as --set."""
    recipe = load_recipe(name, sets)
    for gpu, count, shape in product(("4090", "a100-40", "h100", "b200"), (1, 2, 3, 4, 8, 16), shapes):
        found = problems(recipe, tmp_path, gpu, count, shape)
        changed = with_sets(recipe, [change for problem in found for change in problem.change])
        left = problems(changed, tmp_path, gpu, count, shape)
        said = {each.of: each.said for each in found}
        assert all(said[each.of].endswith(MORE) and each.said.endswith(MORE) for each in left), (gpu, count, shape)
        assert [change for problem in left for change in problem.change] == []
        begun = on_gpus(recipe, KNOWN[shape], tmp_path, count)
        assert begun.engine.gpus * begun.engine.replicas <= count
        assert max(section.num_processes for section in sections(begun).values()) <= count


def test_an_engine_that_takes_two_gpus(paper: Recipe, tmp_path: Path) -> None:
    """16 GB of weights and a cache of 16,384 tokens (2.1 GB) do not fit into 0.9 x 24 GB less 3 GB."""
    recipe = with_sets(paper, ["engine.max_model_len=32768"])
    problem, *_ = problems(recipe, tmp_path, "4090", 2)
    assert problem.said.startswith("The engine needs 23 GB of each GPU")
    assert problem.change == ("engine.tensor_parallel_size=2",)
    alone, *_ = problems(recipe, tmp_path, "4090", 1)
    assert alone.change == ()


def test_a_reward_model_is_shared_out_among_all_gpus(paper: Recipe, tmp_path: Path) -> None:
    """70.6 billion weights of two bytes and CUDA's 3 GB: 144 GB. Of one whose shape nobody knows nothing is said."""
    recipe = with_sets(
        paper, ["reward_model={folder: someone/Reward-70B}", "judge_training=false", "sft=null", "dpo.lora_r=16"]
    )
    [problem] = problems(recipe, tmp_path, "h100", 1)
    assert problem.said == "reward_model = someone/Reward-70B needs 144 GB, there are 1 x 80 GB: take a smaller one."
    assert (problem.of, problem.change, problem.certain) == ("reward_model", (), True)
    assert problems(recipe, tmp_path, "h100", 2) == []
    assert round(memory_of(recipe, SHAPE, tmp_path)["reward_model"].needed / 1e9) == 144
    unknown = with_sets(recipe, ["reward_model.folder=someone/Reward"])
    assert problems(unknown, tmp_path, "h100", 1) == []
    assert list(memory_of(unknown, SHAPE, tmp_path)) == ["engine", "dpo"]


@pytest.mark.parametrize(
    ("field", "sets"),
    [
        ("win_rates.judge", ["held_out={source: p.jsonl, prompts: 9}", "win_rates={judge: models/judge-70b}"]),
        ("prompts.generator", ["prompts={source: generated, generator: models/judge-70b, count: 20000}"]),
    ],
)
def test_another_model_of_the_engine_has_the_engines_room(
    paper: Recipe, tmp_path: Path, field: str, sets: list[str]
) -> None:
    """70.6 billion weights of two bytes on each of two GPUs: 74 GB and a cache. One of 141 GB has 127."""
    recipe = with_sets(paper, sets)
    [problem] = problems(recipe, tmp_path, "h200", 1)
    assert (problem.of, problem.change, problem.certain) == (field, (), True)
    assert problem.said.startswith(f"{field} = models/judge-70b: The engine needs 147 GB of each GPU")
    assert round(memory_of(recipe, SHAPE, tmp_path)[field].needed / 1e9) == 147
    [problem] = problems(recipe, tmp_path, "h200", 2)
    assert problem.change == ("engine.tensor_parallel_size=2",)
    assert [p.of for p in cpu_problems(recipe, SHAPE, tmp_path, 100e9) if p.of == field] == [field]


# ----------------------------------------------------------------------------------------------------- CPU and host


@pytest.mark.parametrize(
    ("sets", "free", "said"),
    [
        ((), 16 * GIB, None),
        ((), 8 * GIB, "engine.cpu_kv_cache_gib = 16.0: only 8.0 GiB of memory are free. Lower it, or free some."),
        (("engine.replicas=2",), 32 * GIB, None),
        (
            ("engine.replicas=2",),
            31 * GIB,
            "engine.cpu_kv_cache_gib = 16.0 for each of engine.replicas = 2: only 31.0 GiB of memory are free. Lower "
            "it, or free some.",
        ),
    ],
)
def test_without_a_known_model_only_the_cache_must_fit(
    paper: Recipe, tmp_path: Path, sets: Sequence[str], free: float, said: str | None
) -> None:
    """No value is named then, since the weights beside it are not known."""
    recipe = with_sets(paper, ["engine.cpu_kv_cache_gib=16", *sets])
    found = [(p.of, p.said, p.change) for p in cpu_problems(recipe, None, tmp_path, free)]
    assert found == ([("engine", said, ())] if said else [])


def test_an_engine_of_several_gpus_is_none_for_a_cpu(paper: Recipe, tmp_path: Path) -> None:
    """What `engine.extra` says of further ranks counts, too: 2 x 3."""
    recipe = with_sets(paper, ["engine.tensor_parallel_size=2", "engine.extra.pipeline_parallel_size=3"])
    [problem] = cpu_problems(recipe, None, tmp_path, 1e12)
    assert problem.said == (
        "The engine shares one model out to 6 GPUs (engine.tensor_parallel_size = 2 x "
        "engine.extra.pipeline_parallel_size = 3): on a CPU it has one process."
    )
    assert problem.change == ("engine.tensor_parallel_size=1", "engine.extra.pipeline_parallel_size=1")
    assert list(cpu_problems(with_sets(recipe, problem.change), None, tmp_path, 1e12)) == []


def test_the_host_loads_the_whole_model_in_every_process(paper: Recipe, tmp_path: Path) -> None:
    """32.1 GB each. With FSDP a reference is loaded beside the model in DPO, and one process alone is no way out."""
    two = with_sets(paper, ["dpo.num_processes=2"])
    assert host_memory_of(two, SHAPE, tmp_path) == {"sft": MODEL, "dpo": 2 * MODEL}
    assert list(host_problems(two, SHAPE, tmp_path, 2 * MODEL)) == []
    [problem] = host_problems(two, SHAPE, tmp_path, 40e9)
    assert problem == Problem(
        "dpo",
        "Training (dpo) needs 64 GB of the host's memory, 40 GB are free: each of dpo.num_processes = 2 loads the "
        "whole model in fp32 before it goes to the GPUs.",
        ("dpo.num_processes=1",),
    )
    sharded = with_sets(two, ["dpo.accelerate_config=fsdp", "dpo.optimizer=adamw_torch"])
    assert host_memory_of(sharded, SHAPE, tmp_path) == {"sft": MODEL, "dpo": 4 * MODEL}
    [problem] = host_problems(sharded, SHAPE, tmp_path, 100e9)
    assert problem.said.endswith(
        "each of dpo.num_processes = 2 loads the whole model and its reference in fp32 before it goes to the GPUs. "
        "Free some, or take a host with more."
    )
    assert problem.change == ()


@pytest.mark.parametrize(
    ("count", "said"), [(1e5, "0.1 MB"), (9.5e8, "950 MB"), (9.3e9, "9.3 GB"), (1.11e11, "111 GB"), (2e12, "2.0 TB")]
)
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said
