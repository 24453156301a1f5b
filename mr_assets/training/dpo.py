"""The process that trains by direct preference optimization: ``python -m mr_assets.training.dpo [WORKSPACE]``."""

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

    from mr_assets.training import loop

    class TokenDPOTrainer(DPOTrainer):
        """Takes ``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` as they are: nothing is rendered or tokenized."""

        def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

    model, tokenizer = loop.load_model(job)
    config = DPOConfig(
        **loop.arguments(job),
        beta=job.beta,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=job.micro_batch_size,
        per_device_eval_batch_size=job.micro_batch_size,
    )
    return TokenDPOTrainer(model, args=config, train_dataset=loop.load_data(job), processing_class=tokenizer)


def reward_margins(trainer: "DPOTrainer", job: TrainingJob) -> "pl.DataFrame":
    """Rows of `REWARD_MARGINS`, in the order of the data, under the model as it is now: one pass over all pairs.

    The passes are the trainer's own, in its precision; of several processes, each takes its share of the pairs.
    """
    import torch

    from mr_assets.training.loop import report
    from mr_assets.training.margins import margins_table

    pairs, rewards, done = trainer.train_dataset["pair_id"][:], [], 0
    report(job, {"pairs": done, "total_pairs": len(pairs)})
    trainer.model_wrapped.eval()
    for batch in trainer.get_eval_dataloader(trainer.train_dataset):
        # TRL's log-probabilities of any model that gets no gradient, though their name is for the reference
        chosen, rejected = trainer.compute_ref_log_probs(trainer.model_wrapped, batch)
        ratios = torch.stack([chosen - batch["ref_chosen_logps"], rejected - batch["ref_rejected_logps"]], dim=1)
        rewards.append(trainer.beta * trainer.accelerator.gather_for_metrics(ratios).cpu())
        done += len(rewards[-1])
        report(job, {"pairs": done, "total_pairs": len(pairs)})
    trainer.model_wrapped.train()
    return margins_table(pairs, *torch.cat(rewards).double().T.numpy())


def write_reward_margins(trainer: "DPOTrainer", job: TrainingJob, folder: Path) -> None:
    """Write the margins under the model as it is now into its folder.

    Raises `NotFiniteError` if one is not a number. The last step's loss, computed before that step, cannot tell that.
    """
    from mr_assets.training.loop import NotFiniteError
    from mr_assets.training.margins import MARGINS

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
    workspace = leash.hold()
    from trl.trainer import dpo_config, dpo_trainer  # noqa: F401 - what takes long comes before the wait for a job

    from mr_assets.training.loop import main

    main(workspace, make_trainer, write_reward_margins)
