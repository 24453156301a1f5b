"""The slow tier: the real engine on the seed of the small world and on a random model of Llama 3's shape."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.judging import PAPERS_SCORING
from mr_assets.method.asked_lines import score_line, split_tokens
from mr_assets.sampling import live, replicas
from mr_assets.sampling.engine import (
    Completion,
    Request,
    VLLMSampler,
)
from mr_assets.sampling.live import close_engine
from mr_assets.sampling.replicas import Replicas
from mr_assets.sampling.settings import ChoiceSettings, EngineSettings, SamplingSettings
from mr_assets.sampling.shards import Sampled, sample_shards, scan_shards
from mr_assets.training import launch
from mr_assets.worlds import letters
from mr_assets_tests.llama3_shape import CONTROL_TOKENS, make_llama3_shaped_model
from mr_assets_tests.real_run import wait_for
from mr_assets_tests.sampling.fake import engine_settings
from mr_assets_tests.sampling.fake_replica import sampled_by

pytestmark = pytest.mark.slow

SEED = Path(__file__).parents[2] / "data" / "seeds" / "small-world"
SMALL = engine_settings(max_num_seqs=32, cpu_kv_cache_gib=0.25)
EXACT = engine_settings(dtype="float32", max_num_seqs=32, cpu_kv_cache_gib=0.25)  # to compare with transformers
DRAWN = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=48)
GREEDY = SamplingSettings(temperature=0.0, top_p=1.0, max_tokens=24)


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    close_engine()


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama3_shaped_model(tmp_path_factory.mktemp("llama3"), hidden=128)  # the CPU kernels need heads of 32


def requests(n: int = 3, count: int = 40) -> list[Request]:
    encoder = ChatEncoder.load(SEED)
    return [Request(f"q{i}", encoder.prompt_ids(p), n) for i, p in enumerate(letters.make_prompts(count, "slow"))]


def open_engine(folder: Path, fingerprint: str, settings: EngineSettings, **more: Any) -> VLLMSampler:
    """The process's engine, which is in it."""
    engine = live.open_engine(folder, fingerprint, settings, **more)
    assert isinstance(engine, VLLMSampler)
    return engine


def stage(folder: Path) -> Sampled:
    """120 completions in shards of at most 50, 3 to a request: 48, 48 and 24, and a batch is 32."""
    engine = open_engine(SEED, fingerprint(SEED), SMALL)
    return sample_shards(engine, requests(), DRAWN, folder, signature={}, seed=1, shard_size=50)


def complete(engine: VLLMSampler, asked: list[Request], settings: SamplingSettings) -> dict[str, list[Completion]]:
    engine.reseed(0)
    for request in asked:
        engine.add(request, settings)
    done: dict[str, list[Completion]] = {}
    while engine.in_flight:
        done |= dict(engine.step())
    return done


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    return stage(tmp_path_factory.mktemp("whole"))


def test_another_process_samples_the_same_shards(whole: Sampled, tmp_path: Path) -> None:
    """On the CPU the same policy, prompts, settings and seed give the same files, bit by bit."""
    code = f"from pathlib import Path; from {__name__} import stage; stage(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert len(whole.paths) == 3
    for path in whole.paths:
        assert_frame_equal(pl.read_parquet(tmp_path / path.name), pl.read_parquet(path))


