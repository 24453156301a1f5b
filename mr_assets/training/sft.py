"""The process that trains by supervised fine-tuning: ``python -m mr_assets.training.sft WORKSPACE``."""

from typing import TYPE_CHECKING, Any

from mr_assets.training import leash
from mr_assets.training.job import TrainingJob

if TYPE_CHECKING:
    from trl.trainer.sft_trainer import SFTTrainer


def make_trainer(job: TrainingJob) -> "SFTTrainer":
    """TRL's SFT trainer on the job's token ids; a step's loss is the mean over all its completions' tokens alike."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from mr_assets.training import trainer

    class TokenSFTTrainer(trainer.WholeSteps, SFTTrainer):
        def lengths(self) -> list[int]:
            return trainer.token_counts(self.train_dataset, "input_ids")

        def leave_out(self, batch: dict[str, Any], kept: int) -> None:
            batch["labels"][kept:] = -100

    # before the model: accelerate's part of it says how models are loaded
    config = SFTConfig(**trainer.arguments(job), packing=False, dataset_kwargs={"skip_prepare_dataset": True})
    model, tokenizer = trainer.load_model(job)
    dataset = trainer.load_data(job).map(_with_labels, remove_columns=["prompt_ids", "completion_ids"])
    return TokenSFTTrainer(
        model, args=config, train_dataset=dataset, processing_class=tokenizer, peft_config=trainer.adapters(job)
    )


def _with_labels(example: dict[str, list[int]]) -> dict[str, list[int]]:
    """The sequence, and labels that hide the prompt (-100)."""
    prompt, completion = example["prompt_ids"], example["completion_ids"]
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


if __name__ == "__main__":
    workspace = leash.follow_starter()
    from mr_assets.training.trainer import main

    main(workspace, make_trainer)
