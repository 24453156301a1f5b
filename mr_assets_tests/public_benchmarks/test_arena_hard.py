"""Arena-Hard of a run's models, by a judge on the loopback interface."""

import re
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.arena_hard import Answers, Question, read_answers, read_judgments, score
from mr_assets.evaluation.client import Client, ask
from mr_assets.evaluation.results import read_results
from mr_assets.public_benchmarks.arena_hard import check, finish, planned, prepare
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.chat_server import Answer, Serve, said

SAMPLING = SamplingSettings(temperature=0.0, top_p=1.0, max_tokens=48)
QUESTIONS = [
    Question("u1", "hard_prompt", "Write b a in upper case."),
    Question("u2", "hard_prompt", "What is 2?"),
    Question("u3", "creative_writing", "Write w s v k in upper case."),
]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)


def longer_wins(number: int, body: dict[str, Any]) -> Answer:
    """A judge to whom the longer answer is significantly better, and answers of one length are a tie."""
    a, b = re.findall(r"Start of Assistant .'s Answer\|>\n(.*?)\n<\|The End", body["messages"][1]["content"], re.DOTALL)
    return said("My verdict: " + ("[[A=B]]" if len(a) == len(b) else "[[A>>B]]" if len(a) > len(b) else "[[B>>A]]"))


def test_models_are_compared_with_the_seed_model(run: Run, engine: list[str], serve: Serve, tmp_path: Path) -> None:
    """The engine, a fake, answers at random; the files say what was won."""
    server = serve(longer_wins)
    client = Client(server.url, "org/judge")
    prepared = prepare(run, ["0", "1"], QUESTIONS, [], SAMPLING, lambda line: None)
    assert len(engine) == 9
    results = finish(run, prepared, client, ask(client, prepared.requests, tmp_path / "kept"), {"made": "now"})
    assert [each.benchmark for each in results] == ["arena-hard-v2.0_hard_prompt", "arena-hard-v2.0_creative_writing"]
    assert read_results(run.folder) == sorted(results, key=lambda each: each.benchmark)
    hard, creative = results
    assert [row["model"] for row in hard.rows] == ["M0", "M1"]
    assert (hard.judge, hard.about["baseline"], hard.about["questions"]) == ("org/judge", "seed", 2)
    assert (creative.about["questions"], hard.about["made"]) == (1, "now")
    folder = run.folder / "benchmarks" / "arena-hard-v2.0"
    answers = [read_answers(folder / "model_answer" / f"tiny_{name}.jsonl") for name in ("seed", "M1")]
    (judged,) = (folder / "model_judgment").glob("*/tiny_M1.jsonl")
    again, _ = score(read_judgments(judged), answers)
    assert again.numbers["score"] == hard.rows[1]["score"]
    seed, mine = (each.texts["u2"] for each in answers)
    second = read_judgments(judged).row(1, named=True)["second"]
    assert second == ("A=B" if len(seed) == len(mine) else "A>>B" if len(mine) > len(seed) else "B>>A")


def test_models_are_compared_with_the_answers_of_a_file(
    run: Run, engine: list[str], serve: Serve, tmp_path: Path
) -> None:
    """The official baseline of hard prompts always loses by length, that of the rest always wins."""
    server = serve(longer_wins)
    client = Client(server.url, "judge")
    short, long = Answers("o3-mini-2025-01-31", dict.fromkeys(["u1", "u2"], "")), Answers("mine", {"u3": "x" * 500})
    prepared = prepare(run, ["seed"], QUESTIONS, [long, short], SAMPLING, lambda line: None)
    hard, creative = finish(run, prepared, client, ask(client, prepared.requests, tmp_path / "kept"), {})
    assert [(row["model"], row["score"], row["questions"]) for row in hard.rows] == [("seed", 100, 2)]
    assert [(row["model"], row["score"]) for row in creative.rows] == [("seed", 0)]
    assert (hard.about["baseline"], creative.about["baseline"]) == ("o3-mini-2025-01-31", "mine")
    check(["seed"], QUESTIONS, [long, short])
    with pytest.raises(UserError, match="mine: has no answer to the question u1"):
        check(["seed"], QUESTIONS, [long])


def test_the_seed_model_alone_has_nothing_to_be_compared_with() -> None:
    check(["seed", "0"], QUESTIONS, [])
    with pytest.raises(UserError, match="Make M0 first"):
        check(["seed"], QUESTIONS, [])


def test_a_plan_is_an_upper_bound(run: Run, engine: list[str]) -> None:
    """Of nothing sampled: as many requests, none shorter."""
    plan = planned(["0", "1"], QUESTIONS, [], SAMPLING)
    assert not engine
    made = prepare(run, ["0", "1"], QUESTIONS, [], SAMPLING, lambda line: None).requests
    assert len(plan) == len(made) == 12
    assert all(len(a.messages[1]["content"]) >= len(b.messages[1]["content"]) for a, b in zip(plan, made, strict=True))