def test_two_replicas_sample_the_same_shards_though_one_is_killed(
    whole: Sampled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each an engine in a process of its own, of which one is killed while both sample.

    Nothing is lost, and at most the shard that it had is sampled again.
    """
    monkeypatch.chdir(tmp_path)
    Path("requests.log").touch()
    program = [sys.executable, "-m", "mr_assets_tests.sampling.logged_replica"]
    monkeypatch.setattr(replicas, "replica_program", lambda: program)
    close_engine()
    engine = live.open_engine(SEED, fingerprint(SEED), SMALL.model_copy(update={"replicas": 2}))
    assert isinstance(engine, Replicas)
    pids, warned = engine.pids, list[str]()

    def asked() -> Iterator[Request]:
        for number, request in enumerate(requests()):
            if number == 39:  # of the third shard: the others are being sampled
                wait_for(lambda: len({pid for by in sampled_by().values() for pid in by}) == 2, 60)
                psutil.Process(pids[0]).kill()
            yield request

    folder = tmp_path / "stage"
    shared = sample_shards(engine, asked(), DRAWN, folder, signature={}, seed=1, shard_size=50, warn=warned.append)
    assert [path.name for path in shared.paths] == [path.name for path in whole.paths]
    assert_frame_equal(scan_shards(shared.paths).collect(), scan_shards(whole.paths).collect())
    assert len(warned) == 1 and engine.pids == pids[1:]
    by = sampled_by()
    assert by.keys() == {request.id for request in requests()}
    again = {request for request, sampled in by.items() if len(sampled) > 1}
    shards = [set(pl.read_parquet(path)["request_id"]) for path in shared.paths]
    assert any(again <= shard for shard in shards) and all(by[request] == pids for request in again)
    close_engine()
    assert not psutil.Process().children(recursive=True)


def test_a_resumed_stage_equals_an_uninterrupted_one(whole: Sampled, tmp_path: Path) -> None:
    """Only the second shard is missing: a fresh engine samples it as it was, though others came before it then."""
    for path in (whole.paths[0], whole.paths[2]):
        shutil.copy(path, tmp_path)
    close_engine()
    resumed = stage(tmp_path)
    assert resumed.sampled < resumed.reused
    assert_frame_equal(scan_shards(resumed.paths).collect(), scan_shards(whole.paths).collect())


def test_sampling_leaves_the_environment_of_a_trainer_alone(tmp_path: Path) -> None:
    """One that was started while the engine samples is taken only by a training that would have started it so."""
    open_engine(SEED, fingerprint(SEED), SMALL)
    before = launch.trainer_environment(None)
    stage(tmp_path)
    assert launch.trainer_environment(None) == before
    close_engine()
    assert launch.trainer_environment(None) == before


def test_a_completion_ends_in_its_end_token_and_its_text_has_none(whole: Sampled) -> None:
    """finish_reason "stop" if and only if the last id is the end token; the text is the ids without it."""
    tokenizer = ChatEncoder.load(SEED).tokenizer
    frame = scan_shards(whole.paths).collect()
    assert frame.height == 120
    for ids, text, reason in frame.select("token_ids", "text", "finish_reason").iter_rows():
        assert (ids[-1] == tokenizer.eos_token_id) == (reason == "stop")
        assert tokenizer.eos_token_id not in ids[:-1]
        assert text == tokenizer.decode(ids, skip_special_tokens=True)
        assert "<|" not in text
    assert frame["finish_reason"].to_list().count("stop") > 100


def test_tokens_of_what_is_in_flight(whole: Sampled) -> None:
    """They grow with every step, those of a completion that waits for its siblings included, and end as they came."""
    engine = open_engine(SEED, fingerprint(SEED), SMALL)
    engine.reseed(1)
    [asked] = requests(n=8, count=1)
    engine.add(asked, DRAWN)
    seen, done = [0], list[tuple[str, list[Completion]]]()
    while engine.in_flight:
        done += engine.step()
        seen.append(engine.tokens_in_flight)
    [(_, completions)] = done
    lengths = [len(c.token_ids) for c in completions]
    assert len(set(lengths)) > 1, "some ended before others"
    assert seen[:-1] == sorted(seen[:-1])
    assert seen[-2] >= sum(lengths) - len(lengths)
    assert seen[-1] == 0


def test_the_nucleus_among_the_likeliest_tokens_first(llama3: Path) -> None:
    """Of 778 tokens that are nearly alike, 0.3 have far fewer than 700; either way the same are drawn from.

    Among 8 it is never: then vLLM itself looks for it. In fp32, where no two tokens are equally likely.
    """
    settings = SamplingSettings(temperature=2.0, top_p=0.3, max_tokens=12)
    asked = [Request(f"q{i}", [5, 6, 7 + i], n=4) for i in range(8)]
    found = [
        complete(open_engine(llama3, "random", EXACT.model_copy(update={"cpu_top_k_first": first})), asked, settings)
        for first in (None, 700, 8)
    ]
    assert found[0] == found[1] == found[2]


def test_every_end_token_of_the_generation_config_ends_a_completion(llama3: Path) -> None:
    """Llama 3 has two; near-uniform sampling from 778 tokens meets both. Other control tokens stay out of the text."""
    tokenizer = ChatEncoder.load(llama3).tokenizer
    ends = {tokenizer.convert_tokens_to_ids(t) for t in ("<|end_of_text|>", "<|eot_id|>")}
    engine = open_engine(llama3, "random", SMALL)
    [completions] = complete(
        engine, [Request("q", [5, 6, 7], n=400)], SamplingSettings(temperature=2.0, top_p=1.0, max_tokens=100)
    ).values()
    last = Counter(c.token_ids[-1] for c in completions if c.finish_reason == "stop")
    assert set(last) == ends and min(last.values()) > 10
    for completion in completions:
        assert not ends & set(completion.token_ids[:-1])
        assert len(completion.token_ids) == 100 or completion.finish_reason == "stop"
        assert not any(token in completion.text for token in CONTROL_TOKENS)
    sampled = Counter(i for c in completions for i in c.token_ids[:-1])
    assert any(sampled[tokenizer.convert_tokens_to_ids(t)] for t in CONTROL_TOKENS if "reserved" in t)


def test_the_end_of_a_turn_ends_a_completion_where_it_is_no_eos(llama3: Path, tmp_path: Path) -> None:
    """Tokenizer and generation config name <|end_of_text|> alone; turns end in <|eot_id|>, and so do samples."""
    folder = tmp_path / "model"
    shutil.copytree(llama3, folder)
    tokenizer = ChatEncoder.load(llama3).tokenizer
    tokenizer.eos_token = "<|end_of_text|>"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [tokenizer.eos_token_id]}))
    encoder = ChatEncoder.load(folder)
    assert encoder.stop_token_ids == (encoder.end_id,)
    engine = open_engine(folder, "turns", SMALL, stop_token_ids=encoder.stop_token_ids)
    assert engine.signature["engine"]["stop_token_ids"] == [encoder.end_id]
    [completions] = complete(
        engine, [Request("q", [5, 6, 7], n=400)], SamplingSettings(temperature=2.0, top_p=1.0, max_tokens=100)
    ).values()
    last = Counter(c.token_ids[-1] for c in completions if c.finish_reason == "stop")
    assert set(last) == {encoder.end_id, tokenizer.eos_token_id} and min(last.values()) > 10
    for completion in completions:
        assert not {encoder.end_id, tokenizer.eos_token_id} & set(completion.token_ids[:-1])
        assert "<|eot_id|>" not in completion.text


def logits(folder: Path, ids: list[int]) -> Any:
    """The next token's, by transformers in fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1]


def test_temperature_zero_is_the_greedy_decoding_of_transformers() -> None:
    """In fp32 both take the likeliest token at every step."""
    import torch
    from transformers import AutoModelForCausalLM

    asked = requests(n=1, count=12)
    done = complete(open_engine(SEED, "exact", EXACT), asked, GREEDY)
    model = AutoModelForCausalLM.from_pretrained(SEED, dtype=torch.float32, local_files_only=True)
    for request in asked:
        prompt = torch.tensor([request.prompt_ids])
        with torch.no_grad():
            whole = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=GREEDY.max_tokens
            )
        assert done[request.id][0].token_ids == whole[0, prompt.shape[1] :].tolist()


