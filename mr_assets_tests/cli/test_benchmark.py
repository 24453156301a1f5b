"""`mr benchmark`: what is said before money is spent, what is refused, and what stands in the end."""

import json
import shutil
from pathlib import Path

import pytest

from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets.worlds import letters
from mr_assets_tests.chat_server import Serve, Server
from mr_assets_tests.cli.conftest import Mr, Refused
from mr_assets_tests.public_benchmarks.conftest import engine as engine
from mr_assets_tests.public_benchmarks.conftest import longer_wins
from mr_assets_tests.public_benchmarks.conftest import vllm_server as vllm_server
from mr_assets_tests.tiny import tiny_run


@pytest.fixture
def run(finished: Run, data: Path) -> Run:
    shutil.copytree(finished.data, data, dirs_exist_ok=True)
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
    assert said.exit_code == 1 and "Give --budget USD, or --yes" in said.output
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
