import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mr_assets.errors import UserError
from mr_assets.files import temporary_beside
from mr_assets.processes import Worker
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.sampling import shards
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import SHARD_SCHEMA, Progress, Sampled, sample_shards, scan_shards, size_of_shard
from mr_assets.sampling.stats import EngineStats
from mr_assets_tests.sampling.fake import END, FakeSampler, Killed

SETTINGS = SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=6)
REQUESTS = [Request(f"q{i}", [i, i + 1], n=2) for i in range(10)]  # 20 completions: 4 shards of 6, 6, 6 and 2


def run(sampler: FakeSampler, folder: Path, requests: Any = REQUESTS, **changed: Any) -> Sampled:
    arguments: dict[str, Any] = {"settings": SETTINGS, "signature": {"template": "judge"}, "seed": 7, "shard_size": 6}
    arguments |= changed
    return sample_shards(sampler, requests, arguments.pop("settings"), folder, **arguments)


def rows(sampled: Sampled) -> pl.DataFrame:
    return scan_shards(sampled.paths).collect()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_are_in_request_order_then_sample_order(tmp_path: Path, device: str) -> None:
    """However completions finish, the table is sorted as the requests came."""
    sampled = run(FakeSampler(device), tmp_path)
    frame = rows(sampled)
    assert frame.schema == SHARD_SCHEMA
    assert frame.select("request_id", "sample").rows() == [(f"q{i}", k) for i in range(10) for k in range(2)]
    assert [p.name[:6] for p in sampled.paths] == ["00000-", "00001-", "00002-", "00003-"]
    assert (sampled.requests, sampled.reused, sampled.sampled) == (10, 0, 10)
    assert sampled.tokens == frame["token_ids"].list.len().sum()


def test_a_folder_whose_name_would_be_a_pattern_is_a_folder(tmp_path: Path) -> None:
    assert_frame_equal(rows(run(FakeSampler(), tmp_path / "a [1]*")), rows(run(FakeSampler(), tmp_path / "b")))


def test_a_completion_keeps_its_end_token(tmp_path: Path) -> None:
    """token_ids end in the end token if and only if the model ended the completion itself."""
    frame = rows(run(FakeSampler(), tmp_path))
    ended = frame["token_ids"].list.last() == END
    assert 0 < ended.sum() < frame.height
    assert (ended == (frame["finish_reason"] == "stop")).all()


def steps_of_a_whole_run(folder: Path, device: str) -> int:
    sampler = FakeSampler(device)
    run(sampler, folder)
    return len(sampler.in_flight_at_step)


