"""accelerate's configuration: the one that ships, and what in another one would train or save something wrong.

    accelerate_config: fsdp               fsdp.yaml beside this file: FSDP2 as it was tried
    accelerate_config: mine.yaml          a file of your own, absolute or under the data folder

A value that is refused is one with which accelerate trains to the end and the result is wrong or missing, one that it
takes no notice of, or one at which it fails when the training begins, hours after the launch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mr_assets.errors import did_you_mean, shown
from mr_assets.training.settings import TrainingSettings

SHIPPED = {"fsdp": Path(__file__).with_name("fsdp.yaml")}
PLAIN = "MULTI_GPU"  # data parallelism: every process holds the whole model
ONE_MACHINE = "a training works on one machine"
CHECKPOINTING = "the recipe's gradient_checkpointing decides"
EITHER = ("true", "false")
# What a field may be where the file has it, and why nothing else.
WHOLE: dict[str, tuple[tuple[str, ...], str]] = {
    "mixed_precision": (("no", "false"), "the recipe's precision decides"),
    "num_machines": (("1",), ONE_MACHINE),
    "machine_rank": (("0",), ONE_MACHINE),
    "gpu_ids": (("all",), "CUDA_VISIBLE_DEVICES says which GPUs there are"),
}
# What the file has to leave out or empty.
UNTRIED = (
    *("parallelism_config", "deepspeed_config", "megatron_lm_config", "mpirun_config"),
    *("dynamo_config", "dynamo_backend", "fp8_config", "fp16"),
)
# What fsdp_config has to say, where accelerate's default is another, and what comes of the default.
FSDP: dict[str, tuple[str, str]] = {
    "fsdp_version": ("2", "version 1 was not tried"),
    "fsdp_state_dict_type": ("FULL_STATE_DICT", "no model is written at the end otherwise"),
    "fsdp_cpu_ram_efficient_loading": ("false", "otherwise the reference of DPO is another model"),
}
# What else it may say.
FSDP_ALSO: dict[str, tuple[tuple[str, ...], str]] = {
    "fsdp_auto_wrap_policy": (("TRANSFORMER_BASED_WRAP", "NO_WRAP"), "version 2 cannot wrap lists of layers by size"),
    "fsdp_reshard_after_forward": (EITHER, "strategies are of version 1"),
    "fsdp_offload_params": (EITHER, "accelerate reads it as one of them"),
    "fsdp_activation_checkpointing": (("false",), CHECKPOINTING),
    "fsdp_activation_checkpointing_offload": (("false",), CHECKPOINTING),
}
LAYER = "fsdp_transformer_layer_cls_to_wrap"


def accelerate_faults(settings: TrainingSettings, config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with accelerate's configuration for such a training, ``field is value: reason`` each.

    config: the file as it was read, by YAML 1.1 or 1.2.
    """
    if settings.num_processes == 1:
        yield "num_processes is 1: an accelerate_config is for several processes, one per GPU; raise it, or name none"
    kind = str(config.get("distributed_type", "")).upper()
    if kind == "DEEPSPEED":
        yield "distributed_type is DEEPSPEED: it saves bf16 weights where fp32 is said; take accelerate_config: fsdp"
    elif kind not in (PLAIN, "FSDP"):
        yield f"distributed_type is {shown(kind)}, expected FSDP or {PLAIN}"
    yield from _others_than(WHOLE, config)
    for field in UNTRIED:
        if _said(config.get(field) or "no") != "no":
            yield f"{field} is {shown(config[field])}, which was not tried; leave it out"
    fsdp = config.get("fsdp_config") or {}
    if not isinstance(fsdp, Mapping):
        yield f"fsdp_config is {shown(fsdp)}, expected a mapping"
    elif kind == "FSDP":
        yield from _fsdp_faults(settings, fsdp)
    elif kind == PLAIN and fsdp:
        yield f"fsdp_config is given, of which distributed_type {PLAIN} takes no notice; say FSDP, or leave it out"


def _fsdp_faults(settings: TrainingSettings, fsdp: Mapping[str, Any]) -> Iterator[str]:
    for field, (expected, otherwise) in FSDP.items():
        if _said(fsdp.get(field)) != expected.lower():
            came = shown(fsdp[field]) if field in fsdp else "missing"
            yield f"fsdp_config.{field} is {came}, expected {expected}: {otherwise}"
    yield from _others_than(FSDP_ALSO, fsdp, "fsdp_config.")
    if fsdp.get(LAYER):
        yield f"fsdp_config.{LAYER} is {shown(fsdp[LAYER])}: leave it out; a model's own layers are wrapped without it"
    known = (*FSDP, *FSDP_ALSO, LAYER)
    for field in fsdp:
        if field not in known:
            yield f"fsdp_config.{field} counts for nothing; leave it out.{did_you_mean(str(field), known)}"
    if settings.lora_r is not None:
        yield "lora_r is given, which was not tried with FSDP; take plain data parallelism: no accelerate_config"
    if settings.optimizer == "adamw_8bit":
        yield "optimizer is adamw_8bit, whose state FSDP cannot share out; take adamw_torch"


def _others_than(
    fields: Mapping[str, tuple[tuple[str, ...], str]], config: Mapping[str, Any], section: str = ""
) -> Iterator[str]:
    """The fields that are there and say something else than what is expected of them."""
    for field, (expected, why) in fields.items():
        if field in config and _said(config[field]) not in map(str.lower, expected):
            yield f"{section}{field} is {shown(config[field])}, expected {' or '.join(expected)}: {why}"


def _said(value: Any) -> str:
    return str(value).lower()
