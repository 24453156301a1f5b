"""What SFT and DPO share inside the trainer's process: model, arguments, checkpoints, log and result."""
# ruff: noqa: TID253 - imported by the trainer's process alone

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from pyarrow.compute import list_value_length
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from torch.utils.data import Sampler
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from mr_assets.errors import UserError
from mr_assets.files import full_disk, storage_trouble
from mr_assets.training.batches import longest_first
from mr_assets.training.checkpoints import checkpoint_folder, last_checkpoint, remove_others, resume_from
from mr_assets.training.job import EPOCHS, FAILURE, TrainingJob, link_kept_epoch
from mr_assets.training.log import LOG

NOISE = {"fp32": 0.002, "tf32": 0.005, "bf16": 0.02}
"""By how much a token's log-probability may differ between two passes of one model, in standard deviations.

Measured in bf16 on a CPU. Tiny models of random weights, completions of 1 to 400 tokens, steps of 4 and 16 pairs:
0.0003 at most, 0.012 where a head of weights 32 times as large left 1 nat of entropy; gradient checkpointing changed
nothing. SmolLM2-135M, 20 to 100 tokens: 0.007, and 0.014 in one of 16 rows, alone against padded. On GPUs nothing was
measured. fp32 and tf32 round far less than is let through here.
"""
Measure = Callable[[Any, TrainingJob, Path], None]  # see `main`
# What a model folder holds besides weights. Copied from the starting model, because training changes none of it, and
# TRL would write the padding token that it chose: an embedding without gradient once the folder is loaded again.
_COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def arguments(job: TrainingJob) -> dict[str, Any]:
    """The arguments of Hugging Face's trainer that both kinds of training share."""
    return {
        "output_dir": str(checkpoint_folder(job)),
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": job.lr_scheduler,
        "warmup_steps": job.warmup_ratio,  # a value below 1 is a share of the steps
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.max_grad_norm,
        "optim": job.optimizer,
        "num_train_epochs": job.schedule_epochs,
        "per_device_train_batch_size": job.micro_batch_size,
        "gradient_accumulation_steps": job.batch_size // (job.micro_batch_size * job.num_processes),
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": job.precision == "bf16",
        "tf32": True if job.precision == "tf32" and torch.cuda.is_available() else None,
        "gradient_checkpointing": job.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "max_length": None,  # the launcher refused rows that are too long; nothing is cut here
        "save_strategy": "no",  # `Keeper` says when
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


class LongestFirst(Sampler[int]):
    """The rows that another sampler gives, in the order of `longest_first`."""

    def __init__(self, sampler: Any, lengths: Sequence[int], rows: int) -> None:
        self.sampler, self.lengths, self.rows = sampler, lengths, rows

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        return longest_first(self.sampler, self.lengths, self.rows)

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order comes next."""
        self.sampler.set_epoch(epoch)


class WholeSteps(Trainer):
    """A step is over all of its rows alike, in whatever micro-batches and processes they come, the longest first.

    Where an epoch's last batch cannot be split evenly among the processes, accelerate fills it up with rows from the
    epoch's beginning, so that no process waits for another. Here they count for nothing (`leave_out`).
    """

    def create_accelerator_and_postprocess(self) -> None:
        """With FSDP, the same on CPUs as on GPUs, and the numbers of plain data parallelism.

        accelerate has FSDP for GPUs alone and drops it on CPUs without a word. In bf16 it would round what a model
        returns, the log-probabilities too; autocast has the passes in bf16 and what is summed up in fp32.
        """
        state = PartialState()
        if sharded() and state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = DistributedType.MULTI_GPU
        super().create_accelerator_and_postprocess()
        if self.is_fsdp_enabled:
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()

    def lengths(self) -> list[int]:
        """Tokens of each row of the training data: what its place in a micro-batch takes."""
        raise NotImplementedError

    def get_train_dataloader(self) -> Any:
        """The micro-batches of an epoch. A step of a single one is left in its order: nothing is to be gained."""
        loader = super().get_train_dataloader()
        args = self.args
        micro_batches = self.accelerator.num_processes * args.gradient_accumulation_steps
        if micro_batches > 1:
            rows = args.per_device_train_batch_size * micro_batches
            loader.set_sampler(LongestFirst(loader.get_sampler(), self.lengths(), rows))
        return loader

    def leave_out(self, batch: dict[str, torch.Tensor], kept: int) -> None:
        """Make the rows of a micro-batch after the first `kept` ones count for nothing, in place."""
        raise NotImplementedError

    def items(self, batches: list[Any], rows: int, device: torch.device) -> Any:
        """What a step's sum is divided by: here the labelled tokens of its micro-batches in all processes."""
        return self._get_num_items_in_batch(batches, device)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """A step's micro-batches in this process, and what the step's sum is divided by."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        size, processes = self.args.per_device_train_batch_size, self.accelerator.num_processes
        whole, rows = size * processes * self.args.gradient_accumulation_steps, len(self.train_dataset)
        left = rows - self.state.global_step % math.ceil(rows / whole) * whole  # rows from this step to the epoch's end
        rows = min(left, whole)
        for n, batch in enumerate(batches):  # micro-batches are dealt to the processes in turn
            before = (n * processes + self.accelerator.process_index) * size
            if rows - before < size:
                self.leave_out(batch, max(rows - before, 0))
        return batches, self.items(batches, rows, device)


def load_data(job: TrainingJob) -> Dataset:
    """The token ids: columns ``prompt_ids`` and ``chosen_ids``, ``rejected_ids`` or ``completion_ids``.

    In DPO ``pair_id`` as well, of which the trainers take no notice.
    """
    dataset = Dataset.from_file(str(job.workspace / "data.arrow"))
    return dataset.rename_columns({name: name.replace("_token_ids", "_ids") for name in job.columns})


def sharded() -> bool:
    """Whether accelerate was told to share the model out to the processes."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def token_counts(dataset: Dataset, column: str) -> list[int]:
    """The length of each list in a column."""
    counts: list[int] = list_value_length(dataset.data.column(column)).to_pylist()
    return counts


def load_model(job: TrainingJob) -> tuple[PreTrainedModel, Any]:
    """Model with fp32 weights and tokenizer of the starting folder, from disk alone."""
    options = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32, use_safetensors=True, **options)
    tokenizer = AutoTokenizer.from_pretrained(job.model, **options)
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)  # TRL wants one; it is masked wherever it stands
    return model, tokenizer


