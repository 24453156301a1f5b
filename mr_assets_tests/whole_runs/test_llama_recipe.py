"""The paper's recipe, two iterations of it, on a tiny model of Llama 3's shape and on a user's own files.

Only paths and sizes are overridden; every other number is the paper's. A random model writes nothing that can be
parsed, so the tiny one is taught for half a minute to answer, to score and to name a winner, at random.
"""

import json
import random
from collections.abc import Callable, Iterator
from itertools import product
from math import ceil, cos, pi
from pathlib import Path
from typing import Any

import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets_tests.llama3_shape import make_llama3_shaped_model
from mr_assets_tests.real_run import KEYS, RealRun, check_token_identity, end_ids, mr, sets

pytestmark = pytest.mark.slow

PROMPTS, ITERATIONS = 6, (1, 2)
SIZES = (
    "sft.cpu_threads=1",
    "dpo.cpu_threads=1",
    f"iterations.all.prompts={PROMPTS}",
    "responses.max_tokens=32",
    "judgments.max_tokens=32",
    "meta_judgments.max_tokens=32",
    "sft.max_length=512",
    "dpo.max_length=512",
    "dpo.micro_batch_size=16",
    "sft.micro_batch_size=16",
    "engine.max_model_len=1024",
    "engine.max_num_seqs=64",
    "engine.shard_size=512",
    "engine.cpu_kv_cache_gib=0.5",
    "engine.enforce_eager=true",
    "guardrails.score_reliability_at_least={warn: 0.7, stop: null}",  # this judge scores by lot
)
QUESTIONS = [
    f"{question} {thing}?"
    for question, thing in product(("What is", "How do I use", "Why is there"), ("rain", "a score", "web search", "10"))
]
ANSWERS = (
    "It is basic.",
    "A useful answer to the user.",
    "I have no answer",
    "You use it to search the web and blogs.",
)
REASONS = ("It is basic", "The answer is relevant", "It does not help", "An insightful and well-organized response")


# ------------------------------------------------------------------------------------------- a model to begin with


def make_model(folder: Path, steps: int = 110) -> Path:
    """A model of Llama 3's shape that answers, judges and meta-judges in a few phrases, each with a random verdict."""
    import torch
    from transformers import AutoModelForCausalLM

    make_llama3_shaped_model(folder, hidden=128, layers=1)  # the CPU kernels need heads of 32
    encode, threads = ChatEncoder.load(folder), torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = random.Random(0)
    for _ in range(steps):
        for lesson, count in ((answering, 8), (judging, 4), (meta_judging, 3)):
            rows = [lesson(encode, rng) for _ in range(count)]
            width = max(len(asked) + len(said) for asked, said in rows)
            ids = torch.zeros((count, width), dtype=torch.long)
            labels = torch.full((count, width), -100)
            for i, (asked, said) in enumerate(rows):
                ids[i, : len(asked) + len(said)] = torch.tensor(asked + said)
                labels[i, len(asked) : len(asked) + len(said)] = torch.tensor(said)
            model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.to(torch.bfloat16).save_pretrained(folder)
    torch.set_num_threads(threads)
    return folder


Lesson = tuple[list[int], list[int]]


def answering(encode: ChatEncoder, rng: random.Random) -> Lesson:
    """A question and an answer of one or two phrases."""
    return encode.prompt_ids(rng.choice(QUESTIONS)), encode.completion_ids(answer(rng))


def judging(encode: ChatEncoder, rng: random.Random) -> Lesson:
    """The judge's prompt and a judgment."""
    values = {"prompt": rng.choice(QUESTIONS), "response": answer(rng)}
    return encode.template_ids(judge_template(), values), encode.completion_ids(judgment(rng))


def meta_judging(encode: ChatEncoder, rng: random.Random) -> Lesson:
    """The meta-judge's prompt and a verdict."""
    values = {"prompt": rng.choice(QUESTIONS), "response": answer(rng)}
    values |= {"judgment_a": judgment(rng), "judgment_b": judgment(rng)}
    verdict = f"{rng.choice(REASONS)}.\n\nWinner: Judgement {rng.choice('AB')}"
    return encode.template_ids(meta_judge_template(), values), encode.completion_ids(verdict)


def answer(rng: random.Random) -> str:
    return " ".join(rng.choices(ANSWERS, k=rng.randint(1, 2)))


def judgment(rng: random.Random) -> str:
    return f"{rng.choice(REASONS)}. {rng.choice(REASONS)}.\n\nScore: {rng.randint(1, 5)}"


# ------------------------------------------------------------------------------------------------------------ the run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRun]:
    """``mr run llama_3_8b_meta_rewarding --iterations 2`` with the user's model, prompts and EFT data."""
    home = tmp_path_factory.mktemp("llama")
    model, data, rng = make_model(home / "model"), home / "data", random.Random(1)
    data.mkdir()

    def write(name: str, row: Callable[[str], dict[str, str]]) -> str:
        path = home / name
        path.write_text("".join(json.dumps(row(question)) + "\n" for question in QUESTIONS))
        return str(path)

    def example(question: str) -> dict[str, str]:
        return {
            "prompt": judge_template().fill({"prompt": question, "response": answer(rng)}),
            "completion": judgment(rng),
        }

    paths = (
        f"model.seed={model}",
        f"prompts.source={write('prompts.jsonl', lambda question: {'prompt': question})}",
        f"eft.source={write('eft.jsonl', example)}",
    )
    options = sets(*SIZES, *paths)
    said = mr(data, "run", "llama_3_8b_meta_rewarding", "--iterations", "2", *options, "--name", "tiny_llama")
    yield RealRun(data, "tiny_llama", said)


