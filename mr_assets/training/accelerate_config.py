"""accelerate's configuration: the one that ships, and what in another one would train or save something wrong.

    accelerate_config: fsdp               fsdp.yaml beside this file: FSDP2 as it was tried
    accelerate_config: mine.yaml          a file of your own, absolute or under the data folder

A value that is refused is one with which accelerate trains to the end and the result is wrong or missing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mr_assets.errors import shown
from mr_assets.training.settings import TrainingSettings

SHIPPED = {"fsdp": Path(__file__).with_name("fsdp.yaml")}
PLAIN = ("MULTI_GPU", "MULTI_CPU")  # data parallelism: every process holds the whole model
# What fsdp_config has to say, where accelerate's default is another, and what comes of the default.
FSDP: dict[str, tuple[str, str]] = {
    "fsdp_version": ("2", "version 1 was not tried"),
    "fsdp_state_dict_type": ("FULL_STATE_DICT", "no model is written at the end otherwise"),
    "fsdp_cpu_ram_efficient_loading": ("false", "otherwise the reference of DPO is another model"),
}


def accelerate_faults(settings: TrainingSettings, config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with accelerate's configuration for such a training, ``field is value: reason`` each.

    config: the file as it was read, by YAML 1.1 or 1.2.
    """
    if settings.num_processes == 1:
        yield "num_processes is 1: an accelerate_config is for several processes, one per GPU; raise it, or name none"
    kind = str(config.get("distributed_type", "")).upper()
    if kind == "DEEPSPEED":
        yield "distributed_type is DEEPSPEED: it saves bf16 weights where fp32 is said; take accelerate_config: fsdp"
    elif kind not in (*PLAIN, "FSDP"):
        yield f"distributed_type is {shown(kind)}, expected FSDP or {PLAIN[0]}"
    if _said(config.get("mixed_precision", "no")) not in ("no", "false"):
        yield f"mixed_precision is {shown(config['mixed_precision'])}, expected 'no': the recipe's precision decides"
    if config.get("num_machines", 1) != 1:
        yield f"num_machines is {shown(config['num_machines'])}, expected 1: a training works on one machine"
    fsdp = config.get("fsdp_config") or {}
    if not isinstance(fsdp, Mapping):
        yield f"fsdp_config is {shown(fsdp)}, expected a mapping"
    elif kind == "FSDP":
        yield from _fsdp_faults(settings, fsdp)


def _fsdp_faults(settings: TrainingSettings, fsdp: Mapping[str, Any]) -> Iterator[str]:
    for field, (expected, otherwise) in FSDP.items():
        if _said(fsdp.get(field)) != expected.lower():
            came = shown(fsdp[field]) if field in fsdp else "missing"
            yield f"fsdp_config.{field} is {came}, expected {expected}: {otherwise}"
    if _said(fsdp.get("fsdp_activation_checkpointing", "false")) == "true":
        yield (
            "fsdp_config.fsdp_activation_checkpointing is true, expected false: the recipe's gradient_checkpointing "
            "decides"
        )
    if settings.lora_r is not None:
        yield "lora_r is given, which was not tried with FSDP; take plain data parallelism: no accelerate_config"
    if settings.optimizer == "adamw_8bit":
        yield "optimizer is adamw_8bit, whose state FSDP cannot share out; take adamw_torch"


def _said(value: Any) -> str:
    return str(value).lower()
