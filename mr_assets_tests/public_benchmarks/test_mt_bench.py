"""MT-Bench of a run's models, in two turns, by a judge on the loopback interface."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Client, ask
from mr_assets.evaluation.json_lines import write_lines
from mr_assets.evaluation.mt_bench import Question, read_answers, read_ratings
from mr_assets.evaluation.results import read_results
from mr_assets.public_benchmarks.local import Local
from mr_assets.public_benchmarks.mt_bench import check, finish, planned, prepare
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.chat_server import Answer, Serve, said
from mr_assets_tests.real_run import mr
from mr_assets_tests.tiny import tiny_run

QUESTIONS = [
    Question(81, "writing", ("Write b a in upper case.", "Write a b in upper case.")),
    Question(111, "math", ("What is 2?", "x " * 600)),
]
REFERENCES = {111: ("two", "four")}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.method.bootstrap.RESAMPLES", 20)


def turns_are_rated(number: int, body: dict[str, Any]) -> Answer:
    """A judge who gives 8 for the first turn and 4 for the second, and none where there is a reference."""
    asked = "".join(message["content"] for message in body["messages"])
    return said("None." if "Reference Answer" in asked else "[[4]]" if "second user question" in asked else "[[8]]")


def test_models_are_rated_turn_by_turn(run: Run, engine: list[str], serve: Serve, tmp_path: Path) -> None:
    server = serve(turns_are_rated)
    client = Client(server.url, "org/judge")
    prepared = prepare(run, ["seed", "1"], QUESTIONS, REFERENCES, 48, lambda line: None)
    results = finish(run, prepared, client, ask(client, prepared.requests, tmp_path / "kept"), {"made": "now"})
    assert read_results(run.folder) == [results]
    assert [row["model"] for row in results.rows] == ["seed", "M1"]
    for row in results.rows:
        assert (row["score"], row["turn_1"], row["turn_2"], row["writing"]) == (6, 8, 4, 6)
        assert (row["ratings"], row["without_rating"], row["unreadable"]) == (2, 2, 2)
        assert "math" not in row
    folder = run.folder / "benchmarks" / "mt_bench"
    answers = read_answers(folder / "model_answer" / "tiny_M1.jsonl")
    assert answers.turns[111][1] == ""  # too long for the engine
    assert answers.turns[81][0] != ""
    (judged,) = (folder / "model_judgment").glob("*_single.jsonl")
    assert read_ratings(judged, QUESTIONS)["score"].to_list() == [8, 4, None, None] * 2


def test_the_second_turn_shows_the_models_own_first_answer(
    run: Run, engine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled once: the same again asks the engine nothing."""
    asked: list[Any] = []
    answers = Local.answers

    def noted(self: Local, prompts: Any, settings: Any, **more: Any) -> list[list[str]]:
        asked.append((settings.temperature, prompts))
        return answers(self, prompts, settings, **more)

    monkeypatch.setattr(Local, "answers", noted)
    first = prepare(run, ["1"], QUESTIONS[:1], {}, 48, lambda line: None).answers[0]
    (cold, ((prompt,))), (warm, ((talk,))) = asked
    assert (cold, warm, prompt) == (0.7, 0.7, "Write b a in upper case.")
    assert [turn["content"] for turn in talk] == [prompt, first.turns[81][0], "Write a b in upper case."]
    sampled = len(engine)
    assert prepare(run, ["1"], QUESTIONS[:1], {}, 48, lambda line: None).answers[0] == first
    assert len(engine) == sampled == 2


def test_a_missing_reference_is_found_beforehand() -> None:
    check(QUESTIONS, REFERENCES)
    with pytest.raises(UserError, match=r"question 111 \(math\): the judge needs a reference answer"):
        check(QUESTIONS, {})


def test_a_plan_is_an_upper_bound(run: Run, engine: list[str]) -> None:
    """Of nothing sampled: as many requests, none shorter."""
    plan = planned(["0", "1"], QUESTIONS, REFERENCES, 48)
    assert not engine
    made = prepare(run, ["0", "1"], QUESTIONS, REFERENCES, 48, lambda line: None).requests
    assert len(plan) == len(made) == 8
    assert all(len(a.messages[1]["content"]) >= len(b.messages[1]["content"]) for a, b in zip(plan, made, strict=True))


@pytest.mark.slow
def test_the_real_engine_answers_in_two_turns(serve: Serve, tmp_path: Path) -> None:
    """The small world's seed model, by the command that a person types; given again it samples nothing."""
    run = tiny_run(tmp_path / "data")
    save(run)
    questions, server = tmp_path / "question.jsonl", serve(turns_are_rated)
    asked = [(81, "writing", ["Write b a in upper case.", "Write c d in upper case."])]
    asked += [(101, "extraction", ["Write x y in upper case.", "Write u v in upper case."])]
    write_lines(questions, [{"question_id": id, "category": kind, "turns": turns} for id, kind, turns in asked])
    judge = ("--endpoint", server.url, "--judge", "strict", "--yes")
    command = ("benchmark", "mt_bench", "tiny", "--models", "seed", "--questions", str(questions), *judge)
    assert mr(run.data, *command).count("as soon as the engine is ready") == 4  # two temperatures, two turns
    [row] = read_results(run.folder)[0].rows
    assert (row["turn_1"], row["turn_2"], row["ratings"]) == (8, 4, 4)
    answers = read_answers(run.folder / "benchmarks" / "mt_bench" / "model_answer" / "tiny_seed.jsonl")
    assert answers.turns[101][0]
    assert mr(run.data, *command).count("as soon as the engine is ready") == 0
    assert len(server.asked) == 4
