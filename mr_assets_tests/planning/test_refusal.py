"""What is refused before the first token, and what is only said."""

import json
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.loop import LOOP
from mr_assets.planning.devices import Device
from mr_assets.planning.refusal import busy_gpus, check_cpu, check_disk, check_gpus, check_host
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.training.accelerate_config import SHIPPED
from mr_assets.training.job import TrainingJob
from mr_assets.wiring.sampling import sample
from mr_assets.wiring.training import train_model
from mr_assets_tests.planning.test_shapes import LLAMA
from mr_assets_tests.tiny import complete, files, tiny_run

MODEL = 4 * 8_030_261_248
H200, L4 = (
    Device(name, size, size) for name, size in (("NVIDIA H200", 150_754_820_096), ("NVIDIA L4", 24_152_899_584))
)
SMOLLM2 = {  # SmolLM2-135M-Instruct's
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many bytes are free on the disk."""

    def set_free(count: float) -> None:
        monkeypatch.setattr("mr_assets.planning.refusal.shutil.disk_usage", lambda path: Usage(0, 0, int(count)))

    set_free(1e15)
    return set_free


@pytest.fixture
def paper_run(tmp_path: Path, free: Any) -> Run:
    """The paper's recipe on a folder that says it holds an 8B model."""
    folder = tmp_path / "models" / "8b"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return Run("paper", load_recipe("llama_3_8b_meta_rewarding", [f"model.seed={folder}"]), tmp_path)


def with_recipe(run: Run, *sets: str) -> Run:
    return Run(
        "paper", load_recipe("llama_3_8b_meta_rewarding", [f"model.seed={run.recipe.model.seed}", *sets]), run.data
    )


# ---------------------------------------------------------------------------------------------------------------- GPUs


def test_what_fits_is_let_through(paper_run: Run) -> None:
    assert check_gpus(paper_run, [H200]) == []


def test_what_cannot_fit_is_refused(paper_run: Run) -> None:
    """97 GB of weights, gradients and optimizer in 24; the smallest GPU counts. The engine's 17 GB fit, just so."""
    with pytest.raises(UserError) as error:
        check_gpus(paper_run, [H200, L4])
    said = str(error.value)
    assert said.startswith("paper does not fit on 2 x NVIDIA L4. Nothing was started.\n")
    assert "Training (sft) needs 114 GB of each GPU, there are 24 GB." in said
    assert "Training (dpo) needs 114 GB" in said
    assert "engine" not in said


def test_an_asset_is_refused_for_its_own_need_alone(paper_run: Run) -> None:
    assert check_gpus(paper_run, [L4], "responses") == []
    with pytest.raises(UserError, match="checkpoints does not fit on 1 x NVIDIA L4"):
        check_gpus(paper_run, [L4], "checkpoints")
    large = with_recipe(paper_run, "engine.max_model_len=131072")
    with pytest.raises(UserError, match=r"judgments does not fit .*\n  - The engine needs 36 GB of each GPU"):
        check_gpus(large, [L4], "judgments")


def test_what_depends_on_the_data_is_said_and_not_refused(paper_run: Run) -> None:
    """94 GB are certain and fit; 151 GB with eight pairs of the greatest length do not."""
    (said,) = check_gpus(with_recipe(paper_run, "dpo.micro_batch_size=8"), [H200])
    assert "with rows of dpo.max_length = 4096 tokens, there are 151 GB" in said
    assert "To change: --set dpo.micro_batch_size=1" in said


def test_weights_that_may_lie_in_the_hosts_memory_are_not_refused(paper_run: Run) -> None:
    config = SHIPPED["fsdp"].read_text() + "  fsdp_offload_params: true\n"
    (paper_run.data / "a.yaml").write_text(config)
    fields = ("accelerate_config=a.yaml", "optimizer=adamw_torch", "num_processes=2")
    sets = [f"{name}.{field}" for name in ("sft", "dpo") for field in fields]
    assert len(check_gpus(with_recipe(paper_run, *sets), [L4, L4])) == 2


def test_more_gpus_than_there_are(paper_run: Run) -> None:
    with pytest.raises(
        UserError, match=r"dpo\.num_processes = 2 needs 2 GPUs, there is 1\. .*--set dpo\.num_processes=1"
    ):
        check_gpus(with_recipe(paper_run, "dpo.num_processes=2"), [H200])


def test_nothing_is_said_without_gpus_or_shape(paper_run: Run) -> None:
    assert check_gpus(paper_run, []) == []
    (Path(paper_run.recipe.model.seed) / "config.json").write_text("{}")
    assert (check_gpus(paper_run, [L4]), check_disk(paper_run)) == ([], [])


def test_on_a_cpu_all_must_fit_into_its_memory(paper_run: Run) -> None:
    """8.03 billion weights: 16.1 GB in bf16 for the engine; 83 GB to train them, and 14 GB of bf16 copies."""
    with pytest.raises(UserError) as error:
        check_cpu(paper_run, 24e9)
    said = str(error.value)
    assert "engine.cpu_kv_cache_gib = 16.0 and 16 GB of weights: only 22.4 GiB of memory are free" in said
    assert "--set engine.cpu_kv_cache_gib=3.7" in said  # half of 24 - 16.06 GB
    assert "Training (sft) needs 97 GB of memory, 24 GB are free. No setting helps: take a smaller model" in said


def test_on_a_cpu_a_setting_that_helps_is_named(paper_run: Run) -> None:
    """LoRA has 32.1 GB of weights and a bf16 copy of them; gradients and moments are of the adapters alone."""
    with pytest.raises(UserError) as error:
        check_cpu(paper_run, 60e9)
    assert "--set dpo.micro_batch_size=1 --set dpo.lora_r=16" in str(error.value)


def test_the_base_for_cpus_fits_a_small_model(paper_run: Run) -> None:
    """135 million weights with a vocabulary of 49,152: 2.4 GB of weights, gradients and moments, 16 GB of memory."""
    (Path(paper_run.recipe.model.seed) / "config.json").write_text(json.dumps(SMOLLM2))
    recipe = load_recipe("llama_3_8b_meta_rewarding", [f"model.seed={paper_run.recipe.model.seed}"])
    cpu = paper_run.data / "mine.yaml"
    cpu.write_text("extends: [llama_3_8b_meta_rewarding, cpu]\n")
    mine = load_recipe(str(cpu), [f"model.seed={recipe.model.seed}"])
    assert check_cpu(Run("mine", mine, paper_run.data), 16e9) == []


def test_what_only_samples_needs_no_room_to_train(paper_run: Run) -> None:
    """16.1 GB of weights and a cache of 17.2 GB; training them would take 97 GB."""
    assert check_cpu(with_recipe(paper_run, "engine.enforce_eager=null"), 40e9, "responses") == []
    with pytest.raises(UserError, match="Training"):
        check_cpu(paper_run, 40e9)


def test_an_engine_for_cpus_is_in_one_process(paper_run: Run) -> None:
    with pytest.raises(UserError, match=r"shares one model out to 2 GPUs .*--set engine\.tensor_parallel_size=1"):
        check_cpu(with_recipe(paper_run, "engine.tensor_parallel_size=2"), 1e12)


def test_what_is_slow_on_a_cpu_is_said(paper_run: Run) -> None:
    (said,) = check_cpu(paper_run, 1e12)
    assert "engine.enforce_eager = false: on a CPU compiling takes minutes" in said
    assert check_cpu(with_recipe(paper_run, "engine.enforce_eager=null"), 1e12) == []


def test_gpus_that_others_hold(paper_run: Run) -> None:
    """0.9 of 150.8 GB are 135.7; 100 are free. A GPU that the engine does not use may be full."""
    held = Device(H200.name, H200.memory, 100_000_000_000)
    (said,) = busy_gpus(paper_run, [held, held])
    assert said.startswith("GPU 0 (NVIDIA H200): 100 GB are free, engine.gpu_memory_utilization = 0.9 asks for 136 GB.")
    assert list(busy_gpus(paper_run, [H200, held])) == []


def test_a_host_must_hold_the_models_of_all_processes(paper_run: Run) -> None:
    """32.1 GB each; with FSDP eight of them, and in DPO a reference beside each: 257 and 514 GB."""
    sets = ["num_processes=8", "accelerate_config=fsdp", "optimizer=adamw_torch"]
    eight = with_recipe(paper_run, *(f"{name}.{each}" for name in ("sft", "dpo") for each in sets))
    check_host(eight, 515e9)
    with pytest.raises(UserError) as error:
        check_host(eight, 300e9)
    said = str(error.value)
    assert said.startswith("paper does not fit into the memory of this host. Nothing was started.\n")
    assert "Training (dpo) needs 514 GB of the host's memory, 300 GB are free" in said
    assert "dpo.num_processes = 8 loads the whole model and its reference in fp32" in said
    assert "To change: --set dpo.num_processes=4" in said and "sft" not in said
    check_host(eight, 300e9, "sft_checkpoint")
    check_host(paper_run, 33e9)
    with pytest.raises(UserError, match=r"Training \(sft\) needs 32 GB .* take a host with more"):
        check_host(paper_run, 31e9)


# ---------------------------------------------------------------------------------------------------------------- disk


def test_models_that_do_not_fit_on_the_disk(paper_run: Run, free: Any) -> None:
    """M0 to M4 are five models of 32 GB; while M2 is trained (four epochs), two checkpoints of 51 GB lie beside two."""
    free(5 * MODEL + 1e9)
    with pytest.raises(UserError) as error:
        check_disk(paper_run)
    assert "run paper: its models and the checkpoints to resume from take 212 GB at a time, 162 GB are free" in str(
        error.value
    )
    assert "Nothing was started." in str(error.value)
    free(212.9e9)
    (said,) = check_disk(paper_run)
    assert "is expected to take 215 GB of disk" in said
    free(216e9)
    assert check_disk(paper_run) == []


def test_one_model_alone(paper_run: Run, free: Any) -> None:
    """M4 is trained for two epochs: 32 GB, and 51 to resume from; what an attempt left of that is there already."""
    free(2.7 * MODEL)
    assert check_disk(paper_run, "checkpoints", "4") == []
    free(2.5 * MODEL)
    with pytest.raises(UserError, match=r"checkpoints of iteration 4: its models .* take 83 GB at a time"):
        check_disk(paper_run, "checkpoints", "4")
    left = paper_run.path("checkpoints", "4").with_name("4.training") / "checkpoints" / "checkpoint-5" / "weights"
    left.parent.mkdir(parents=True)
    with left.open("wb") as file:
        file.truncate(int(0.2 * MODEL))  # takes no room
    assert check_disk(paper_run, "checkpoints", "4") == []


def test_kept_epochs_take_no_room_again(paper_run: Run, free: Any) -> None:
    run = with_recipe(paper_run, "dpo.keep_all_epochs=true")
    free(1e9)
    with pytest.raises(UserError, match="checkpoints of iteration 1: its models"):
        check_disk(run, "checkpoints", "1")
    (run.path("checkpoints", "1") / "epochs" / "6").mkdir(parents=True)
    assert check_disk(run, "checkpoints", "1") == []


def test_what_is_done_needs_no_room(tmp_path: Path, free: Any) -> None:
    """The models of the tiny run take some 4 MB each; when they are made, an almost full disk does."""
    run = tiny_run(tmp_path)
    free(1e6)
    with pytest.raises(UserError, match="run tiny: its models"):
        check_disk(run)
    for asset in ("seed_prompts", "eft_dataset", "sft_checkpoint"):
        complete(run, asset)
    before = check_message(run)
    for asset in ("policy", "prompts", "responses", "judgments", "actor_pairs", "selected_responses", "meta_judgments"):
        complete(run, asset, "1")
    for asset in ("battle_matrices", "elo_pairs", "dpo_dataset", "checkpoints"):
        complete(run, asset, "1")
    assert check_message(run) != before


def test_a_policy_that_will_be_pruned_makes_room(paper_run: Run, free: Any) -> None:
    """M0 and M1 are there. With one policy to keep, M2 finds both, M3 finds M2 in place of M1.

    What is needed besides M0 and M1 is then M3's 32 GB and 2 x 51 - 32 GB beside M2, in place of the same and M4. It
    is M3's and 51 GB where each checkpoint to resume from is written over the last one.
    """
    kept = ("storage.keep_policies=1", "evaluation=null", "iterations.all.keep_epoch=3")
    run = with_recipe(paper_run, *kept)
    for asset in ("seed_prompts", "eft_dataset", "sft_checkpoint"):
        complete(run, asset)
    for asset in LOOP.per("iteration"):
        complete(run, asset, "1")
    free(1e9)
    resume = 6 * (MODEL // 4) + 6 * 128_256 * 4096
    with pytest.raises(UserError, match=f"take {(MODEL + 2 * resume - MODEL) / 1e9:.0f} GB at a time"):
        check_disk(run)
    once = with_recipe(paper_run, *kept, "dpo.overwrite_checkpoint=true")
    with pytest.raises(UserError, match=f"take {(MODEL + resume) / 1e9:.0f} GB at a time"):
        check_disk(once)


def check_message(run: Run) -> str:
    with pytest.raises(UserError) as error:
        check_disk(run)
    return str(error.value)


# -------------------------------------------------------------------------------------------- where it is asked


@pytest.fixture
def small_gpu(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A machine with one GPU of 8 MB and a vLLM for CUDA."""
    device = Device("a small GPU", 8_000_000, 8_000_000)
    monkeypatch.setattr("mr_assets.planning.refusal.samples_on_cpu", lambda: False)
    monkeypatch.setattr("mr_assets.planning.refusal.devices", lambda: [device])
    return device


@pytest.mark.parametrize(
    ("executor", "on_cpu", "refused"),
    [("in_process", False, True), ("multiprocess", False, True), ("ray", False, False), ("in_process", True, False)],
)
def test_mr_run_refuses(
    tmp_path: Path, small_gpu: Device, monkeypatch: pytest.MonkeyPatch, executor: str, on_cpu: bool, refused: bool
) -> None:
    """Before files are read or written; not where steps work on other machines, nor with a vLLM for CPUs."""
    monkeypatch.setenv("MR_EXECUTOR", executor)
    monkeypatch.setattr("mr_assets.planning.refusal.samples_on_cpu", lambda: on_cpu)
    message = r"tiny does not fit on 1 x a small GPU\. Nothing was started\." if refused else "there is no file"
    with pytest.raises(UserError, match=message):
        check_run(tiny_run(tmp_path / "data", "prompts.source=missing.txt"))
    assert files(tmp_path) == {}


def test_mr_run_looks_at_the_hosts_memory(tmp_path: Path, small_gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside GPUs that are large enough."""
    monkeypatch.setattr("mr_assets.planning.refusal.devices", lambda: [H200])
    monkeypatch.setattr("mr_assets.inputs.preflight.free_memory", lambda: 1e6)
    with pytest.raises(UserError, match=r"tiny does not fit into the memory of this host\. Nothing was started\."):
        check_run(tiny_run(tmp_path / "data"))
    assert files(tmp_path) == {}


def test_assets_refuse_at_their_start(tmp_path: Path, small_gpu: Device) -> None:
    """As the UI launches them without asking the command line: before an engine or a trainer is started."""
    run = tiny_run(tmp_path)
    context = SimpleNamespace(run=SimpleNamespace(asset_selection=None))
    work: Any = SimpleNamespace(
        run=run, recipe=run.recipe, policy=object(), asset="responses", partition="1", context=context
    )
    with pytest.raises(UserError, match="responses does not fit on 1 x a small GPU"):
        sample(work, cast(Any, None), [], 0, run.recipe.responses, n=1)
    work.asset = "checkpoints"
    with pytest.raises(UserError, match="checkpoints does not fit on 1 x a small GPU"):
        train_model(work, cast(TrainingJob, None), cast(Model, None), "M1")
