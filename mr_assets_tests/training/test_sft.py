"""SFT through the real trainer: the loss is that of the completions' tokens, on the table's ids."""

import json
from dataclasses import replace

import polars as pl
import pytest

from mr_assets.training import launch
from mr_assets.training.launch import train

pytestmark = pytest.mark.slow


def make_trainer(job):
    from mr_assets.training import sft

    launch.prepare_workspace(job)
    return sft.make_trainer(job)


def test_trained_tokens_are_the_tables(sft_job):
    """Every example once; labels are the completion's ids and nothing else, in spite of padding with the end token."""
    trainer = make_trainer(sft_job)
    seen = []
    for batch in trainer.get_train_dataloader():
        for ids, attention, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            shown = ids[attention.bool()].tolist()
            learnt = [label for label in labels.tolist() if label != -100]
            assert shown[len(shown) - len(learnt) :] == learnt
            seen.append((shown[: len(shown) - len(learnt)], learnt))
    table = pl.read_parquet(sft_job.data)
    assert sorted(seen) == sorted((prompt, completion) for prompt, completion in table.rows())


@pytest.mark.parametrize("micro_batch_size", [4, 1])
def test_loss_is_the_mean_over_the_batchs_completion_tokens(sft_job, micro_batch_size):
    """The first step's loss, however the batch is split: sum of -log p over all tokens / number of tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    job = replace(sft_job, micro_batch_size=micro_batch_size)
    batch = list(next(iter(make_trainer(sft_job).get_train_dataloader().batch_sampler)))
    rows = [pl.read_parquet(job.data).row(i) for i in batch]
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32, local_files_only=True)
    total, count = 0.0, 0
    with torch.no_grad():
        for prompt, completion in rows:
            log_probs = model(input_ids=torch.tensor([prompt + completion])).logits[0].double().log_softmax(-1)
            total -= sum(log_probs[len(prompt) + i - 1, token].item() for i, token in enumerate(completion))
            count += len(completion)
    train(job)
    first = json.loads((job.out / "training_log.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(total / count, abs=1e-4)
