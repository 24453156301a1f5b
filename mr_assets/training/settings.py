"""What a recipe says of training: SFT and DPO."""

from typing import Annotated, Literal

from pydantic import Field

from mr_assets.section import SPEED, Count, File, Positive, Rate, Section, Text


class TrainingSettings(Section):
    """What SFT and DPO share (A.3)."""

    learning_rate: Rate = Field(description="peak learning rate")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(
        description="learning-rate schedule, over schedule_epochs (A.3: cosine)"
    )
    batch_size: Count = Field(description="examples (pairs in DPO) per optimizer step over all devices (A.3: 32)")
    micro_batch_size: Annotated[Count, SPEED] = Field(
        description="examples per device and forward pass: memory and speed only"
    )
    schedule_epochs: Count = Field(description="epochs that the schedule spans (A.3: 10)")
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the steps with a rising learning rate (paper: silent)"
    )
    max_length: Count = Field(
        description="tokens of prompt and completion together; what is longer is counted and dropped, never cut"
    )
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit"] = Field(
        description="optimizer; its state is fresh in every iteration (paper: silent)"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.0, description="weight decay (paper: silent)")
    max_grad_norm: Positive = Field(default=1.0, description="norm that gradients are clipped to (paper: silent)")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        description="precision of the forward and backward passes; the weights themselves stay fp32"
    )
    gradient_checkpointing: Annotated[bool, SPEED] = Field(description="recompute activations: less memory, slower")
    lora_r: Count | None = Field(
        default=None, description="rank of LoRA's adapters, which alone are trained; null trains all weights (paper)"
    )
    lora_alpha: Positive = Field(default=32.0, description="LoRA: an adapter counts lora_alpha / lora_r times")
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="LoRA: share of an adapter's inputs that a training step leaves out"
    )
    lora_target_modules: Text = Field(
        default="all-linear", description="LoRA: all-linear, or names of modules with commas, such as q_proj,v_proj"
    )
    save_steps: Annotated[Count | None, SPEED] = Field(
        description="optimizer steps between checkpoints to resume from, besides the end of each epoch; null is none"
    )
    overwrite_checkpoint: Annotated[bool, SPEED] = Field(
        default=False,
        description="remove the checkpoint to resume from before the next one is written: disk for one, not for two; "
        "a kill in between begins this training again",
    )
    num_processes: Annotated[Count, SPEED] = Field(default=1, description="training processes, one per GPU")
    accelerate_config: Annotated[File | None, SPEED] = Field(
        default=None, description="fsdp, or a YAML of accelerate's; null: each process holds the whole model"
    )
    cpu_threads: Annotated[Count | None, SPEED] = Field(
        default=None, description="threads on a CPU; null is torch's choice"
    )

    @property
    def lora_targets(self) -> list[str]:
        """The names in `lora_target_modules`; none are named by all-linear."""
        named = self.lora_target_modules
        return [] if named == "all-linear" else [name.strip() for name in named.split(",")]


def epoch_problem(keep_epoch: int, schedule_epochs: int, field: str = "schedule_epochs") -> str | None:
    """Why the epoch cannot be kept; None if it can. field: what to call `schedule_epochs`."""
    if keep_epoch <= schedule_epochs:
        return None
    return f"the schedule has {field} = {schedule_epochs} epochs; keep one of them"


def batch_problem(batch_size: int, micro_batch_size: int, num_processes: int) -> str | None:
    """Why the processes cannot take equal shares of a batch in whole micro-batches; None if they can."""
    if batch_size % (micro_batch_size * num_processes) == 0:
        return None
    return f"should be a multiple of micro_batch_size x num_processes = {micro_batch_size} x {num_processes}"


class SFTSettings(TrainingSettings):
    """Supervised fine-tuning of the seed model on the EFT data, which gives M_0 (sections 3.1, A.3)."""

    keep_epoch: Count = Field(description="the epoch whose weights become M_0 (A.3: 5)")


class DPOSettings(TrainingSettings):
    """Direct preference optimization from M_{t-1} (sections 2, A.3)."""

    beta: Positive = Field(description="DPO's beta, no unit (A.3: 0.1)")
    keep_all_epochs: bool = Field(
        description="train the whole schedule and keep every epoch: another keep_epoch then needs no new training"
    )