def test_both_iterations_complete(run: RealRun) -> None:
    """Pairs of both kinds in both iterations, and the second starts from what the first has trained."""
    assert len(run.by_id("prompts", 1).keys() | run.by_id("prompts", 2).keys()) == 2 * PROMPTS
    for t in ITERATIONS:
        assert {row["kind"] for row in run.table("dpo_dataset", t)} == {"actor", "judge"}
        model = run.record("checkpoints", t)["model"]
        assert model["fingerprint"] == fingerprint(run.folder("checkpoints") / str(t))
        for asset in KEYS:
            assert all(i.startswith(f"{t}.") for i in run.by_id(asset, t)) or asset == "prompts"
    m_0, m_1 = run.record("sft_checkpoint", None)["model"], run.record("checkpoints", 1)["model"]
    assert [run.record("policy", t)["model"] for t in ITERATIONS] == [m_0, m_1]
    for t, policy in ((1, m_0), (2, m_1)):
        for asset in ("responses", "judgments", "meta_judgments", "checkpoints"):
            assert run.record(asset, t)["policy"] == policy["fingerprint"]
    assert "M2" in run.record("checkpoints", 2)["model"]["name"]


def test_the_papers_numbers_are_in_force(run: RealRun) -> None:
    """Sections 3.1 and A.3, as the records of what was made tell them."""

    def settings(asset: str, t: int | None, section: str) -> dict[str, Any]:
        found: dict[str, Any] = run.record(asset, t)["settings"][section]
        return found

    training = {"lr_scheduler": "cosine", "batch_size": 32, "schedule_epochs": 10}
    sft = settings("sft_checkpoint", None, "sft")
    assert sft.items() >= {**training, "learning_rate": 5e-8, "keep_epoch": 5}.items()
    sampling = {"temperature": 0.8, "top_p": 0.95}
    for t, epoch, rho, longest, longest_judgment in ((1, 6, 0.0, 2500, 1100), (2, 4, 0.32, None, 1000)):
        assert settings("responses", t, "responses").items() >= {**sampling, "k": 7}.items()
        assert settings("judgments", t, "judgments").items() >= {**sampling, "n": 11, "template": None}.items()
        judged = settings("meta_judgments", t, "meta_judgments")
        assert judged.items() >= {**sampling, "template": None, "sample_distinct_once": False}.items()
        pairs = run.record("actor_pairs", t)["settings"]
        assert (pairs["iteration.rho"], pairs["iteration.max_chosen_chars"]) == (rho, longest)
        assert run.record("elo_pairs", t)["settings"]["iteration.max_chosen_judgment_chars"] == longest_judgment
        dpo = run.record("checkpoints", t)["settings"]
        assert dpo["dpo"].items() >= {**training, "beta": 0.1, "learning_rate": 5e-6}.items()
        assert dpo["iteration.keep_epoch"] == epoch


def test_training_stops_at_the_kept_epoch_of_a_schedule_of_ten(run: RealRun) -> None:
    """The rate falls as the cosine over ten epochs does, up to the kept epoch; the reference is M_{t-1} itself.

    A dozen pairs in batches of 32: one step per epoch; the rate of step s is 5e-6 (1 + cos(pi (s - 1) / 10)) / 2. At
    the first step the model still is its own reference: all rewards are 0.
    """
    for t, epoch in ((1, 6), (2, 4)):
        lines = (run.folder("checkpoints") / str(t) / "training_log.jsonl").read_text().splitlines()
        log = [json.loads(line) for line in lines]
        per_epoch = ceil(len(run.table("dpo_dataset", t)) / 32)
        assert [line["step"] for line in log] == list(range(1, epoch * per_epoch + 1))
        for line in log:
            expected = 5e-6 * (1 + cos(pi * (line["step"] - 1) / (10 * per_epoch))) / 2
            assert line["learning_rate"] == pytest.approx(expected, rel=1e-6)
        assert log[0]["rewards/margins"] == pytest.approx(0, abs=1e-3)


def test_every_pair_of_judgments_battles_in_both_orders(run: RealRun) -> None:
    """The paper's recipe samples every battle: N(N-1) for N valid judgments, none of them copied."""
    for t in ITERATIONS:
        judgments = run.by_id("judgments", t)
        for row in run.table("selected_responses", t):
            response = row["response_id"]
            valid = [j for j in judgments.values() if j["response_id"] == response and j["score"] is not None]
            battles = [m for m in run.table("meta_judgments", t) if m["response_id"] == response]
            assert len(battles) == len(valid) * (len(valid) - 1)
            assert all(m["copied_from"] is None for m in battles)


@pytest.mark.parametrize("t", ITERATIONS)
def test_what_is_trained_on_is_what_was_sampled(run: RealRun, t: int) -> None:
    """One <|begin_of_text|>, the ids of engine and trainer alike, and <|eot_id|> at the end of what was finished."""
    from transformers import AutoTokenizer

    policy = run.data / run.record("policy", t)["model"]["path"]
    tokenizer = AutoTokenizer.from_pretrained(policy, local_files_only=True)
    check_token_identity(run, t, tokenizer)
    begin, eot = (tokenizer.convert_tokens_to_ids(x) for x in ("<|begin_of_text|>", "<|eot_id|>"))
    header = tokenizer.encode("<|start_header_id|>assistant<|end_header_id|>\n\n", add_special_tokens=False)
    assert eot in end_ids(policy)
    for row in run.table("dpo_dataset", t):
        prompt = row["prompt_token_ids"]
        assert prompt[0] == begin and prompt.count(begin) == 1
        assert prompt[-len(header) :] == header
        assert begin not in row["chosen_token_ids"] + row["rejected_token_ids"]
        assert row["chosen_token_ids"][-1] == eot  # a response or judgment that was cut off is never chosen