def adapters(job: TrainingJob) -> Any:
    """LoRA's configuration, which TRL puts adapters into the model by; None to train all weights."""
    if job.lora_r is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=job.lora_r,
        lora_alpha=job.lora_alpha,
        lora_dropout=job.lora_dropout,
        target_modules=job.lora_targets or "all-linear",
        task_type="CAUSAL_LM",
    )


def restore_dropout(job: TrainingJob, model: torch.nn.Module) -> None:
    """Give the adapters the dropout that TRL took from them together with the model's own."""
    for name, module in model.named_modules():
        if ".lora_dropout." in name and isinstance(module, torch.nn.Dropout):
            module.p = job.lora_dropout


def merged(model: Any) -> dict[str, torch.Tensor]:
    """The weights of a model with its adapters worked in, by the names that it has without; itself it stays as it is.

    To merge into the model and out again, as peft offers, would round the weights in the middle of a training.
    """
    from peft.tuners.lora import LoraLayer

    base = model.get_base_model()
    weights = {name.replace(".base_layer.", "."): w for name, w in base.state_dict().items() if ".lora_" not in name}
    for name, layer in base.named_modules():
        if isinstance(layer, LoraLayer):  # one at a time on the GPU: all of them would be the model once more
            weights[f"{name}.weight"] = (weights[f"{name}.weight"] + layer.get_delta_weight("default")).cpu()
    return weights