def test_temperature_and_top_p_are_those_asked_for(llama3: Path) -> None:
    """First tokens follow transformers' softmax(logits / T), cut to the nucleus; the folder's 0.6 and 0.9 are ignored.

    4,000 draws; at top_p 0.5 only the likeliest tokens that reach half of the mass may come.
    """
    engine, ids, draws = open_engine(llama3, "exact", EXACT), [5, 6, 7, 8], 4000
    scores = logits(llama3, ids)
    for temperature in (0.3, 2.0):
        wanted = (scores / temperature).softmax(-1)
        [drawn] = complete(
            engine, [Request("q", ids, draws)], SamplingSettings(temperature=temperature, top_p=1.0, max_tokens=1)
        ).values()
        counts = Counter(c.token_ids[0] for c in drawn)
        for token in wanted.topk(20).indices.tolist():
            expected = draws * wanted[token].item()
            assert abs(counts[token] - expected) < 5 * expected**0.5 + 3
    order = (scores / 0.3).softmax(-1).sort(descending=True)
    size = int((order.values.cumsum(-1) < 0.5).sum()) + 1
    [drawn] = complete(
        engine, [Request("q", ids, draws)], SamplingSettings(temperature=0.3, top_p=0.5, max_tokens=1)
    ).values()
    assert {c.token_ids[0] for c in drawn} <= set(order.indices[: size + 1].tolist())


