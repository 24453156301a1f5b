"""SFT through the real trainer: the loss is that of the completions' tokens, on the table's ids."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from mr_assets.training.job import TrainingJob
from mr_assets_tests.training.jobs import replace
from mr_assets_tests.training.test_dpo import load, make_trainer, same_training, trained_here

pytestmark = pytest.mark.slow


def test_trained_tokens_are_the_tables(sft_job: TrainingJob) -> None:
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
def test_loss_is_the_mean_over_the_batchs_completion_tokens(sft_job: TrainingJob, micro_batch_size: int) -> None:
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
    first = trained_here(job)[0][0]
    assert first["loss"] == pytest.approx(total / count, abs=1e-4)


def test_micro_batches_change_no_step(sft_job: TrainingJob) -> None:
    """A step's loss is the mean over its tokens: 10 examples in passes of 12, 4 (4, 4 and 2) and 1."""
    one_step = replace(sft_job, batch_size=12, micro_batch_size=12, keep_epoch=3)
    whole = trained_here(one_step)
    for micro in (4, 1):
        job = replace(one_step, micro_batch_size=micro, out=sft_job.out.with_name("m"))
        same_training(job, trained_here(job), whole)


def test_adapters_are_trained_and_worked_into_the_result(sft_job: TrainingJob) -> None:
    """Row 23: the embeddings stay, the query projections move by a matrix of rank 2 at most.

    A step is over its tokens alike, whatever the micro-batches, as where all weights are trained.
    """
    import torch

    job = replace(sft_job, lora_r=2, learning_rate=1e-2, batch_size=12, micro_batch_size=12, keep_epoch=3)
    whole = trained_here(job)
    assert whole[0][-1]["loss"] < whole[0][0]["loss"]
    smaller = replace(job, micro_batch_size=4, out=sft_job.out.with_name("m"))
    same_training(smaller, trained_here(smaller), whole)
    before, after = (load(place).model for place in (job.model, job.workspace / "model"))
    assert torch.equal(before.embed_tokens.weight, after.embed_tokens.weight)
    moved = after.layers[0].self_attn.q_proj.weight - before.layers[0].self_attn.q_proj.weight
    assert 1 <= torch.linalg.matrix_rank(moved, atol=1e-5) <= 2


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_tokenizer_that_names_no_end_of_text(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """Turns end by the chat template; what a batch is padded with changes no weight."""
    job = request.getfixturevalue(f"{kind}_job")
    model = shutil.copytree(job.model, tmp_path / "model")
    config = json.loads((model / "tokenizer_config.json").read_text())
    assert config.pop("eos_token") and "pad_token" not in config
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    changes = [trained_here(each)[1] for each in (job, replace(job, model=model, out=tmp_path / "other"))]
    assert changes[0].norm() > 0 and changes[0].equal(changes[1])
