"""The process that trains by direct preference optimization: ``python -m mr_assets.training.dpo WORKSPACE``."""

from typing import TYPE_CHECKING, Any

from mr_assets.training import leash
from mr_assets.training.job import TrainingJob

if TYPE_CHECKING:
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
    )
    return TokenDPOTrainer(model, args=config, train_dataset=loop.load_data(job), processing_class=tokenizer)


if __name__ == "__main__":
    leash.hold()
    from mr_assets.training.loop import main

    main(make_trainer)