def test_on_the_cpu_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Killed at any step whatever, and resumed by a fresh engine: the same shards, bit by bit."""
    whole = run(FakeSampler(), tmp_path / "whole")
    for step in range(1, steps_of_a_whole_run(tmp_path / "count", "cpu") + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            run(FakeSampler(die_at=step), folder)
        left = len(list(folder.glob("*.parquet")))
        second = FakeSampler()
        resumed = run(second, folder)
        assert [p.name for p in resumed.paths] == [p.name for p in whole.paths]
        assert_frame_equal(rows(resumed), rows(whole))
        assert resumed.reused == 3 * left
        assert second.added == [r.id for r in REQUESTS[3 * left :]]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("how", ["cut short", "empty", "rows lost", "other rows", "other columns", "a pipe"])
def test_a_shard_that_is_not_whole_is_sampled_again(tmp_path: Path, how: str, device: str) -> None:
    """Its requests alone; what comes out is what an undisturbed run gives, on the CPU bit by bit."""
    whole = run(FakeSampler(device), tmp_path)
    before = rows(whole)
    path = whole.paths[1]
    frame, content = pl.read_parquet(path), path.read_bytes()
    path.unlink()
    match how:
        case "cut short" | "empty":
            path.write_bytes(content[: len(content) // 2] if how == "cut short" else b"")
        case "rows lost":
            frame.head(3).write_parquet(path)
        case "other rows":
            frame.with_columns(request_id=pl.lit("q0")).write_parquet(path)
        case "other columns":
            frame.drop("text").write_parquet(path)
        case "a pipe":
            os.mkfifo(path)
    second = FakeSampler(device)
    again = run(second, tmp_path)
    assert second.added == ["q3", "q4", "q5"]
    assert (again.paths, again.reused, again.sampled) == (whole.paths, 7, 3)
    if device == "cpu":
        assert_frame_equal(rows(again), before)
    assert rows(again).select("request_id", "sample").equals(before.select("request_id", "sample"))


def texts(frame: pl.DataFrame) -> dict[str, list[str]]:
    """The completions of each request."""
    return dict(frame.group_by("request_id", maintain_order=True).agg("text").iter_rows())


def test_on_cuda_a_kill_costs_what_was_in_flight_and_no_more(tmp_path: Path) -> None:
    """Whenever it dies: what the engine had given back is in the table as it was, and only the rest is sampled."""
    for step in range(1, steps_of_a_whole_run(tmp_path / "count", "cuda") + 1):
        folder = tmp_path / str(step)
        first, second = FakeSampler("cuda", die_at=step), FakeSampler("cuda")
        with pytest.raises(Killed):
            run(first, folder)
        committed = {p: p.read_bytes() for p in folder.glob("*.parquet")}
        resumed = run(second, folder)
        assert all(p.read_bytes() == content for p, content in committed.items())
        assert second.added == [r.id for r in REQUESTS if r.id not in first.returned]
        assert (resumed.reused, resumed.sampled) == (len(first.returned), len(second.added))
        frame = rows(resumed)
        assert frame.select("request_id", "sample").rows() == [(f"q{i}", k) for i in range(10) for k in range(2)]
        given = first.returned | second.returned
        assert texts(frame) == {request: [c.text for c in completions] for request, completions in given.items()}
        assert sorted(folder.iterdir()) == resumed.paths


def test_on_cuda_killed_again_and_again_it_gets_on(tmp_path: Path) -> None:
    """Seven steps at a time, each run in a new engine: no request that came back is asked for again."""
    given: list[str] = []
    for _ in REQUESTS:
        sampler = FakeSampler("cuda", die_at=8)
        try:
            resumed = run(sampler, tmp_path)
            break
        except Killed:
            given += sampler.returned
    assert given
    assert sorted([*given, *sampler.returned]) == sorted(r.id for r in REQUESTS)
    assert rows(resumed).height == 20


def test_on_cuda_a_kill_while_a_shard_is_written_costs_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that came in the same step is noted before; the next run writes the shard without an engine's help."""
    first, second = FakeSampler("cuda", max_num_seqs=20), FakeSampler("cuda")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shards, "atomically", dies)  # with which a shard is written
        run(first, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))
    resumed = run(second, tmp_path)
    assert second.added == [r.id for r in REQUESTS if r.id not in first.returned]
    assert first.returned
    assert rows(resumed).height == 20


def dies(*_: Any) -> None:
    raise Killed


@pytest.mark.parametrize("torn", ['["q9", [["half of a', '["q9", []]', "\0\0\0\n"], ids=["half", "no end", "zeros"])
def test_a_line_that_a_killed_writer_did_not_end_is_no_completion(tmp_path: Path, torn: str) -> None:
    """It is cut off, so that the next line begins where it began."""
    given: list[str] = []
    for _ in range(2):
        sampler = FakeSampler("cuda", die_at=8)
        with pytest.raises(Killed):
            run(sampler, tmp_path, shard_size=20)
        assert sampler.returned
        given += sampler.returned
        [journal] = tmp_path.glob("*.jsonl")
        with journal.open("a") as file:
            file.write(torn)
    last = FakeSampler("cuda")
    assert rows(run(last, tmp_path, shard_size=20)).height == 20
    assert last.added == [r.id for r in REQUESTS if r.id not in given]


def test_a_disk_that_is_full_of_journals_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is full of shards is."""
    opened = Path.open
    full = Path("/dev/full")
    monkeypatch.setattr(Path, "open", lambda p, *a, **k: opened(full if p.suffix == ".jsonl" else p, *a, **k))
    with pytest.raises(UserError, match="no space left on disk"):
        run(FakeSampler("cuda"), tmp_path)


def test_what_was_noted_otherwise_is_never_taken_over(tmp_path: Path) -> None:
    """A journal is its shard's, and so of the same policy, settings, seed and requests."""
    with pytest.raises(Killed):
        run(FakeSampler("cuda", die_at=8), tmp_path)
    assert list(tmp_path.glob("*.jsonl"))
    assert run(FakeSampler("cuda"), tmp_path, seed=8).reused == 0
    assert run(FakeSampler("cuda", policy="M1"), tmp_path).reused == 0
    assert run(FakeSampler("cuda"), tmp_path).reused > 0


