"""DPO through the real trainer: what is trained on, what is computed, and what a restart gives."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.model_folder import check_model_folder
from mr_assets.training import launch
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingFailed, TrainingResult, train
from mr_assets.training.log import last_epoch, read_log
from mr_assets.training.margins import MARGINS, scan_margins
from mr_assets_tests.training.conftest import small_dpo_job
from mr_assets_tests.training.jobs import replace
from mr_assets_tests.training.test_launch import gone

pytestmark = pytest.mark.slow


class Interrupted(Exception):
    """What a caller is interrupted with."""


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def margins(folder: Path) -> pl.DataFrame:
    table = scan_margins(folder)
    assert table is not None
    return table.collect()


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class Trained:
    """A training that is done once for all tests that only look at it: to begin one takes longer than its steps."""

    out: Path
    told: list[dict[str, Any]]
    result: TrainingResult


def trained_once(job: TrainingJob) -> Trained:
    told: list[dict[str, Any]] = []
    return Trained(job.out, told, train(job, told.append))


@pytest.fixture(scope="module")
def first_epoch(policy: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What `dpo_job` gives."""
    return trained_once(small_dpo_job(policy, pairs, tmp_path_factory.mktemp("first_epoch") / "1"))


@pytest.fixture(scope="module")
def third_epoch(policy: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What `dpo_job` gives where the third epoch is kept."""
    job = small_dpo_job(policy, pairs, tmp_path_factory.mktemp("third_epoch") / "1")
    return trained_once(replace(job, keep_epoch=3))


def make_trainer(job: TrainingJob) -> Any:
    """The trainer's process's own trainer, here in the test's process."""
    from mr_assets.training import dpo, sft

    launch.prepare_workspace(job)
    return (dpo if job.kind == "dpo" else sft).make_trainer(job)


def split(ids: Any, attention: Any, completion: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Prompt and completion of one row of a padded batch."""
    pairs = [(i, c) for i, a, c in zip(ids.tolist(), attention.tolist(), completion.tolist(), strict=True) if a]
    return tuple(i for i, c in pairs if not c), tuple(i for i, c in pairs if c)


def sums_of_log_probs(model: Any, rows: list[tuple[list[int], list[int]]]) -> Any:
    """log p(completion | prompt) of each row, written from the definition: one row at a time, nothing padded."""
    import torch

    out = []
    for prompt, completion in rows:
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0].double()
        log_probs = logits.log_softmax(-1)
        out.append(sum(log_probs[len(prompt) + i - 1, token] for i, token in enumerate(completion)))
    return torch.stack(out)


def dpo_loss(model: Any, reference: Any, rows: list[dict[str, Any]], beta: float) -> Any:
    """-log sigmoid(beta ((log p(c) - log p_ref(c)) - (log p(r) - log p_ref(r)))), the mean over pairs."""
    import torch

    chosen = [(row["prompt_token_ids"], row["chosen_token_ids"]) for row in rows]
    rejected = [(row["prompt_token_ids"], row["rejected_token_ids"]) for row in rows]
    with torch.no_grad():
        anchor = sums_of_log_probs(reference, chosen) - sums_of_log_probs(reference, rejected)
    margin = sums_of_log_probs(model, chosen) - sums_of_log_probs(model, rejected) - anchor
    return torch.log1p(torch.exp(-beta * margin)).mean()


def load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def test_trained_tokens_are_the_sampled_ones(dpo_job: TrainingJob) -> None:
    """The batches hold the table's ids, every pair once; the loss covers the completions and nothing else.

    TRL pads with the end token here, because Llama 3 has no padding token: padding must still not count, and the end
    tokens that were sampled must.
    """
    trainer = make_trainer(dpo_job)
    seen = []
    for batch in trainer.get_train_dataloader():
        rows = [
            split(*row)
            for row in zip(*(batch[n] for n in ("input_ids", "attention_mask", "completion_mask")), strict=True)
        ]
        half = len(rows) // 2
        for (prompt, chosen), (same, rejected) in zip(rows[:half], rows[half:], strict=True):
            assert prompt == same
            seen.append((prompt, chosen, rejected))
    table = pl.read_parquet(dpo_job.data, columns=list(dpo_job.columns))
    assert sorted(seen) == sorted(tuple(map(tuple, row)) for row in table.rows())


def test_loss_and_gradient_equal_the_definition(dpo_job: TrainingJob) -> None:
    """Row 19: the reference is the model before. With weights that moved off it, loss and gradients are as by hand."""
    import torch

    trainer = make_trainer(dpo_job)
    hand, reference = load(dpo_job.model), load(dpo_job.model)
    for model in (trainer.model, hand):
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    rows = [trainer.train_dataset[i] for i in range(4)]
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    expected = dpo_loss(hand, reference, pl.read_parquet(dpo_job.data).head(4).to_dicts(), dpo_job.beta)
    expected.backward()
    assert abs(loss.item() - math.log(2)) > 0.01
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    for (name, ours), theirs in zip(trainer.model.named_parameters(), hand.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6), name


def test_steps_equal_a_loop_written_by_hand(dpo_job: TrainingJob, first_epoch: Trained) -> None:
    """Row 19: three steps of AdamW with fresh state and no warm-up; betas .9 and .999, norm clipped to 1.

    The rate is 1e-3 (1 + cos(pi step / 9)) / 2: 9 steps are scheduled (3 epochs of 3), of which the first epoch is
    kept. The loss starts at log 2, because policy and reference are the same model.
    """
    import torch

    trainer = make_trainer(dpo_job)
    order = [list(batch) for batch in trainer.get_train_dataloader().batch_sampler]
    rows = pl.read_parquet(dpo_job.data).to_dicts()
    model, reference = load(dpo_job.model), load(dpo_job.model)
    start = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses, rates = [], []
    for step, batch in enumerate(order):
        optimizer.zero_grad()
        loss = dpo_loss(model, reference, [rows[i] for i in batch], dpo_job.beta)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rates.append(1e-3 * (1 + math.cos(math.pi * step / 9)) / 2)
        optimizer.param_groups[0]["lr"] = rates[-1]
        optimizer.step()
        losses.append(loss.item())
    lines = log(first_epoch.out)
    assert [len(batch) for batch in order] == [4, 4, 2]
    assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert [line["loss"] for line in lines] == pytest.approx(losses, abs=1e-4)
    assert [line["learning_rate"] for line in lines] == pytest.approx(rates, rel=1e-6)
    by_hand = torch.cat([p.detach().flatten() for p in model.parameters()]) - start
    ours = torch.cat([p.detach().flatten() for p in load(first_epoch.out).parameters()]) - start
    assert (ours - by_hand).norm() < 0.02 * by_hand.norm()


def test_before_training_every_reward_is_0(dpo_job: TrainingJob) -> None:
    """Row 19: the model is its own reference: asked again for what TRL asked the reference, it answers the same."""
    from mr_assets.training import dpo

    trainer = make_trainer(dpo_job)
    reference = trainer.train_dataset["ref_chosen_logps"][:]
    assert max(reference) < -1  # there is something to be equal
    rows = pl.read_parquet(dpo_job.data).to_dicts()
    by_hand = sums_of_log_probs(load(dpo_job.model), [(r["prompt_token_ids"], r["chosen_token_ids"]) for r in rows])
    assert reference == pytest.approx(by_hand.tolist(), abs=1e-4)
    before = dpo.reward_margins(trainer, dpo_job)
    assert before["pair_id"].to_list() == [row["pair_id"] for row in rows]
    for name in ("chosen_reward", "rejected_reward", "reward_margin"):
        assert before[name].to_list() == pytest.approx([0] * len(rows), abs=1e-6), name


def test_margins_equal_the_definition(dpo_job: TrainingJob, first_epoch: Trained) -> None:
    """Of each pair, beta (log p(c) - log p_ref(c)) and the same of r, by the models as they lie in their folders.

    The pairs are in the order of the data, not in that of training. How far the pass over the pairs is, is told: 10
    pairs in batches of 4.
    """
    told, result = first_epoch.told, first_epoch.result
    found, rows = margins(first_epoch.out), pl.read_parquet(dpo_job.data).to_dicts()
    assert found["pair_id"].to_list() == [row["pair_id"] for row in rows]
    trained, reference = load(first_epoch.out), load(dpo_job.model)
    for side in ("chosen", "rejected"):
        texts = [(row["prompt_token_ids"], row[f"{side}_token_ids"]) for row in rows]
        rewards = dpo_job.beta * (sums_of_log_probs(trained, texts) - sums_of_log_probs(reference, texts))
        assert found[f"{side}_reward"].to_list() == pytest.approx(rewards.tolist(), abs=1e-5)
    difference = found["chosen_reward"] - found["rejected_reward"]
    assert found["reward_margin"].to_list() == difference.to_list()
    assert found["reward_margin"].mean() > log(first_epoch.out)[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert [line["pairs"] for line in told if "pairs" in line] == [0, 4, 8, 10]
    assert {line["total_pairs"] for line in told if "pairs" in line} == {10}
    assert [line["step"] for line in told if "step" in line] == [1, 2, 3]
    assert (result.resumed_at, result.last["step"]) == (0, 3)


def test_the_kept_epoch_is_the_whole_schedules(
    dpo_job: TrainingJob, first_epoch: Trained, third_epoch: Trained
) -> None:
    """Row 22: stopping after epoch 1 of 3 gives, bit for bit, what the whole schedule had there; all can be kept.

    Log, last step and reward margins are those of the kept epoch either way, though later weights were in memory at
    the end. Each epoch's folder has its own.
    """
    every = replace(dpo_job, keep_all_epochs=True, out=dpo_job.out.with_name("every"))
    result = train(every)
    assert weights(first_epoch.out) == weights(every.out) == weights(every.out / "epochs" / "1")
    epochs = [every.out / "epochs" / str(e) for e in (1, 2, 3)]
    assert sorted((every.out / "epochs").iterdir()) == epochs
    assert len({weights(folder) for folder in epochs}) == 3
    for folder in epochs:
        check_model_folder(folder)
    assert [len(log(folder)) for folder in (every.out, *epochs)] == [3, 3, 6, 9]
    assert (result.rows, result.steps, result.last["step"]) == (10, 3, 3)
    assert result.last == log(every.out)[-1]
    assert margins(first_epoch.out).equals(margins(every.out))
    assert margins(epochs[0]).equals(margins(every.out))
    assert weights(third_epoch.out) == weights(epochs[2])  # asking the model in between changed nothing
    assert margins(third_epoch.out).equals(margins(epochs[2]))
    assert not margins(third_epoch.out).equals(margins(every.out))


def test_another_epoch_is_kept_without_training(dpo_job: TrainingJob, first_epoch: Trained) -> None:
    """Row 22: all epochs were kept, the second was the result: the first becomes it, as a training would have had it.

    Weights, every other file but the log's times, reward margins and figures; and back again.
    """
    every = replace(dpo_job, keep_all_epochs=True, keep_epoch=2, out=dpo_job.out.with_name("every"))
    second = train(every)
    kept = weights(every.out)
    told: list[dict[str, Any]] = []
    result = train(replace(every, keep_epoch=1), told.append)
    assert told == [{"kept_epoch": 1, "folder": str(every.out / "epochs" / "1")}]
    assert weights(every.out) == weights(first_epoch.out) != kept
    assert margins(every.out).equals(margins(first_epoch.out))
    assert {path.name for path in every.out.iterdir()} == {path.name for path in first_epoch.out.iterdir()} | {"epochs"}
    assert fingerprint(every.out) == fingerprint(first_epoch.out)
    assert last_epoch(read_log(every.out)) == last_epoch(read_log(first_epoch.out))
    assert (result.rows, result.steps, result.resumed_at, result.last["step"]) == (10, 3, 3, 3)
    check_model_folder(every.out)
    again = train(every, told.append)
    assert (again.last, weights(every.out), len(told)) == (second.last, kept, 2)


def test_a_killed_training_resumes_to_the_same_bits(dpo_job: TrainingJob, third_epoch: Trained) -> None:
    """Same weights, same log, same reward margins, though it was killed three times.

    Once inside an epoch, once while an incomplete checkpoint lay about, once while the margins were computed.
    """
    whole = replace(dpo_job, keep_epoch=3, save_steps=2)

    def kill_at(step: int, pairs: int = 0) -> Callable[[dict[str, Any]], None]:
        def on_metrics(line: dict[str, Any]) -> None:
            if line.get("step", 0) >= step or line.get("pairs", 0) > pairs > 0:
                raise Interrupted

        return on_metrics

    with pytest.raises(Interrupted):
        train(whole, kill_at(3))
    assert not whole.out.exists()
    checkpoints = whole.workspace / "checkpoints"
    half = checkpoints / "checkpoint-999"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(Interrupted):
        train(whole, kill_at(7))
    with pytest.raises(Interrupted):
        train(whole, kill_at(10, pairs=4))
    assert not whole.out.exists()
    result = train(whole)
    assert result.resumed_at >= 6
    assert weights(whole.out) == weights(third_epoch.out)
    assert margins(whole.out).equals(margins(third_epoch.out))
    assert not whole.workspace.exists()
    numbers = ("step", "loss", "learning_rate", "rewards/margins", "grad_norm", "epoch")
    lines = [[{n: line[n] for n in numbers} for line in log(folder)] for folder in (whole.out, third_epoch.out)]
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0]] == list(range(1, 10))


def test_a_training_goes_on_with_smaller_micro_batches(dpo_job: TrainingJob, third_epoch: Trained) -> None:
    """Killed in the third epoch and gone on with passes of 2 in place of 4, which has the same steps up to rounding.

    Each checkpoint is written over the last one: never are there two.
    """

    def kill(line: dict[str, Any]) -> None:
        if line.get("step", 0) >= 7:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(replace(dpo_job, keep_epoch=3), kill)
    assert [path.name for path in dpo_job.workspace.glob("checkpoints/checkpoint-*")] == ["checkpoint-6"]  # of 3 and 6
    written: list[list[Path]] = []
    smaller = replace(
        dpo_job, keep_epoch=3, micro_batch_size=2, gradient_checkpointing=True, save_steps=1, overwrite_checkpoint=True
    )
    result = train(smaller, lambda line: written.append([*dpo_job.workspace.glob("checkpoints/checkpoint-*")]))
    assert result.resumed_at in (6, 7)  # it may have gone on for a moment
    assert {len(found) for found in written} <= {0, 1} and any(written)
    for ours, theirs in zip(log(dpo_job.out), log(third_epoch.out), strict=True):
        assert (ours["step"], ours["learning_rate"]) == (theirs["step"], theirs["learning_rate"])
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    rewards = [margins(folder)["reward_margin"].to_list() for folder in (dpo_job.out, third_epoch.out)]
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-4)


def test_micro_batches_change_no_step(dpo_job: TrainingJob) -> None:
    """A step of 10 pairs is the same step in passes of 12, 6, 4, 3 and 1: the last pass of 6, 4 and 3 is a smaller one.

    Loss, rewards and gradient are means over the pairs, and so the weights after three steps are the same.
    """
    whole = trained_here(replace(dpo_job, batch_size=12, micro_batch_size=12, keep_epoch=3))
    for micro in (6, 4, 3, 1):
        job = replace(dpo_job, batch_size=12, micro_batch_size=micro, keep_epoch=3, out=dpo_job.out.with_name("m"))
        same_training(job, trained_here(job), whole)


def trained_here(job: TrainingJob, make: Callable[..., Any] = make_trainer) -> tuple[list[dict[str, Any]], Any]:
    """The log and the change of the weights after a training in the test's process."""
    from mr_assets.training.trainer import run

    trainer = make(job)
    before = flat(load(job.model))
    run(trainer, job)
    return log(job.workspace / "model"), flat(load(job.workspace / "model")) - before


def flat(model: Any) -> Any:
    import torch

    return torch.cat([p.detach().flatten() for p in model.parameters()])


def same_training(
    job: TrainingJob, ours: tuple[list[dict[str, Any]], Any], theirs: tuple[list[dict[str, Any]], Any]
) -> None:
    """Means over the same rows, step by step, and one change of the weights: equal but for rounding."""
    names = {"step", "loss", "grad_norm"} | {n for n in theirs[0][0] if n.startswith(("rewards/m", "logps/"))}
    assert len(names) == 3 + 3 * (job.kind == "dpo")
    for name in names:
        came, expected = ([line[name] for line in lines] for lines, _ in (ours, theirs))
        assert came == pytest.approx(expected, rel=1e-4, abs=1e-5), (job.micro_batch_size, name)
    assert (ours[1] - theirs[1]).norm() < 1e-3 * theirs[1].norm(), job.micro_batch_size


def test_a_reference_that_is_not_the_starting_model_ends_the_training(dpo_job: TrainingJob) -> None:
    """At step 1 every reward is 0 and the loss ln 2; here the weights have moved since the reference was asked."""
    import torch

    def moved(job: TrainingJob) -> Any:
        trainer = make_trainer(job)
        for parameter in trainer.model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        return trainer

    with pytest.raises(UserError, match=r"loss is 0\.7\d+, .* at step 1, expected ln 2 = 0\.6931"):
        trained_here(dpo_job, moved)


def test_a_reference_that_is_wrong_on_both_sides_ends_the_training(dpo_job: TrainingJob) -> None:
    """It leaves the loss at ln 2, since that goes by the difference: log-probabilities off by 1 are rewards of -0.1."""

    def shifted(job: TrainingJob) -> Any:
        trainer = make_trainer(job)
        sides = ("ref_chosen_logps", "ref_rejected_logps")
        trainer.train_dataset = trainer.train_dataset.map(lambda row: {side: row[side] + 1 for side in sides})
        return trainer

    with pytest.raises(UserError, match=r"loss is 0\.6931, rewards/chosen -0\.1, rewards/rejected -0\.1 at step 1"):
        trained_here(dpo_job, shifted)


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_the_arguments_are_there_before_the_model_is_loaded(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of accelerate among them say how a model is loaded: after it, each process would hold all of it."""
    from trl.trainer import dpo_config, dpo_trainer, sft_config, sft_trainer  # noqa: F401 - they read their config's class

    from mr_assets.training import dpo, sft, trainer

    module, name = {"dpo": (dpo_config, "DPOConfig"), "sft": (sft_config, "SFTConfig")}[kind]
    order, config = [], getattr(module, name)

    def made(**arguments: Any) -> Any:
        order.append("arguments")
        return config(**arguments)

    def loaded(job: TrainingJob) -> Any:
        order.append("model")
        raise Interrupted

    monkeypatch.setattr(module, name, made)
    monkeypatch.setattr(trainer, "load_model", loaded)
    job = request.getfixturevalue(f"{kind}_job")
    launch.prepare_workspace(job)
    with pytest.raises(Interrupted):
        {"dpo": dpo, "sft": sft}[kind].make_trainer(job)
    assert order == ["arguments", "model"]


def test_in_bf16_a_reference_that_is_slightly_off_ends_the_training(dpo_job: TrainingJob) -> None:
    """By as much as one that was wrong on one of two processes: loss 0.679699, of margins of 0.027 in the mean.

    The right one passes in steps of one and of four pairs, with and without gradient checkpointing, though in passes of
    four its padding, and so its rounding, is other than when it was asked.
    """

    def off(job: TrainingJob) -> Any:
        trainer = make_trainer(job)
        data = trainer.train_dataset
        trainer.train_dataset = data.map(lambda row: {"ref_chosen_logps": row["ref_chosen_logps"] - 0.27})
        return trainer

    job = replace(dpo_job, precision="bf16")
    with pytest.raises(UserError, match=r"loss is 0\.6797, rewards/chosen 0\.027, rewards/rejected .* at step 1"):
        trained_here(job, off)
    for changes in (
        {"micro_batch_size": 1},
        {"gradient_checkpointing": True},
        {"batch_size": 1, "micro_batch_size": 1},
    ):
        right = replace(job, out=dpo_job.out.with_name("right"), **changes)
        first, *_ = trained_here(right)[0]
        assert first["loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_the_order_within_a_step_changes_no_weight(dpo_job: TrainingJob) -> None:
    """In float64, a step of 4 pairs in passes of 2, the longest first, moves the weights as it does in the drawn order.

    The passes are others, the steps' rows are the same.
    """
    from transformers import Trainer

    def double(job: TrainingJob) -> Any:
        trainer = make_trainer(job)
        trainer.model.double()
        return trainer

    def as_drawn(job: TrainingJob) -> Any:
        trainer = double(job)
        trainer.get_train_dataloader = lambda: Trainer.get_train_dataloader(trainer)
        return trainer

    job = replace(dpo_job, micro_batch_size=2, keep_epoch=2)
    orders = [list(make(job).get_train_dataloader().batch_sampler) for make in (double, as_drawn)]
    rows = [[sorted(step[0] + step[1]) for step in zip(o[::2], o[1::2], strict=False)] for o in orders]
    assert orders[0] != orders[1]
    assert rows[0] == rows[1]
    (ours, moved), (theirs, expected) = (trained_here(job, make) for make in (double, as_drawn))
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in theirs], abs=1e-6)
    assert (moved - expected).abs().max() < 1e-6 < expected.abs().max()


def test_the_8_bit_optimizer_of_the_papers_recipe(dpo_job: TrainingJob) -> None:
    """It steps as the one whose state has 32 bits does, up to what 8 bits round.

    Its state has 8 bits, but that of the input embedding, as `mr plan` counts it. (Small matrices have 32, too.)
    """
    import torch

    job, kept = replace(dpo_job, optimizer="adamw_8bit", keep_epoch=3), []

    def make(job: TrainingJob) -> Any:
        kept.append(make_trainer(job))
        return kept[-1]

    (_, moved), (_, expected) = (trained_here(j, make) for j in (job, replace(job, optimizer="adamw_torch")))
    assert (moved - expected).norm() < 0.2 * expected.norm()
    state, model = kept[0].optimizer.state, kept[0].model
    assert state[model.get_output_embeddings().weight]["state1"].dtype == torch.uint8
    assert state[model.get_input_embeddings().weight]["state1"].dtype == torch.float32


def test_adapters_are_trained_and_worked_into_the_result(dpo_job: TrainingJob) -> None:
    """Row 23: the weights of every linear layer move by (alpha / r) B A, of rank 4 at most; all others stay.

    The result is a whole model folder. Rewards and margins are those of it against the starting model, which is the
    reference: it is what the model is without its adapters.
    """
    import torch

    from mr_assets.training.dpo import write_reward_margins
    from mr_assets.training.trainer import run

    job = replace(dpo_job, lora_r=4, lora_alpha=8.0, learning_rate=1e-2, keep_epoch=2)
    trainer = make_trainer(job)
    run(trainer, job, write_reward_margins)
    folder = job.workspace / "model"
    check_model_folder(folder)
    assert log(folder)[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    before, after = (dict(load(place).named_parameters()) for place in (job.model, folder))
    adapters = dict(trainer.model.get_base_model().named_parameters())
    linear = [name for name in before if name.endswith("_proj.weight")]
    assert len(linear) == 2 * 7
    for name, weight in before.items():
        moved = after[name] - weight
        if name in linear:
            a, b = (adapters[name.replace("weight", f"lora_{side}.default.weight")] for side in "AB")
            assert torch.allclose(moved, 8 / 4 * b @ a, atol=1e-6), name
            assert 1 <= torch.linalg.matrix_rank(moved, atol=1e-5) <= 4, name
        else:
            assert torch.equal(after[name], weight), name
    found, rows = margins(folder), pl.read_parquet(job.data).to_dicts()
    for side in ("chosen", "rejected"):
        texts = [(row["prompt_token_ids"], row[f"{side}_token_ids"]) for row in rows]
        rewards = job.beta * (sums_of_log_probs(load(folder), texts) - sums_of_log_probs(load(job.model), texts))
        assert found[f"{side}_reward"].to_list() == pytest.approx(rewards.tolist(), abs=1e-5)
    assert found.filter(pl.col("reward_margin") > 0).height > 5


def test_adapters_resume_and_keep_every_epoch_to_the_same_bits(dpo_job: TrainingJob) -> None:
    """With dropout, which only a training's steps have: the kept models of an undisturbed training are the same."""
    whole = replace(dpo_job, lora_r=4, lora_dropout=0.3, learning_rate=1e-2, keep_all_epochs=True, keep_epoch=3)
    train(replace(whole, out=dpo_job.out.with_name("whole")))

    def kill(line: dict[str, Any]) -> None:
        if line.get("step", 0) >= 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(whole, kill)
    assert train(whole).resumed_at in (3, 6)  # it may have gone on for a moment
    for epoch in "123":
        ours, theirs = (out / "epochs" / epoch for out in (whole.out, dpo_job.out.with_name("whole")))
        assert weights(ours) == weights(theirs)
        assert margins(ours).equals(margins(theirs))


def test_an_interrupt_ends_every_process_of_several(dpo_job: TrainingJob) -> None:
    """Accelerate's launcher and its workers, which have sessions of their own, are gone with the caller's exception."""
    pids: list[int] = []

    def on_metrics(line: dict[str, Any]) -> None:
        pids.extend(child.pid for child in psutil.Process().children(recursive=True))
        raise Interrupted

    long = replace(dpo_job, num_processes=2, micro_batch_size=2, schedule_epochs=500, keep_epoch=500)
    with pytest.raises(Interrupted):
        train(long, on_metrics)
    assert len(pids) >= 3
    assert gone(pids)


def test_the_result_is_a_model_folder(dpo_job: TrainingJob, first_epoch: Trained) -> None:
    """Everything but the weights is the starting model's, weights are fp32, and nothing else lies there.

    TRL writes the padding token that it chose (here the end token) into the configuration it trains with. Were that
    saved, the next iteration's model would load the end token's embedding as padding, which gets no gradient.
    """
    from safetensors.torch import load_file

    out = first_epoch.result.out
    assert out == first_epoch.out
    check_model_folder(out)
    names = {path.name for path in dpo_job.model.iterdir()}
    assert {path.name for path in out.iterdir()} == names | {"training_log.jsonl", MARGINS}
    for name in names - {"config.json", "model.safetensors"}:
        assert (out / name).read_bytes() == (dpo_job.model / name).read_bytes(), name
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (dpo_job.model, out))
    assert after == before | {"dtype": "float32"}
    assert {str(tensor.dtype) for tensor in load_file(out / "model.safetensors").values()} == {"torch.float32"}
    assert load(out).get_input_embeddings().padding_idx is None


def test_a_loss_that_is_not_finite_ends_without_a_model(dpo_job: TrainingJob) -> None:
    """Told with the step and the rate; the next try does not resume from broken weights."""
    broken = replace(dpo_job, beta=1e38, keep_epoch=3)
    with pytest.raises(TrainingFailed, match=r"(loss|grad_norm) is nan at step \d of 9 .*No model is written"):
        train(broken)
    assert not broken.out.exists()


def test_a_margin_that_is_not_finite_ends_without_a_model(dpo_job: TrainingJob) -> None:
    """The only step's loss was still fine, and what it left of the weights is not."""
    from mr_assets.training.dpo import write_reward_margins
    from mr_assets.training.trainer import NotFiniteError, run

    broken = replace(dpo_job, batch_size=12)
    trainer = make_trainer(broken)
    trainer.args.learning_rate = 1e30  # more than a job may have
    with pytest.raises(NotFiniteError, match=r"reward margin is (nan|-?inf) after step 1, for \d+ of 10 pairs"):
        run(trainer, broken, write_reward_margins)
    assert not broken.out.exists()
