"""What a recipe says of sampling: ranges, what the engine takes of it, and what names a sample's settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from mr_assets.recipes.load import load_recipe
from mr_assets.sampling.settings import ChoiceSettings, SamplingSettings, for_engine
from mr_assets_tests.sampling.fake import engine_settings


@pytest.mark.parametrize(
    "wrong", [{"temperature": -0.1}, {"temperature": 2.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_tokens": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ValidationError, match=name):
        SamplingSettings(**{"temperature": 0.8, "top_p": 0.95, "max_tokens": 8, **wrong})


def test_only_settings_that_shape_the_samples_are_signed() -> None:
    """More memory or a larger batch keeps the shards of a killed run; another precision does not."""
    plain = engine_settings().signature("cpu")
    assert engine_settings(gpu_memory_utilization=0.5, max_num_seqs=8, enforce_eager=True).signature("cpu") == plain
    assert engine_settings(dtype="float32").signature("cpu") != plain
    assert engine_settings(quantization="fp8").signature("cpu") != plain
    first = engine_settings(cpu_top_k_first=64)
    assert first.signature("cpu") == {**plain, "cpu_top_k_first": 64}
    assert first.signature("cuda") == engine_settings().signature("cuda") == plain
    assert engine_settings(extra={"hf_overrides": {"rope_theta": 1e6}}).signature("cpu") != plain


def test_the_context_is_in_no_signature() -> None:
    """It decides which requests there are, and nothing of a completion."""
    assert engine_settings(max_model_len=64).signature("cuda") == engine_settings().signature("cuda")
    assert engine_settings(kv_cache_dtype="fp8").signature("cuda") == {
        "dtype": "bfloat16",
        "quantization": None,
        "kv_cache_dtype": "fp8",
        "extra": {},
    }


def test_the_engine_takes_how_completions_are_drawn_and_no_more() -> None:
    """A section says more: how many judgments there are, and what they look like. Choices are the engine's, too."""
    judgments = load_recipe("llama_3_8b_meta_rewarding").judgments
    assert type(judgments) is not SamplingSettings
    taken = for_engine(judgments)
    assert type(taken) is SamplingSettings
    assert taken == SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=judgments.max_tokens)
    choice = ChoiceSettings(temperature=1.0, top_p=1.0, max_tokens=1, choices=("A", "B"))
    assert for_engine(choice) is choice and choice.weighed == ()


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        ({}, 1),
        ({"tensor_parallel_size": 4}, 4),
        ({"tensor_parallel_size": 4, "replicas": 3}, 4),  # each replica has so many
        ({"tensor_parallel_size": 2, "extra": {"pipeline_parallel_size": 3}}, 6),
        ({"extra": {"pipeline_parallel_size": 2, "prefill_context_parallel_size": 2}}, 4),
        ({"extra": {"pipeline_parallel_size": "2", "async_scheduling": True}}, 1),  # vLLM refuses it by itself
    ],
)
def test_gpus_that_share_one_model(said: dict[str, Any], gpus: int) -> None:
    assert engine_settings(**said).gpus == gpus


@pytest.mark.parametrize(
    ("said", "cpu", "cuda"),
    [
        ({}, False, True),
        ({"replicas": 2}, True, True),
        ({"own_process": True}, True, True),
        ({"own_process": False}, False, False),
        ({"own_process": False, "replicas": 2}, False, False),
    ],
)
def test_whether_an_engine_has_a_process_of_its_own(said: dict[str, Any], cpu: bool, cuda: bool) -> None:
    """By default on CUDA, and where there are several; else as the recipe says."""
    settings = engine_settings(**said)
    assert (settings.in_own_process("cpu"), settings.in_own_process("cuda")) == (cpu, cuda)
