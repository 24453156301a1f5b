"""`mr benchmark`: what is said before money is spent, what is refused, and what stands in the end."""

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from mr_assets.evaluation.json_lines import write_lines
from mr_assets.evaluation.unread import WORDS
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets.worlds import letters
from mr_assets_tests.chat_server import Serve, Server
from mr_assets_tests.chat_server import said as said_by_judge
from mr_assets_tests.cli.conftest import Mr, Refused, as_json
from mr_assets_tests.public_benchmarks.conftest import engine as engine
from mr_assets_tests.public_benchmarks.conftest import longer_wins
from mr_assets_tests.public_benchmarks.conftest import vllm_server as vllm_server
from mr_assets_tests.real_run import started, wait_for
from mr_assets_tests.tiny import copied, tiny_run


@pytest.fixture
def run(finished: Run, data: Path) -> Run:
    copied(finished.data, data)
    run = tiny_run(data)
    save(run)
    return run


@pytest.fixture
def server(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 20)
    monkeypatch.delenv("MR_ENDPOINT", raising=False)
    return serve(longer_wins)


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    rows = [{"instruction": f"What is {n}?", "output": "x", "generator": "gpt4"} for n in range(3)]
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(rows))
    return path


def test_a_table_names_the_judge(mr: Mr, run: Run, engine: list[str], server: Server, instructions: Path) -> None:
    """Within the budget nobody is asked; the same command again asks neither the models nor the judge."""
    command = (
        *("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, "--models", "seed,1"),
        *("--endpoint", server.url, "--judge", "strict", "--price", 1, 1, "--budget", 1),
    )
    said = mr(*command)
    assert said.exit_code == 0, said.output
    assert "alpaca_eval of tiny, judged by strict" in said.stdout and "M1" in said.stdout
    assert "6 requests, 0 of them answered already; 3 to ask" in said.stderr  # both models say the same
    assert "an upper bound) and 3 of answers: at most $0.0" in said.stderr
    assert (len(server.asked), len(engine)) == (3, 6)
    found = json.loads(mr(*command, "--json").stdout)
    assert (len(server.asked), len(engine)) == (3, 6)
    assert (found["judge"], found["endpoint"], found["instructions"]) == ("strict", server.url, 3)
    assert [row["model"] for row in found["rows"]] == ["seed", "M1"] and found["rows"][0]["win_rate"] > 80


def test_a_dry_run_asks_nobody(mr: Mr, run: Run, engine: list[str], server: Server, instructions: Path) -> None:
    said = mr(
        *("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, "--endpoint", server.url),
        *("--judge", "strict", "--price", 1_000_000, 0, "--dry-run", "--first", 2),
    )
    assert said.exit_code == 0 and "8 requests" in said.stderr and "at most $" in said.stderr
    assert not server.asked and not engine and not (run.folder / "benchmarks").exists()


def test_without_an_endpoint_the_judge_is_skipped_by_name(
    mr: Mr, run: Run, engine: list[str], instructions: Path
) -> None:
    """The models answer all the same, for the official tool."""
    said = mr("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, "--models", "1")
    assert said.exit_code == 0 and "alpaca_eval: the judge's part is skipped" in said.stderr
    assert "MR_ENDPOINT" in said.stderr
    folder = run.folder / "benchmarks" / "alpaca_eval" / "results" / "M1"
    assert len(json.loads((folder / "model_outputs.json").read_text())) == 3


def test_nobody_pays_by_mistake(mr: Mr, run: Run, engine: list[str], server: Server, instructions: Path) -> None:
    """Without a terminal somebody must have said yes, or named a budget; beyond it nothing is sent."""
    command = (
        *("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, "--models", "1"),
        *("--endpoint", server.url, "--judge", "strict"),
    )
    said = mr(*command)
    assert said.exit_code == 1 and "Give --yes, or --price IN OUT and --budget USD" in said.output
    said = mr(*command, "--price", 1_000_000, 1_000_000, "--budget", 10)
    assert said.exit_code == 1 and "the budget is $10.00. Nothing was sent" in said.output
    assert not server.asked
    assert mr(*command, "--yes").exit_code == 0 and len(server.asked) == 3


def test_what_cannot_work_is_refused_first(
    refused: Refused, run: Run, server: Server, instructions: Path, tmp_path: Path
) -> None:
    """Nothing is sampled, nothing is written."""
    command = ("benchmark", "alpaca_eval", "tiny", "--instructions", instructions)
    assert "belong together" in refused(*command, "--endpoint", server.url)
    assert "has no model '9'" in refused(*command, "--models", "seed,9")
    server.models = ["other"]
    assert "has no model 'strict'" in refused(*command, "--endpoint", server.url, "--judge", "strict")
    asked = ("--endpoint", "http://127.0.0.1:9/v1", "--judge", "strict")
    assert "does not answer" in refused(*command, *asked)
    assert "expected NAME=JSON" in refused(*command, *asked, "--parameter", "top_logprobs")
    assert "there is no run" in refused("benchmark", "alpaca_eval", "none", "--instructions", instructions)
    assert "cannot be read" in refused("benchmark", "alpaca_eval", "tiny", "--instructions", tmp_path / "none.json")


def test_a_judge_without_a_preference_is_counted(
    mr: Mr, run: Run, engine: list[str], serve: Serve, instructions: Path
) -> None:
    """A judge that names neither output: no win rate, and why; 3 answers of each model, which say the same."""
    server = serve(lambda number, body: said_by_judge("B", logprobs={"B": -0.1}))
    judge = ("--endpoint", server.url, "--judge", "lost", "--models", "seed,1", "--yes")
    command = ("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, *judge)
    shown = mr(*command)
    assert shown.exit_code == 0, shown.output
    assert "M1: answers of the judge without a verdict: 3 ended without one." in shown.stdout
    row = as_json(mr(*command, "--json"))["rows"][1]
    assert "win_rate" not in row
    assert (row["annotations"], row["without_preference"], row["unreadable"], row["refused"]) == (0, 3, 3, 0)


# ------------------------------------------------------------------------------------------- vLLM's own server

VERDICTS = ("--parameter", 'structured_outputs={"choice": ["[[A>B]]", "[[A=B]]", "[[B>>A]]", "[[7]]", "[[3]]"]}')
"""For a judge that knows nothing and can say nothing else."""


def answered(url: str) -> int:
    """How many requests the server has answered, or begun and given up, by its own count."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics") as page:
        lines = page.read().decode().splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total{")))


def answers_kept(data: Path) -> dict[Path, int]:
    """The answers that are there whole, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (data / ".judge_answers").glob("*/[0-9a-f]*.json")}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[object]]:
    """The options that name each benchmark's files."""
    texts = letters.make_prompts(12, "asked")
    categories = {"v0.1": ["arena-hard-v0.1"] * 2, "v2.0": ["hard_prompt", "hard_prompt", "creative_writing"]}
    for version, each in categories.items():
        rows = [{"uid": f"u{n}", "category": c, "prompt": texts[n]} for n, c in enumerate(each)]
        write_lines(tmp_path / f"arena_{version}.jsonl", rows)
    asked = [(81 + n, "math" if n == 0 else "writing", texts[2 * n : 2 * n + 2]) for n in range(6)]
    write_lines(tmp_path / "mt.jsonl", [{"question_id": i, "category": c, "turns": turns} for i, c, turns in asked])
    known = {"question_id": 81, "model_id": "gpt-4", "choices": [{"turns": ["A", "B"]}]}
    write_lines(tmp_path / "gpt-4.jsonl", [known])
    return {
        "arena_v0.1": ["benchmark", "arena_hard", "tiny", "--questions", tmp_path / "arena_v0.1.jsonl"],
        "arena_v2.0": ["benchmark", "arena_hard", "tiny", "--questions", tmp_path / "arena_v2.0.jsonl"],
        "mt": [
            *("benchmark", "mt_bench", "tiny", "--questions", tmp_path / "mt.jsonl"),
            *("--references", tmp_path / "gpt-4.jsonl"),
        ],
    }


@pytest.fixture
def asking(vllm_server: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The options that name the server's judge."""
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)
    return ["--endpoint", vllm_server, "--judge", "small", "--models", "seed,1", "--yes"]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v0.1", "v2.0"])
def test_arena_hard_by_vllms_own_server(
    mr: Mr, run: Run, engine: list[str], files: dict[str, list[object]], asking: list[object], version: str
) -> None:
    """The small model is cut off before a verdict: counted by the reason. Made to give verdicts, it has a score.

    The files say the same as the command; the same command again asks nothing.
    """
    command = [*files[f"arena_{version}"], *asking, "--parameter", "max_tokens=16"]
    found = as_json(mr(*command, "--json"))
    assert sum(each["questions"] for each in found) == {"v0.1": 2, "v2.0": 3}[version]
    for each in found:
        [row] = each["rows"]
        assert (row["model"], row["questions"] + row["without_verdict"]) == ("M1", each["questions"])
        assert row["cut_off"] + row["unreadable"] >= row["without_verdict"] > 0
        assert row["refused"] == 0
    assert "cut off at max_tokens" in mr(*command).stdout
    found = as_json(mr(*command, *VERDICTS, "--json"))
    before = answered(str(asking[1]))
    assert as_json(mr(*command, *VERDICTS, "--json"))[0]["rows"] == found[0]["rows"]
    assert answered(str(asking[1])) == before
    bench = run.folder / "benchmarks" / f"arena-hard-{version}"
    answers = [part for m in ("seed", "M1") for part in ("--answers", bench / "model_answer" / f"tiny_{m}.jsonl")]
    told = as_json(mr("arena-hard", bench / "model_judgment" / "small" / "tiny_M1.jsonl", *answers, "--json"))
    for each, again in zip(found, told, strict=True):
        [row] = each["rows"]
        assert (row["questions"], row["without_verdict"]) == (each["questions"], 0)
        assert all(0 <= row[name] <= 100 for name in ("score", "style_controlled", "equal_style"))
        assert again["numbers"] == {name: row[name] for name in again["numbers"]}


@pytest.mark.slow
def test_mt_bench_by_vllms_own_server(
    mr: Mr, run: Run, engine: list[str], files: dict[str, list[object]], asking: list[object]
) -> None:
    """Six questions in two turns, of which the small model rates what it was made to rate."""
    command = [*files["mt"], *asking, "--parameter", "max_tokens=16"]
    for row in as_json(mr(*command, "--json"))["rows"]:
        assert row["ratings"] + row["without_rating"] == 12
        assert sum(row[reason] for reason in WORDS) == row["without_rating"] > 0
    command += VERDICTS
    found = as_json(mr(*command, "--json"))["rows"]
    assert [row["ratings"] + row["unreadable"] for row in found] == [12, 12]
    before = answered(str(asking[1]))
    assert as_json(mr(*command, "--json"))["rows"] == found
    assert answered(str(asking[1])) == before
    file = run.folder / "benchmarks" / "mt_bench" / "model_judgment" / "small_single.jsonl"
    told = as_json(mr("mt-bench", file, "--questions", files["mt"][4], "--json"))
    for row, again in zip(found, told, strict=True):
        assert again["numbers"] == {name: row[name] for name in again["numbers"]}
        assert again["judgments_without"] == {reason: row[reason] for reason in WORDS}


@pytest.mark.slow
def test_what_vllms_own_server_refuses_is_said(
    refused: Refused, mr: Mr, run: Run, engine: list[str], files: dict[str, list[object]], asking: list[object]
) -> None:
    """An address without /v1 and another model's name, before anything is sampled; the official limit of tokens."""
    command, url = files["arena_v2.0"], str(asking[1])
    bare = url.removesuffix("/v1")
    assert f"Name {bare}/v1" in refused(*command, "--endpoint", bare, "--judge", "small", "--yes")
    assert "has no model 'smal'. It has small" in refused(*command, "--endpoint", url, "--judge", "smal", "--yes")
    assert not engine
    said = mr(*command, *asking)
    assert said.exit_code == 1
    assert "max_tokens=16000" in said.output
    assert "--parameter max_tokens=1024" in " ".join(said.output.split())


@pytest.mark.slow
def test_a_kill_asks_vllms_own_server_nothing_twice(
    mr: Mr, run: Run, engine: list[str], files: dict[str, list[object]], asking: list[object], data: Path
) -> None:
    """Killed with answers there and others missing; the one in flight alone is asked for again."""
    url = str(asking[1])
    assert mr(*files["mt"], "--models", "seed,1").exit_code == 0  # the models have answered: no engine is needed
    command = [*files["mt"], *asking, "--concurrency", 1, "--parameter", "max_tokens=96"]
    before = answered(url)
    with started(data, *map(str, command)) as process:
        wait_for(lambda: len(answers_kept(data)) >= 2, 600, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    there = answers_kept(data)
    said = mr(*command)
    assert said.exit_code == 0, said.output
    [(of, asked)] = re.findall(r"(\d+) of them answered already; (\d+) to ask", said.stderr)
    assert int(of) >= len(there) >= 2 and int(asked) > 0
    after = answers_kept(data)
    assert there.items() <= after.items() and len(after) == len(there) + int(asked)
    wait_for(lambda: answered(url) - before >= len(there) + int(asked), 60)
    assert answered(url) - before <= len(there) + int(asked) + 1


@pytest.mark.slow
def test_a_judge_served_by_vllm(
    mr: Mr, run: Run, engine: list[str], vllm_server: str, instructions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small model as the judge of both benchmarks, by vLLM's own server: it knows nothing, and names m and M alike.

    Of its whole vocabulary's probabilities every preference can be made; the same command again asks nothing.
    """
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 20)
    judge = (
        *("--endpoint", vllm_server, "--judge", "small", "--parameter", "top_logprobs=674"),
        *("--models", "seed,1", "--yes", "--json"),
    )
    said = mr("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, *judge)
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert [(row["annotations"], row["without_preference"]) for row in found["rows"]] == [(3, 0), (3, 0)]
    assert all(0 < row["win_rate"] < 100 for row in found["rows"])
    again = mr("benchmark", "alpaca_eval", "tiny", "--instructions", instructions, *judge)
    assert "6 of them answered already; 0 to ask" in again.stderr
    assert json.loads(again.stdout)["rows"] == found["rows"]

    prompts = instructions.with_name("prompts.txt")
    prompts.write_text("\n".join(letters.make_prompts(3, "served")))
    said = mr("benchmark", "judge_agreement", "tiny", "--prompts", prompts, "--responses", 3, *judge)
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert [row["model"] for row in found["rows"]] == ["seed", "M1"] and found["pairs_asked"] <= 3
    assert all(row["self_chosen_pairs"] == 3 for row in found["rows"])
