"""AlpacaEval 2 of a run's models, by a judge on the loopback interface."""

import json
from pathlib import Path

import pytest

from mr_assets.evaluation.alpaca_judge import Output
from mr_assets.evaluation.client import Client, ask
from mr_assets.evaluation.results import read_results
from mr_assets.public_benchmarks.alpaca_eval import finish, planned, prepare
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.chat_server import Serve
from mr_assets_tests.public_benchmarks.conftest import longer_wins

SAMPLING = SamplingSettings(temperature=0.7, top_p=1.0, max_tokens=48)
REFERENCE = [
    Output("What is 2?", "x" * 200, "gpt4", "mine"),
    Output("Write b a in upper case.", "", "gpt4", "mine"),
    Output("Who wrote Hamlet?", "", "gpt4", None),
]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 20)


def test_a_run_is_judged(run: Run, engine: list[str], serve: Serve, tmp_path: Path) -> None:
    """The reference is longer once of three times: 0.1 and twice 0.9 is 63 percent, whatever the order shown."""
    server = serve(longer_wins)
    client = Client(server.url, "org/judge", parameters={"top_logprobs": 20})
    prepared = prepare(run, ["seed", "1"], REFERENCE, SAMPLING, lambda line: None)
    results = finish(run, prepared, client, ask(client, prepared.requests, tmp_path / "kept"), {"made": "now"})
    assert [row["model"] for row in results.rows] == ["seed", "M1"]
    for row in results.rows:
        assert row["win_rate"] == pytest.approx(100 * 1.9 / 3, abs=0.1)
        assert row["win_rate_low"] <= row["win_rate"] <= row["win_rate_high"]
        assert (row["annotations"], row["without_preference"]) == (3, 0)
    assert read_results(run.folder) == [results]
    assert results.judge == "org/judge" and not results.about["official_instructions"]
    assert results.about["baseline"] == "gpt4" and results.about["judge_parameters"]["top_logprobs"] == 20
    folder = run.folder / "benchmarks" / "alpaca_eval" / "results" / "M1"
    outputs = json.loads((folder / "model_outputs.json").read_text())
    assert [row["instruction"] for row in outputs] == [each.instruction for each in REFERENCE]
    assert {row["generator"] for row in outputs} == {"tiny_M1"}
    (annotations,) = folder.glob("*/annotations.json")
    assert [row["output_2"] for row in json.loads(annotations.read_text())] == [row["output"] for row in outputs]


def test_a_plan_is_an_upper_bound(run: Run, engine: list[str]) -> None:
    """Of nothing sampled: as many requests, none shorter."""
    plan = planned(["seed", "1"], REFERENCE, SAMPLING)
    assert not engine
    made = prepare(run, ["seed", "1"], REFERENCE, SAMPLING, lambda line: None).requests
    assert [request.id for request in plan] == [request.id for request in made]
    assert all(len(a.messages[1]["content"]) >= len(b.messages[1]["content"]) for a, b in zip(plan, made, strict=True))