@pytest.mark.parametrize(
    ("sampler", "changed"),
    [
        (FakeSampler(policy="M1"), {}),
        (FakeSampler(), {"signature": {"template": "another"}}),
        (FakeSampler(), {"settings": SamplingSettings(temperature=0.9, top_p=0.95, max_tokens=6)}),
        (FakeSampler(), {"settings": SamplingSettings(temperature=0.8, top_p=0.9, max_tokens=6)}),
        (FakeSampler(), {"settings": SamplingSettings(temperature=0.8, top_p=0.95, max_tokens=7)}),
        (FakeSampler(), {"seed": 8}),
        (FakeSampler(), {"requests": [Request(r.id, [*r.prompt_ids, 1], r.n) for r in REQUESTS]}),
        (FakeSampler(), {"requests": [Request(f"p{r.id}", r.prompt_ids, r.n) for r in REQUESTS]}),
        (FakeSampler(), {"requests": [Request(r.id, r.prompt_ids, 3) for r in REQUESTS]}),
        (FakeSampler(), {"requests": REQUESTS[::-1]}),
    ],
    ids=["policy", "template", "temperature", "top_p", "max_tokens", "seed", "prompts", "ids", "n", "order"],
)
def test_a_shard_made_otherwise_is_never_taken_over(
    tmp_path: Path, sampler: FakeSampler, changed: dict[str, Any]
) -> None:
    """A changed policy, template, sampling setting, seed or request is sampled again."""
    run(FakeSampler(), tmp_path)
    assert run(sampler, tmp_path, **changed).reused == 0


def test_only_the_shards_before_a_changed_request_are_taken_over(tmp_path: Path) -> None:
    """Requests 0-5 fill two shards; with request 6 changed, and larger, these two serve again, the others do not."""
    run(FakeSampler(), tmp_path)
    changed = [*REQUESTS[:6], Request("q6", [99], 3), *REQUESTS[7:]]
    assert run(FakeSampler(), tmp_path, changed).reused == 6


def test_what_a_killed_writer_left_is_swept_at_the_start(tmp_path: Path) -> None:
    """A half-written file of a process that is gone disappears."""
    gone = replace(Worker.of(os.getpid()), ticks=1)
    temporary_beside(tmp_path / "00000-0123456789abcdef.parquet", gone).write_bytes(b"half")
    assert sorted(tmp_path.iterdir()) != (paths := run(FakeSampler(), tmp_path).paths)
    assert sorted(tmp_path.iterdir()) == paths


def test_a_request_that_does_not_fit_is_reported_and_not_sampled(tmp_path: Path) -> None:
    """Row 15: 26 prompt tokens and 6 to come fill a context of 32 exactly; 27 do not fit."""
    requests = [Request("fits", [1] * 26), Request("too long", [1] * 27), Request("short", [1])]
    sampled = run(FakeSampler(max_model_len=32), tmp_path, requests)
    assert sampled.too_long == [("too long", 27, 6, 32)]
    assert rows(sampled)["request_id"].to_list() == ["fits", "short"]
    assert sampled.requests == 2


def test_a_full_disk_is_told_and_finished_shards_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second shard does not fit on the disk: no half of it is left, and the next run goes on from the first."""
    write, calls = pl.DataFrame.write_parquet, []

    def full(frame: pl.DataFrame, path: Path) -> None:
        calls.append(path)
        write(frame, path)
        if len(calls) == 2:
            os.truncate(path, 10)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    sampler = FakeSampler()
    with pytest.raises(UserError, match="no space left on disk"):
        run(sampler, tmp_path)
    assert sampler.closed
    assert [p.name[:6] for p in tmp_path.iterdir()] == ["00000-"]
    assert run(FakeSampler(), tmp_path).reused == 3


def test_a_sampler_that_was_interrupted_is_closed(tmp_path: Path) -> None:
    """What was in flight would otherwise come out of the next stage's engine."""
    sampler = FakeSampler(die_at=2)
    with pytest.raises(Killed):
        run(sampler, tmp_path)
    assert sampler.closed
    whole = FakeSampler()
    run(whole, tmp_path)
    assert not whole.closed


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_memory_is_bounded(tmp_path: Path, device: str) -> None:
    """No more than two batches (8) are in flight, and beside them at most three shards are open."""
    sampler = FakeSampler(device, max_num_seqs=4)
    ahead = []

    def requests() -> Iterator[Request]:
        for i in range(200):
            ahead.append(i - len(list(tmp_path.glob("*.parquet"))) * 5)
            yield Request(f"q{i}", [i])

    run(sampler, tmp_path, requests(), shard_size=5)
    assert max(sampler.in_flight_at_step) <= 8
    assert max(ahead) <= 8 + 3 * 5


