"""What an asset checks as it starts, on a machine with faked GPUs: `mr run` may not have seen them."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.planning.devices import Device
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.run import Run
from mr_assets.wiring.fit import check_fit
from mr_assets.wiring.partitions import asset_key
from mr_assets_tests.planning.test_shapes import LLAMA

H200, L4 = (
    Device(name, size, size) for name, size in (("NVIDIA H200", 150_754_820_096), ("NVIDIA L4", 24_152_899_584))
)
FSDP = tuple(
    f"{name}.{each}"
    for name in ("sft", "dpo")
    for each in ("num_processes=4", "accelerate_config=fsdp", "optimizer=adamw_torch")
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """The GPUs of this machine, which has memory enough: to be put in by the test."""
    found: list[Device] = []
    monkeypatch.setattr("mr_assets.planning.refusal.samples_on_cpu", lambda: False)
    monkeypatch.setattr("mr_assets.planning.refusal.devices", lambda: found)
    monkeypatch.setattr("mr_assets.wiring.fit.free_memory", lambda: 1e12)
    return found


def starting(data: Path, asset: str, *sets: str, launched: tuple[str, ...] = ()) -> Any:
    """An asset of the paper's recipe that starts, in a Dagster run of these assets; of all of them without names."""
    folder = data / "models" / "8b"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    run = Run("paper", load_recipe("llama_3_8b_meta_rewarding", [f"model.seed={folder}", *sets]), data)
    dagster_run = SimpleNamespace(asset_selection=frozenset(asset_key(run, name) for name in launched) or None)
    return SimpleNamespace(run=run, asset=asset, context=SimpleNamespace(run=dagster_run))


def refused(work: Any) -> str:
    with pytest.raises(UserError) as error:
        check_fit(work)
    return str(error.value)


def test_a_training_that_cannot_fit_is_refused_before_the_first_token(tmp_path: Path, here: list[Device]) -> None:
    """The engine's 17 GB fit into 24, the 97 GB of DPO that was launched with it do not."""
    here.append(L4)
    said = refused(starting(tmp_path, "responses", launched=("responses", "checkpoints")))
    assert said.startswith("checkpoints does not fit on 1 x NVIDIA L4. Nothing was started.")
    assert refused(starting(tmp_path, "judgments")) == said
    here[0] = H200
    check_fit(starting(tmp_path, "judgments"))


def test_who_samples_alone_needs_no_room_to_train(tmp_path: Path, here: list[Device]) -> None:
    """A pilot, or an asset that a person materializes by itself."""
    here.append(L4)
    check_fit(starting(tmp_path, "responses", "dpo.optimizer=adamw_8bit", launched=("responses", "judgments")))


def test_sft_is_for_the_whole_run(tmp_path: Path, here: list[Device]) -> None:
    """SFT fits; DPO with eight processes and the engine are looked at before it, though iterations come later."""
    here.append(H200)
    for sets, part in (
        (["dpo.num_processes=8"], "checkpoints does not fit on 1 x NVIDIA H200"),
        (["engine.tensor_parallel_size=2"], "responses does not fit on 1 x NVIDIA H200"),
    ):
        assert part in refused(starting(tmp_path, "sft_checkpoint", *sets, launched=("sft_checkpoint",)))
    check_fit(starting(tmp_path, "sft_checkpoint", launched=("sft_checkpoint",)))
    check_fit(starting(tmp_path, "checkpoints", "engine.tensor_parallel_size=2"))  # the engine is done with


def test_a_step_on_a_cluster_sees_its_own_gpus_alone(
    tmp_path: Path, here: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DPO will ask for the four that it needs, of this kind. 128 GB of weights to moments do not fit into 4 x 24."""
    here.append(H200)
    assert "dpo.num_processes = 4 needs 4 GPUs, there is 1." in refused(starting(tmp_path, "responses", *FSDP))
    monkeypatch.setenv("MR_EXECUTOR", "ray")
    monkeypatch.setattr("mr_assets.wiring.fit.free_memory", lambda: 1e9)  # of this node, now
    check_fit(starting(tmp_path, "responses", *FSDP))
    here[0] = L4
    assert "checkpoints does not fit on 4 x NVIDIA L4" in refused(starting(tmp_path, "responses", *FSDP))


def test_the_optimizers_library_is_looked_for(
    tmp_path: Path, here: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's own optimizer has 8 bits."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    here.append(H200)
    assert "dpo.optimizer = adamw_8bit: it needs bitsandbytes" in refused(starting(tmp_path, "responses"))
    check_fit(starting(tmp_path, "responses", launched=("responses",)))
    check_fit(starting(tmp_path, "responses", "dpo.optimizer=adamw_torch", "dpo.micro_batch_size=1"))


def test_the_hosts_memory_is_looked_at(tmp_path: Path, here: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    """32 GB for the one process of DPO."""
    here.append(H200)
    monkeypatch.setattr("mr_assets.wiring.fit.free_memory", lambda: 31e9)
    assert "Training (dpo) needs 32 GB of the host's memory" in refused(starting(tmp_path, "responses"))
    check_fit(starting(tmp_path, "responses", launched=("responses",)))
