"""accelerate's configurations: the shipped one passes, and what would train or save something wrong has a name."""

import re
from typing import Any

import pytest
import yaml

from mr_assets.training import accelerate_config
from mr_assets.training.accelerate_config import SHIPPED, accelerate_faults
from mr_assets.training.settings import TrainingSettings
from mr_assets_tests.training.test_job import PAPER


def shipped() -> dict[str, Any]:
    """The configuration that ships, as PyYAML reads it."""
    config: dict[str, Any] = yaml.safe_load(SHIPPED["fsdp"].read_text(encoding="utf-8"))
    return config


def test_the_shipped_one_passes() -> None:
    assert list(accelerate_faults(PAPER, shipped())) == []


def test_words_for_false_are_those_of_both_versions_of_yaml() -> None:
    """In YAML 1.2, as recipes are read, ``no`` is a text; in 1.1, as accelerate reads, it is false."""
    assert list(accelerate_faults(PAPER, shipped() | {"mixed_precision": False})) == []
    assert list(accelerate_faults(PAPER, {"distributed_type": "MULTI_GPU", "mixed_precision": "no"})) == []


@pytest.mark.parametrize(
    ("change", "fsdp", "message"),
    [
        ({}, {"fsdp_state_dict_type": "SHARDED_STATE_DICT"}, 'fsdp_state_dict_type is "SHARDED_STATE_DICT"'),
        ({}, {"fsdp_state_dict_type": None}, "fsdp_state_dict_type is null, expected FULL_STATE_DICT"),
        ({}, {"fsdp_cpu_ram_efficient_loading": True}, "fsdp_cpu_ram_efficient_loading is true, expected false"),
        ({}, {"fsdp_version": 1}, "fsdp_version is 1, expected 2"),
        ({}, {"fsdp_activation_checkpointing": True}, "the recipe's gradient_checkpointing decides"),
        ({"mixed_precision": "bf16"}, {}, "the recipe's precision decides"),
        ({"machine_rank": 1}, {}, "machine_rank is 1, expected 0"),
        ({"gpu_ids": "0"}, {}, 'gpu_ids is "0", expected all: CUDA_VISIBLE_DEVICES'),
        ({"parallelism_config": {"parallelism_config_tp_size": 2}}, {}, "parallelism_config is {"),
        ({"deepspeed_config": {"zero_stage": 3}}, {}, "deepspeed_config is {"),
        ({"dynamo_config": {"dynamo_backend": "INDUCTOR"}}, {}, "dynamo_config is {"),
        ({"dynamo_backend": "INDUCTOR"}, {}, 'dynamo_backend is "INDUCTOR"'),
        ({"fp8_config": {"backend": "TE"}}, {}, "fp8_config is {"),
        ({"fp16": True}, {}, "fp16 is true"),
        ({}, {"fsdp_auto_wrap_policy": "NONSENSE"}, 'fsdp_auto_wrap_policy is "NONSENSE", expected TRANSFORMER_BASED'),
        ({}, {"fsdp_transformer_layer_cls_to_wrap": "NoSuchLayer"}, 'cls_to_wrap is "NoSuchLayer": leave it out'),
        ({}, {"fsdp_reshard_after_forward": "FULL_SHARD"}, "expected true or false: strategies are of version 1"),
        ({}, {"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP"}, "version 2 cannot wrap lists of layers by size"),
        ({}, {"fsdp_ofload_params": True}, "counts for nothing; leave it out. Did you mean fsdp_offload_params?"),
        ({"num_machines": 2}, {}, "num_machines is 2"),
        ({"distributed_type": "DEEPSPEED"}, {}, "saves bf16 weights where fp32 is said"),
        ({"distributed_type": "NO"}, {}, 'distributed_type is "NO", expected FSDP or MULTI_GPU'),
        ({"distributed_type": "MULTI_CPU"}, {}, 'distributed_type is "MULTI_CPU", expected FSDP or MULTI_GPU'),
        ({"distributed_type": "MULTI_GPU"}, {}, "fsdp_config is given, of which distributed_type MULTI_GPU takes no"),
    ],
    ids=str,
)
def test_what_trains_or_saves_something_wrong_is_refused(change: Any, fsdp: Any, message: str) -> None:
    """Each by its name, and nothing else is said."""
    config = shipped() | change
    config["fsdp_config"] |= fsdp
    [said] = accelerate_faults(PAPER, config)
    assert message in said


def test_accelerates_defaults_are_not_the_right_ones() -> None:
    """What is not said in the file is as wrong as what is said wrongly."""
    said = list(accelerate_faults(PAPER, {"distributed_type": "FSDP"}))
    assert [line.split()[0].removeprefix("fsdp_config.") for line in said] == [
        "fsdp_version",
        "fsdp_state_dict_type",
        "fsdp_cpu_ram_efficient_loading",
    ]


def test_what_accelerate_itself_writes_passes() -> None:
    """``accelerate config`` writes every field, also those that say nothing."""
    written = """
        {compute_environment: LOCAL_MACHINE, debug: false, distributed_type: FSDP, downcast_bf16: 'no', use_cpu: false,
        enable_cpu_affinity: false, machine_rank: 0, main_training_function: main, mixed_precision: no, num_machines: 1,
        num_processes: 2, rdzv_backend: static, same_network: true, tpu_env: [], tpu_use_cluster: false,
        dynamo_config: {}, fsdp_config: {fsdp_activation_checkpointing: false, fsdp_version: 2,
        fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP, fsdp_cpu_ram_efficient_loading: false,
        fsdp_offload_params: false, fsdp_reshard_after_forward: true, fsdp_state_dict_type: FULL_STATE_DICT}}"""
    assert list(accelerate_faults(PAPER, yaml.safe_load(written))) == []
    plain = {"distributed_type": "MULTI_GPU", "gpu_ids": "all", "fsdp_config": {}, "dynamo_backend": "NO"}
    assert list(accelerate_faults(PAPER, plain)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adamw_8bit"}, "take adamw_torch"),
        ({"num_processes": 1}, "num_processes is 1"),
        ({"lora_r": 8}, "lora_r is given"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_with_it(change: Any, message: str) -> None:
    [said] = accelerate_faults(PAPER.model_copy(update=change), shipped())
    assert message in said


def test_a_section_of_fsdp_that_is_none() -> None:
    [said] = accelerate_faults(PAPER, shipped() | {"fsdp_config": 2})
    assert said == "fsdp_config is 2, expected a mapping"


def test_what_the_shipped_file_names_is_there() -> None:
    """Its comments name fields of a recipe, and the function that says what a copy may not change."""
    text = SHIPPED["fsdp"].read_text(encoding="utf-8")
    comments = " ".join(line.partition("#")[2] for line in text.splitlines())
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", comments))
    assert "num_processes" in named
    assert [name for name in named if not hasattr(accelerate_config, name)] == [
        name for name in named if name in TrainingSettings.model_fields
    ]