def test_cuda_is_kept_busy_over_the_borders_of_shards(tmp_path: Path) -> None:
    """Until the requests run out, every step has two batches to choose from, and random numbers start once."""
    sampler = FakeSampler("cuda", max_num_seqs=4)
    run(sampler, tmp_path, [Request(f"q{i}", [i]) for i in range(100)], shard_size=5)
    last = sampler.in_flight_at_step.index(7)  # the first step with fewer than two batches
    assert set(sampler.in_flight_at_step[:last]) == {8}
    assert sampler.in_flight_at_step[last:] == sorted(sampler.in_flight_at_step[last:], reverse=True)
    assert sampler.in_flight_at_reseed == [0]


def test_on_the_cpu_every_shard_starts_afresh(tmp_path: Path) -> None:
    """One reseed per shard, with nothing in flight."""
    sampler = FakeSampler()
    run(sampler, tmp_path)
    assert sampler.in_flight_at_reseed == [0, 0, 0, 0]


GROUPED = [Request(f"q{i}", [i], group=group) for i, group in enumerate("aaabbcccccd")]


def in_shards(sampler: FakeSampler, folder: Path, requests: list[Request]) -> list[list[str]]:
    return [
        pl.read_parquet(path)["request_id"].to_list() for path in run(sampler, folder, requests, shard_size=4).paths
    ]


def test_on_cuda_a_shard_ends_where_a_group_does(tmp_path: Path) -> None:
    """Of 4 at most: aaa, as bb would make 5; bb; ccccc, which is larger by itself; d."""
    wanted = [["q0", "q1", "q2"], ["q3", "q4"], ["q5", "q6", "q7", "q8", "q9"], ["q10"]]
    assert in_shards(FakeSampler("cuda"), tmp_path, GROUPED) == wanted
    assert run(FakeSampler("cuda"), tmp_path, GROUPED, shard_size=4).reused == 11


def test_on_the_cpu_groups_change_nothing(tmp_path: Path) -> None:
    """The shards, and so all that is sampled, are those of the requests without a group."""
    alone = [replace(request, group="") for request in GROUPED]
    assert in_shards(FakeSampler(), tmp_path, GROUPED) == [
        ["q0", "q1", "q2", "q3"],
        ["q4", "q5", "q6", "q7"],
        ["q8", "q9", "q10"],
    ]
    assert run(FakeSampler(), tmp_path, alone, shard_size=4).reused == 11


def test_two_requests_with_one_id_are_refused(tmp_path: Path) -> None:
    """Their completions could not be told apart."""
    with pytest.raises(ValueError, match="q1"):
        run(FakeSampler(), tmp_path, [Request("q1", [1]), Request("q1", [2])])


def test_several_samples_at_temperature_zero_are_refused(tmp_path: Path) -> None:
    """They would be equal; vLLM refuses them too, but only in the middle of the stage."""
    with pytest.raises(UserError, match="temperature 0"):
        run(FakeSampler(), tmp_path, settings=SamplingSettings(temperature=0.0, top_p=1.0, max_tokens=6))


def test_a_stage_without_requests_is_an_empty_table(tmp_path: Path) -> None:
    sampled = run(FakeSampler(), tmp_path, [])
    assert sampled.paths == []
    assert_frame_equal(rows(sampled), pl.DataFrame(schema=SHARD_SCHEMA))


def test_progress_counts_what_was_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """done never falls, ends at the number of requests, and contains the 3 of each shard taken over."""
    monkeypatch.setattr(shards, "SECONDS_BETWEEN_REPORTS", 0.0)
    run(FakeSampler(), tmp_path, REQUESTS[:6])
    seen: list[Progress] = []
    run(FakeSampler(), tmp_path, total=10, on_progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[0].done, seen[0].share, seen[0].seconds_left) == (3, None, None)
    assert (seen[-1].done, seen[-1].total, seen[-1].reused, seen[-1].seconds_left) == (10, 10, 6, 0.0)
    assert seen[-1].tokens_per_second > 0


