"""The real model through two iterations of its recipe, on questions and rankings of people: as small as may be.

Skipped where the model (`make real-model`) or the files of `real_model.py` are not there. A model of this size learns
the form of judging in six steps at a high rate, and no more: whether its scores are worth anything is not asked here,
and the guardrails that would stop it for that are off.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.files import fingerprint
from mr_assets_tests.real_model import RECIPE, inputs, missing, write_questions
from mr_assets_tests.real_run import KEYS, RealRun, check_token_identity, end_ids, mr, sets

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]

PROMPTS, ITERATIONS = 6, (1, 2)
SIZES = (
    "iterations.all.prompts=6",
    "iterations.all.keep_epoch=1",
    "iterations.2.judge_training=false",
    "eft.examples=12",
    "sft.learning_rate=2e-4",
    "sft.batch_size=2",
    "sft.max_length=1280",
    "responses.k=3",
    "responses.max_tokens=48",
    "judgments.n=3",
    "judgments.max_tokens=56",
    "meta_judgments.max_tokens=56",
    "dpo.batch_size=4",
    "dpo.schedule_epochs=1",
    "engine.max_num_seqs=16",
    "engine.cpu_kv_cache_gib=0.5",
    "engine.cpu_top_k_first=1024",
    "guardrails.min_count=1000",  # a share of so few rows says nothing, and stops nothing
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRun]:
    """``mr run smollm2_135m`` with the folder, the questions and the rankings."""
    home = tmp_path_factory.mktemp("real")
    data = home / "data"
    data.mkdir()
    questions = write_questions(home / "questions.jsonl", 4 * PROMPTS)
    said = mr(data, "run", RECIPE, *sets(*inputs(questions), *SIZES), "--name", "real")
    yield RealRun(data, "real", said)


def shared_table(run: RealRun, asset: str) -> pl.DataFrame:
    """A table that the run shares with its family."""
    return pl.read_parquet(run.data / run.family / f"{asset}.parquet")


def test_both_iterations_complete(run: RealRun) -> None:
    """The second starts from what the first has trained; M2 is there, and says so."""
    assert len(run.by_id("prompts", 1).keys() | run.by_id("prompts", 2).keys()) == 2 * PROMPTS
    policies = [run.record("policy", t)["model"] for t in ITERATIONS]
    assert policies == [run.record("sft_checkpoint", None)["model"], run.record("checkpoints", 1)["model"]]
    for t in ITERATIONS:
        made = run.record("checkpoints", t)["model"]
        assert made["fingerprint"] == fingerprint(run.folder("checkpoints") / str(t))
        assert made["fingerprint"] != policies[t - 1]["fingerprint"]
        assert len(run.table("dpo_dataset", t)) >= 1
        for asset in KEYS:
            assert all(i.startswith(f"{t}.") for i in run.by_id(asset, t)) or asset == "prompts"


def test_what_is_held_out_is_trained_on_nowhere(run: RealRun) -> None:
    """By the trees of the examples. All three kinds are there, and each says what it is made of."""
    replies, examples = shared_table(run, "ranked_replies"), shared_table(run, "eft_dataset")
    held_out = set(replies.filter("held_out")["tree_id"])
    assert held_out
    assert not held_out & set(examples["tree_id"])
    assert set(examples["kind"]) == {"judgment", "meta_judgment", "instruction"}
    assert set(examples["message_id"]) <= set(replies["message_id"])


@pytest.mark.parametrize("t", ITERATIONS)
def test_what_is_trained_on_is_what_was_sampled(run: RealRun, t: int) -> None:
    """A ChatML model: <|im_start|> opens each turn, <|im_end|> ends what was finished, and nothing else has them."""
    from transformers import AutoTokenizer

    policy = run.data / run.record("policy", t)["model"]["path"]
    tokenizer: Any = AutoTokenizer.from_pretrained(policy, local_files_only=True)
    check_token_identity(run, t, tokenizer)
    start, end = (tokenizer.convert_tokens_to_ids(x) for x in ("<|im_start|>", "<|im_end|>"))
    assert end_ids(policy) == [end]
    for row in run.table("dpo_dataset", t):
        assert row["prompt_token_ids"].count(start) == 3  # system, user, assistant
        assert row["prompt_token_ids"].count(end) == 2
        assert start not in row["chosen_token_ids"] + row["rejected_token_ids"]


def test_the_settings_that_change_samples_are_recorded(run: RealRun) -> None:
    """The threads are not among them; that the nucleus was looked for among 1,024 tokens first is."""
    engine = run.record("responses")["settings"]["engine"]
    assert engine["cpu_top_k_first"] == 1024
    assert "cpu_threads" not in engine


def test_its_folder_is_a_model_like_the_one_that_it_began_with(run: RealRun) -> None:
    """Configuration, tokenizer and template are the seed's."""
    made, began = run.folder("checkpoints") / "2", Path(run.record("policy")["model"]["path"])
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (made / name).read_bytes() == (run.data / began / name).read_bytes()
    assert json.loads((made / "config.json").read_text())["vocab_size"] == 49_152
