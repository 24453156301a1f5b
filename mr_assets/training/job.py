"""One training, described completely: the same job on the same data gives the same weights."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from math import ceil
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_type_hints

from mr_assets.errors import UserError

Kind = Literal["dpo", "sft"]
Scheduler = Literal["cosine", "linear", "constant"]
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit"]
Precision = Literal["fp32", "tf32", "bf16"]

EPOCHS = "epochs"
EPOCH_NOTE = "training_job.json"  # in an epoch's folder: of what training it is
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "dpo": ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids"),
    "sft": ("prompt_token_ids", "completion_token_ids"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train, on what, how, and where to. Names and meanings are those of the recipe.

    The learning-rate schedule spans `schedule_epochs`; training stops at the end of `keep_epoch`, whose weights are
    the result, bit for bit those that the whole schedule would have had there. With `keep_all_epochs` the whole
    schedule is trained and ``<out>/epochs/<e>/`` holds what keeping epoch e would have left: model, log and margins.

    Raises `UserError` for values that cannot be.
    """

    kind: Kind
    model: Path  # folder of the starting model; in DPO also the reference
    data: Path  # parquet with the columns of COLUMNS[kind], lists of token ids; in DPO also pair_id
    out: Path  # model folder to write; <out>.training beside it is the workspace
    learning_rate: float  # peak
    schedule_epochs: int  # epochs that the schedule spans (A.3: 10)
    keep_epoch: int  # the epoch whose weights are the result
    max_length: int  # tokens of prompt and completion together; a longer row is an error, never cut
    beta: float = 0.1  # DPO's beta (A.3); unused in SFT
    lr_scheduler: Scheduler = "cosine"
    batch_size: int = 32  # examples (pairs in DPO) per optimizer step over all devices (A.3)
    micro_batch_size: int = 32  # examples per device and forward pass
    warmup_ratio: float = 0.0  # share of all scheduled steps with a rising rate
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0  # gradients are clipped to this norm
    optimizer: Optimizer = "adamw_torch"  # its state starts fresh
    precision: Precision = "fp32"  # of the forward and backward passes; the weights stay fp32
    gradient_checkpointing: bool = False  # recompute activations: less memory, slower
    keep_all_epochs: bool = False
    save_steps: int | None = None  # steps between the checkpoints to resume from, besides each epoch's end
    seed: int = 0  # order of the examples
    num_processes: int = 1  # one per GPU, through accelerate launch
    accelerate_config: Path | None = None  # accelerate's YAML, for FSDP or DeepSpeed; null is plain data parallelism
    cpu_threads: int | None = None  # threads on a CPU; null is torch's choice

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        choices = {name: get_args(hints[name]) for name in ("kind", "lr_scheduler", "optimizer", "precision")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                self._refuse(name, f"one of {', '.join(allowed)}")
        counts = ["schedule_epochs", "keep_epoch", "max_length", "batch_size", "micro_batch_size", "num_processes"]
        counts += [name for name in ("save_steps", "cpu_threads") if getattr(self, name) is not None]
        for name in counts:
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                self._refuse(name, "a whole number of at least 1")
        for name in ("learning_rate", "beta", "max_grad_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                self._refuse(name, "a positive number")
        if not 0 <= self.warmup_ratio < 1:
            self._refuse("warmup_ratio", "a number in [0, 1)")
        if not 0 <= self.weight_decay < float("inf"):
            self._refuse("weight_decay", "a number of at least 0")
        if self.keep_epoch > self.schedule_epochs:
            self._refuse("keep_epoch", f"at most schedule_epochs = {self.schedule_epochs}")
        if self.batch_size % (self.micro_batch_size * self.num_processes):
            self._refuse(
                "batch_size",
                f"a multiple of micro_batch_size x num_processes = {self.micro_batch_size} x {self.num_processes}",
            )

    def _refuse(self, name: str, expected: str) -> None:
        raise UserError(f"training: {name} is {getattr(self, name)!r}, expected {expected}. Mend it in the recipe.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of token ids that the data has, prompt first."""
        return COLUMNS[self.kind]

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns that name the data's rows, where something is measured of each: in DPO its reward margin."""
        return ("pair_id",) if self.kind == "dpo" else ()

    @property
    def workspace(self) -> Path:
        """Folder beside `out` that holds what a restart needs."""
        return self.out.with_name(f"{self.out.name}.training")

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in an epoch of `rows` examples; the last one may have a smaller batch."""
        return ceil(rows / self.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON holds it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The job that `to_dict` described. Raises `UserError` for unknown or missing fields."""
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise UserError(f"training job: unknown fields {', '.join(unknown)}. Known are {', '.join(sorted(names))}.")
        paths = {name: Path(value) for name, value in values.items() if name in _PATHS and value is not None}
        try:
            return cls(**(values | paths))
        except TypeError as error:
            raise UserError(f"training job: {error}. Write the job with TrainingJob.to_dict.") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The job in a workspace's ``job.json``."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8"))["job"])


def link_kept_epoch(job: TrainingJob, epochs: Path) -> None:
    """Make ``<workspace>/model`` of the kept epoch's folder in `epochs`, and of `epochs` as a whole: by hard links."""
    model = job.workspace / "model"
    note = shutil.ignore_patterns(EPOCH_NOTE)
    shutil.copytree(epochs / str(job.keep_epoch), model, ignore=note, copy_function=os.link)
    shutil.copytree(epochs, model / EPOCHS, copy_function=os.link)


_PATHS = ("model", "data", "out", "accelerate_config")