def test_progress_counts_tokens_of_what_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of two completions each, all at once: tokens come at every step, and the share grows with them.

    No request is done after the first step, when each of 20 completions has one token; the end has all that are there.
    """
    monkeypatch.setattr(shards, "SECONDS_BETWEEN_REPORTS", 0.0)
    seen: list[Progress] = []
    sampled = run(FakeSampler(max_num_seqs=20), tmp_path, total=10, n=2, shard_size=20, on_progress=seen.append)
    assert (seen[0].done, seen[0].tokens) == (0, 20)
    assert [p.tokens for p in seen] == sorted(p.tokens for p in seen)
    assert seen[-1].tokens == sampled.tokens
    first, last = seen[0].share, seen[-1].share
    assert first is not None and 0 < first < 1
    assert last == 1


def test_progress_comes_every_few_seconds_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of one second per look, reports are three seconds apart; the last one always comes."""
    clock = iter(range(10_000))
    monkeypatch.setattr("mr_assets.sampling.shards.time.monotonic", lambda: float(next(clock)))
    sampler = FakeSampler()
    seen: list[Progress] = []
    run(sampler, tmp_path, on_progress=seen.append)
    assert len(seen) == len(sampler.in_flight_at_step) // 3 + 1
    assert seen[-1].done == 10


@given(
    counts=st.lists(st.integers(1, 4), max_size=12),
    size=st.integers(1, 9),
    seqs=st.integers(1, 6),
    device=st.sampled_from(["cpu", "cuda"]),
)
def test_every_sample_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], size: int, seqs: int, device: str
) -> None:
    """Whatever the sizes: a row per sample in order; no shard is larger than asked, or could take one request more."""
    requests = [Request(f"q{i}", [i], n) for i, n in enumerate(counts)]
    sampled = run(FakeSampler(device, seqs), tmp_path_factory.mktemp("any"), requests, shard_size=size)
    wanted = [(f"q{i}", k) for i, n in enumerate(counts) for k in range(n)]
    assert rows(sampled).select("request_id", "sample").rows() == wanted
    written = [pl.read_parquet(path)["request_id"].to_list() for path in sampled.paths]
    assert all(len(ids) <= size or len(set(ids)) == 1 for ids in written)
    firsts = [ids.count(ids[0]) for ids in written]
    assert all(len(ids) + after > size for ids, after in zip(written, firsts[1:], strict=False))


@pytest.mark.parametrize(
    ("requests", "n", "size"),
    [(0, 7, 60), (120, 7, 60), (840, 11, 184), (600, 2, 60), (1_200, 1, 30), (3_500, 1, 70), (35_000, 11, 400)],
)
def test_a_shard_is_a_share_of_its_asset(requests: int, n: int, size: int) -> None:
    """2% of its asset, rounded down, but at least 60 completions or 30 requests, and at most what the recipe says."""
    assert size_of_shard(requests, n, 400) == size
    assert size_of_shard(requests, n, 8) == 8


@pytest.mark.parametrize("name", list_recipes())
def test_a_shard_is_at_most_2_percent_of_an_iteration(name: str) -> None:
    """Of its requests and of its completions; of an evaluation, those of the loop and of the evaluation together.

    With two battles per response, and none where no judge is trained; without duplicates among the responses. This is
    what a kill costs on a CPU.
    """
    recipe = load_recipe(name)
    k, n, most = recipe.responses.k, recipe.judgments.n, recipe.engine.shard_size
    sizes, evaluated = recipe.evaluation, []
    if sizes:
        evaluated = [(sizes.prompts, sizes.samples), (sizes.judged_responses, sizes.samples), (sizes.battles * 2, 1)]
    for row in recipe.iterations:
        loop = [(row.prompts, k), (row.prompts * k, n)]
        if row.judge_training:
            loop.append((row.prompts * k * 2, 1))
        for stages, among in ((loop, loop), (evaluated, loop + evaluated)):
            for requests, each in stages:
                size = size_of_shard(requests, each, most)
                assert size // each <= 0.02 * sum(requests for requests, _ in among)
                assert size <= 0.02 * sum(requests * each for requests, each in among)


def test_importing_sampling_loads_no_heavy_library() -> None:
    """torch and vLLM take seconds to load; sampling does not know dagster."""
    code = "import sys, mr_assets.sampling.shards; print(sorted({'torch', 'vllm', 'dagster'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_stage_tells_what_its_engine_did_meanwhile(tmp_path: Path, device: str) -> None:
    """Ten prompts of 2 tokens, two samples each: 40 prompt tokens, the second sample's from the cache; not before."""
    sampler = FakeSampler(device)
    seen: list[Progress] = []
    for folder in ("first", "second"):
        sampled = run(sampler, tmp_path / folder, on_progress=seen.append)
        assert sampled.stats == EngineStats(0, 0, prompt_tokens=40, cached_tokens=20)
        assert sampled.tokens_per_second > 0
    assert seen[-1].stats == EngineStats(0, 0, 40, 20)