def report(job: TrainingJob, line: dict[str, Any]) -> None:
    """Tell the launcher how far the training is; of several processes, the main one does."""
    if PartialState().is_main_process:
        with (job.workspace / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class NotFiniteError(UserError):
    """Loss, gradient or what the model makes of the pairs is not a number: the weights are worthless from here on."""


class Keeper(TrainerCallback):
    """Checkpoints at each epoch's end and every `save_steps`, stops at the kept epoch, and writes each step's metrics.

    `steps` is the number of steps to train, of which `epoch_steps` make an epoch.
    """

    def __init__(self, job: TrainingJob, dataset: Dataset, save_model: Callable[[Path], None]) -> None:
        self.job, self.dataset = job, dataset
        self.epoch_steps = job.steps_per_epoch(len(dataset))
        self.steps = self.epoch_steps * (job.schedule_epochs if job.keep_all_epochs else job.keep_epoch)
        self.save_model = save_model
        self.started = time.monotonic()
        self.first_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kw: Any) -> None:
        """Start the clock, at the resumed step if there is one. `UserError` for a model that is not shared out."""
        if sharded() and not all(isinstance(parameter, DTensor) for parameter in kw["model"].parameters()):
            raise UserError(
                f"accelerate_config = {self.job.accelerate_config}: says FSDP, but every process holds the whole "
                "model. Take accelerate_config: fsdp."
            )
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say whether to save and whether to stop; the schedule's length stays that of all epochs."""
        step = state.global_step
        epoch, in_epoch = divmod(step, self.epoch_steps)
        if self.job.keep_all_epochs and not in_epoch:
            self.save_model(self.job.workspace / EPOCHS / str(epoch))
        control.should_training_stop = step >= self.steps
        due = not in_epoch or (self.job.save_steps and step % self.job.save_steps == 0)
        control.should_save = bool(due) and step < self.steps

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Resume from the new checkpoint from now on."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            resume_from(self.job, f"checkpoint-{state.global_step}")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        """Write the step's metrics; raise `NotFiniteError` before anything of a broken step is saved.

        The step is sound then. If it is to be saved in the place of the last checkpoint, that one goes now.
        """
        if "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise NotFiniteError(
                    f"{name} is {logs[name]} at step {state.global_step} of {self.steps} "
                    f"(learning rate {logs['learning_rate']:g}). No model is written. Lower the learning rate, or look "
                    "at the data."
                )
        if self.job.kind == "dpo" and state.global_step == 1:
            self.check_reference(logs)
        seconds = time.monotonic() - self.started
        left = seconds / (state.global_step - self.first_step) * (self.steps - state.global_step)
        line = {"step": state.global_step, "total_steps": self.steps, **logs}
        line |= {"seconds": round(seconds, 2), "seconds_left": round(left, 1)}
        state.log_history[-1] = line  # is saved with the checkpoint, so that the log of a resumed training is whole
        report(self.job, line)
        if self.job.overwrite_checkpoint and control.should_save:
            if state.is_world_process_zero:
                resume_from(self.job, None)
            PartialState().wait_for_everyone()

    def first_reward(self) -> float:
        """How far from 0 the first step's mean rewards may be, and its loss from ln 2: rounding, and nothing more.

        A reward is beta times a sum over L tokens, of which a step has the mean over B pairs. With `NOISE` s per token,
        not the same for any two, it deviates by beta s sqrt(L / B), four times of which are let through. The loss
        deviates by 0.7 of that, so that six times are.

        8B in bf16 (beta 0.1, L 450, B 32): 0.0075 for rewards and 0.005 for the loss, 0.03 pass. With the 0.007 of a
        trained model it would be 0.0026, and curvature adds half a thousandth to the loss. A reference that is another
        model is off there by whole nats per token, a loss of 10 or more. Tests (L 7, B 4): 0.01 passes. A wrong
        reference of two such tiny models, which are both close to chance, once came to 0.0134.
        """
        counts = [n for side in ("chosen_ids", "rejected_ids") for n in token_counts(self.dataset, side)]
        pairs = min(self.job.batch_size, len(self.dataset))
        return 4 * NOISE[self.job.precision] * self.job.beta * math.sqrt(sum(counts) / len(counts) / pairs)

    def check_reference(self, first: dict[str, float]) -> None:
        """Raise `UserError` if the first step's metrics say that the reference is not the starting model.

        The loss goes by the difference of both rewards alone: a reference that is wrong on both sides shows in them.
        """
        bound = self.first_reward()
        rewards = {name: first[name] for name in ("rewards/chosen", "rewards/rejected") if name in first}
        if any(abs(off) > bound for off in (first["loss"] - math.log(2), *rewards.values())):
            said = "".join(f", {name} {reward:.4g}" for name, reward in rewards.items())
            raise UserError(
                f"loss is {first['loss']:.4g}{said} at step 1, expected ln 2 = 0.6931 and rewards of 0: before the "
                "first step model and reference are the same. One of them was not loaded as it lies in "
                f"{self.job.model}. No model is written. Look at precision and accelerate_config."
            )


def main(
    workspace: Callable[[], Path], make_trainer: Callable[[TrainingJob], Trainer], measure: Measure | None = None
) -> None:
    """Train the job of a workspace; exit with the message of a `UserError`, or of a disk that is full.

    workspace: gives its folder, and may have to wait for it.
    measure: takes the trainer, the job and the folder of a kept model when the trainer has the weights of that model,
    in each of several processes; it writes what it finds into the folder.
    """
    disable_progress_bar()
    job = TrainingJob.read(workspace() / "job.json")
    try:
        check_processes(job)
        run(make_trainer(job), job, measure)
    except UserError as error:
        sys.exit(f"error: {_noted(job, str(error))}")
    except Exception as error:
        if trouble := storage_trouble(error, job.workspace):
            sys.exit(f"error: {_noted(job, trouble)}")
        _noted(job, full_disk(job.workspace) or f"{type(error).__name__}: {error}{_advice(error)}")
        raise
    sys.stdout.flush()
    os._exit(0)  # everything is on disk, and taking torch's modules down in order takes a second


def _advice(error: Exception) -> str:
    """What to do about an error that is not ours; "" if nobody knows."""
    if isinstance(error, torch.OutOfMemoryError):
        return " Lower micro_batch_size, then max_length; the training goes on from its last checkpoint."
    return ""


def check_processes(job: TrainingJob) -> None:
    """Raise `UserError` if this is not one of `num_processes` processes, or has no GPU of its own where there are some.

    A step would have other rows, or two processes would share a GPU.
    """
    started, gpus = int(os.environ.get("WORLD_SIZE", "1")), torch.cuda.device_count()
    if started != job.num_processes:
        raise UserError(f"accelerate started {started} processes, expected num_processes = {job.num_processes}.")
    if 0 < gpus < started:
        raise UserError(f"num_processes = {started}: there are {gpus} GPUs, one is needed per process. Lower it.")


def _noted(job: TrainingJob, said: str) -> str:
    """Note why this process fails. Of several, the first one is the cause: the others only miss it.

    A full disk gets room for that: the process that names checkpoints, and is not about to, removes a half-written one.
    """
    rank = os.environ.get("RANK")
    one = "" if rank is None else f"Process {int(rank) + 1} of {os.environ['WORLD_SIZE']}: "
    if rank in (None, "0") and full_disk(job.workspace):
        with suppress(OSError):  # another process may be writing it still
            remove_others(job)
    # Another one was first, or nothing can be written: then the log has it.
    with suppress(OSError), (job.workspace / FAILURE).open("x", encoding="utf-8") as file:
        file.write(f"{one}{said}")
    return said


def run(trainer: Trainer, job: TrainingJob, measure: Measure | None = None) -> None:
    """Train from the checkpoint to resume from on, and leave the whole result in ``<workspace>/model``.

    With `keep_all_epochs`, each folder in its ``epochs/`` is what a training that keeps this epoch leaves.
    """

    def save_model(folder: Path) -> None:
        if job.lora_r is None:
            trainer.save_model(str(folder))
        elif trainer.is_world_process_zero():
            with torch.no_grad():
                trainer.model.get_base_model().save_pretrained(folder, state_dict=merged(trainer.model))
        if trainer.is_world_process_zero():
            _finish(job, folder)
        if measure:
            measure(trainer, job, folder)

    keeper = Keeper(job, trainer.train_dataset, save_model)
    trainer.add_callback(keeper)
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(job)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    result = job.workspace / "model"
    if not job.keep_all_epochs:
        save_model(result)
    if trainer.is_world_process_zero():
        steps = [line for line in trainer.state.log_history if "loss" in line]
        if job.keep_all_epochs:
            for epoch in range(1, job.schedule_epochs + 1):
                until = epoch * keeper.epoch_steps
                _write_log(job.workspace / EPOCHS / str(epoch), [line for line in steps if line["step"] <= until])
            link_kept_epoch(job, job.workspace / EPOCHS)
        else:
            _write_log(result, steps)


def _write_log(folder: Path, steps: list[dict[str, Any]]) -> None:
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in steps), encoding="utf-8")


def _finish(job: TrainingJob, folder: Path) -> None:
    """Make `folder`, which holds the trained weights, like the starting model's folder in everything else."""
    for path in folder.iterdir():
        if path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
            path.unlink()
    for name in _COPIED:
        if (job.model / name).is_file():
            shutil.copyfile(job.model / name, folder / name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