def test_another_policy_in_the_same_process_samples_as_itself(llama3: Path, tmp_path: Path) -> None:
    """A policy that is replaced in place, under a new fingerprint, is loaded again."""
    asked, folder = [Request("q", [5, 6, 7])], tmp_path / "policy"
    shutil.copytree(llama3, folder)
    first = open_engine(folder, "M0", EXACT)
    before = complete(first, asked, GREEDY)
    assert open_engine(folder, "M0", EXACT) is first
    assert complete(first, asked, GREEDY) == before
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama3, local_files_only=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.5)
    model.save_pretrained(folder)
    assert complete(open_engine(folder, "M1", EXACT), asked, GREEDY) != before
    assert complete(open_engine(llama3, "M0", EXACT), asked, GREEDY) == before


def test_the_engine_leaves_nothing_behind(llama3: Path) -> None:
    """No listening socket, no process, no inherited LD_PRELOAD; and closing gives the KV cache back."""
    import torch

    close_engine()
    preload, threads, me = os.environ.get("LD_PRELOAD"), torch.set_num_threads, psutil.Process()
    settings = engine_settings(max_num_seqs=32, cpu_kv_cache_gib=0.5)
    open_engine(llama3, "memory", settings)
    assert os.environ.get("LD_PRELOAD") == preload
    assert torch.set_num_threads is threads
    assert not me.children(recursive=True)
    outside = [c.laddr.ip for c in me.net_connections() if c.status == psutil.CONN_LISTEN]
    assert set(outside) <= {"127.0.0.1", "::1"}
    open_memory = me.memory_info().rss
    close_engine()
    assert open_memory - me.memory_info().rss > 0.4 * 2**30


def test_engines_opened_again_and_again_do_not_add_up(llama3: Path) -> None:
    """The fourth engine holds no more memory than the second, give or take 32 MiB."""
    held = []
    for turn in range(4):
        engine = open_engine(llama3, f"M{turn}", SMALL)
        complete(engine, [Request("q", [5, 6, 7], n=32)], DRAWN)
        held.append(psutil.Process().memory_info().rss)
    assert held[3] - held[1] < 32 * 2**20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (engine_settings(cpu_kv_cache_gib=0.0001), "cpu_kv_cache_gib"),
        (engine_settings(cpu_kv_cache_gib=1e6), "cpu_kv_cache_gib"),
        (engine_settings(max_model_len=10**7), "max_model_len"),
        (engine_settings(extra={"no_such_option": 1}), "no_such_option"),
    ],
    ids=["too little cache", "too much cache", "context", "option"],
)
def test_an_engine_that_cannot_start_is_told_and_the_next_one_starts(
    llama3: Path, settings: EngineSettings, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(llama3, "M0", settings)
    assert len(complete(open_engine(llama3, "M0", SMALL), [Request("q", [5])], GREEDY)) == 1


def test_a_model_that_vllm_does_not_know_is_told(llama3: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unknown"
    shutil.copytree(llama3, folder)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("LlamaForCausalLM", "NoSuchModelForCausalLM"))
    with pytest.raises(UserError, match="NoSuchModelForCausalLM"):
        open_engine(folder, "M0", SMALL)


def test_one_of_a_few_texts_and_nothing_else(llama3: Path) -> None:
    """A random model never writes a score; with choices it does, numbers of two digits too, and ends by itself.

    Weighed, all that it says is the probability of each choice: the same twice, and less than 1 together.
    """
    encode = ChatEncoder.load(llama3)
    engine = open_engine(llama3, fingerprint(llama3), SMALL, stop_token_ids=encode.stop_token_ids)
    prompt = [*encode.prompt_ids("How good is it?"), *encode.text_ids("Fine.\nScore:")]
    choices = tuple(f" {number}" for number in range(11))
    drawn = ChoiceSettings(temperature=1.0, top_p=1.0, max_tokens=6, choices=choices)
    found = complete(engine, [Request(str(i), prompt) for i in range(40)], drawn)
    texts = [text for [(text, _, _)] in found.values()]
    assert set(texts) <= set(choices) and len(set(texts)) > 3
    for [(text, token_ids, reason)] in found.values():
        assert reason == "stop"
        assert encode.tokenizer.decode(token_ids, skip_special_tokens=True) == text
    _, digits = split_tokens(score_line(PAPERS_SCORING), encode.text_ids)
    weighed = drawn.model_copy(update={"weighed": tuple(digits), "choices": choices[:6], "max_tokens": 1})
    once, again = (complete(engine, [Request("a", prompt)], weighed)["a"][0].text for _ in range(2))
    assert once == again
    probabilities = json.loads(once)
    assert len(probabilities) == 6 and min(probabilities) > 0 and sum(probabilities) < 1
