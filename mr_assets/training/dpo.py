"""The process that trains by direct preference optimization: ``python -m mr_assets.training.dpo [WORKSPACE]``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mr_assets.training import leash
from mr_assets.training.job import TrainingJob

if TYPE_CHECKING:
    import polars as pl
    from trl.trainer.dpo_trainer import DPOTrainer


def make_trainer(job: TrainingJob) -> "DPOTrainer":
    """TRL's DPO trainer on the job's token ids, reference log-probabilities computed (from the starting model)."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    from mr_assets.training import trainer

    class TokenDPOTrainer(trainer.WholeSteps, DPOTrainer):
        """Takes ``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` as they are: nothing is rendered or tokenized.

        A step's loss, rewards and log-probabilities are means over its pairs. TRL's own are means over micro-batches.
        """

        loss_is_scaled_for_ga = True  # by `compute_loss`

        def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

        def lengths(self) -> list[int]:
            """Of a pair, both sides are padded to the longer one."""
            prompt, chosen, rejected = (
                trainer.token_counts(self.train_dataset, f"{name}_ids") for name in ("prompt", "chosen", "rejected")
            )
            return [p + max(c, r) for p, c, r in zip(prompt, chosen, rejected, strict=True)]

        def leave_out(self, batch: dict[str, Any], kept: int) -> None:
            """Without completions and with reference 0, a pair has rewards 0, loss ln 2 and no gradient."""
            for side in batch["completion_mask"].chunk(2):
                side[kept:] = 0
            for name in ("ref_chosen_logps", "ref_rejected_logps"):
                batch[name][kept:] = 0

        def items(self, batches: list[Any], rows: int, device: Any) -> int:
            """The pairs of the step."""
            return rows

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: int | None = None
        ) -> Any:
            """In a training step this micro-batch's part of the mean over the step's pairs, else its own mean."""
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if num_items_in_batch is None:
                return loss
            rows, processes = len(inputs["ref_chosen_logps"]), self.accelerator.num_processes
            left_out = (inputs["completion_mask"].chunk(2)[0].sum(dim=1) == 0).sum() if processes > 1 else 0
            share = rows * processes / num_items_in_batch  # the gradient is then averaged over the processes
            for name, values in self._metrics["train"].items():  # TRL averages them over the micro-batches
                if name.startswith(("rewards/", "logps/")):
                    values[-1] *= share * self.current_gradient_accumulation_steps
            return (loss - math.log(2) * left_out / rows) * share

    config = DPOConfig(  # before the model: accelerate's part of it says how models are loaded
        **trainer.arguments(job),
        beta=job.beta,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=job.micro_batch_size,
        per_device_eval_batch_size=job.micro_batch_size,
    )
    model, tokenizer = trainer.load_model(job)
    dpo_trainer = TokenDPOTrainer(
        model,
        args=config,
        train_dataset=trainer.load_data(job),
        processing_class=tokenizer,
        peft_config=trainer.adapters(job),
    )
    trainer.restore_dropout(job, dpo_trainer.model)
    return dpo_trainer


def reward_margins(trainer: "DPOTrainer", job: TrainingJob) -> "pl.DataFrame":
    """Rows of `REWARD_MARGINS`, in the order of the data, under the model as it is now: one pass over all pairs.

    The passes are the trainer's own, in its precision; of several processes, each takes its share of the pairs.
    """
    import torch

    from mr_assets.training.margins import margins_table
    from mr_assets.training.trainer import report

    pairs, rewards, done = trainer.train_dataset["pair_id"][:], [], 0
    report(job, {"pairs": done, "total_pairs": len(pairs)})
    trainer.model_wrapped.eval()
    trainer.ref_model = trainer.model_wrapped  # else TRL would leave adapters out, as for the reference
    for batch in trainer.get_eval_dataloader(trainer.train_dataset):
        # TRL's log-probabilities of any model that gets no gradient, though their name is for the reference
        chosen, rejected = trainer.compute_ref_log_probs(trainer.model_wrapped, batch)
        ratios = torch.stack([chosen - batch["ref_chosen_logps"], rejected - batch["ref_rejected_logps"]], dim=1)
        rewards.append(trainer.beta * trainer.accelerator.gather_for_metrics(ratios).cpu())
        done += len(rewards[-1])
        report(job, {"pairs": done, "total_pairs": len(pairs)})
    trainer.model_wrapped.train()
    trainer.ref_model = None
    return margins_table(pairs, *torch.cat(rewards).double().T.numpy())


def write_reward_margins(trainer: "DPOTrainer", job: TrainingJob, folder: Path) -> None:
    """Write the margins under the model as it is now into its folder.

    Raises `NotFiniteError` if one is not a number. The last step's loss, computed before that step, cannot tell that.
    """
    from mr_assets.training.margins import MARGINS
    from mr_assets.training.trainer import NotFiniteError

    margins = reward_margins(trainer, job)
    bad = margins.filter(~margins["reward_margin"].is_finite())
    if bad.height:
        raise NotFiniteError(
            f"reward margin is {bad['reward_margin'][0]} after step {trainer.state.global_step}, for {bad.height} of "
            f"{margins.height} pairs (the first is {bad['pair_id'][0]}). No model is written. Lower the learning rate, "
            "or look at the data."
        )
    if trainer.is_world_process_zero():
        margins.write_parquet(folder / MARGINS)


if __name__ == "__main__":
    workspace = leash.follow_starter()
    from trl.trainer import dpo_config, dpo_trainer  # noqa: F401 - what takes long comes before the wait for a job

    from mr_assets.training.trainer import main

    main(workspace, make_trainer, write_reward_margins)
