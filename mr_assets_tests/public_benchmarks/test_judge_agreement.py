"""Agreement of a run's judges with a strong judge on the loopback interface who likes length."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Client, ask
from mr_assets.evaluation.results import read_results
from mr_assets.method.strong_judge import Pair
from mr_assets.public_benchmarks.judge_agreement import Prepared, finish, held_out, planned, prepare
from mr_assets.runs.run import Run
from mr_assets.worlds import letters
from mr_assets_tests.chat_server import Answer, Serve, Server, said
from mr_assets_tests.public_benchmarks.conftest import longer_wins

ASKED = Prepared(
    prompts=["p", "q", "r"],
    responses=[["long", "s"], ["s", "long"], ["even", "odds"]],
    means={"M1": [[4.0, 2.0], [3.0, 3.0], [1.0, 2.0]]},
    strong=[Pair(0, 0, 1), Pair(1, 0, 1), Pair(2, 0, 1)],
    own={"M1": [Pair(0, 0, 1), 1, Pair(2, 1, 0)]},
    fingerprints={"M1": "f00d"},
)
"""The strong judge prefers "long" twice; of "even" and "odds" it prefers what is shown first."""


def judged(run: Run, server: Server, kept: Path) -> dict[str, Any]:
    client = Client(server.url, "strong", concurrency=1)
    results = finish(run, ASKED, client, ask(client, ASKED.requests, kept), {"made": "now"})
    assert read_results(run.folder) == [results]
    (row,) = results.rows
    return {**results.about, **row}


def check(found: dict[str, Any], run: Run) -> None:
    """Kept are two pairs of three: M1 agrees on one and scores the other alike. Of its own one agrees, two are ties."""
    assert (found["pairs_asked"], found["pairs_dropped"]) == (3, 1)
    assert (found["strong_chosen_pairs"], found["strong_chosen_ties"]) == (2, 1)
    assert (found["strong_chosen_agreement"], found["strong_chosen_agreement_without_ties"]) == (75, 100)
    assert (found["self_chosen_pairs"], found["self_chosen_ties"]) == (3, 2)
    assert found["self_chosen_agreement"] == pytest.approx(200 / 3)
    folder = run.folder / "benchmarks" / "judge_agreement" / "strong"
    pairs = [json.loads(line) for line in (folder / "strong_chosen_pairs.jsonl").read_text().splitlines()]
    assert pairs == [{"prompt": p, "chosen": "long", "rejected": "s"} for p in "pq"]


def test_pairs_are_kept_where_both_orders_agree(run: Run, serve: Serve, tmp_path: Path) -> None:
    """The question about one pair in one order is asked once: six of the eight requests differ."""
    server = serve(longer_wins)
    assert len(ASKED.requests) == 8
    check(judged(run, server, tmp_path / "kept"), run)
    assert len(server.asked) == 6


def test_a_server_without_log_probabilities_gives_a_name(run: Run, serve: Serve, tmp_path: Path) -> None:
    def named(number: int, body: dict[str, Any]) -> Answer:
        return said(longer_wins(number, body)[1]["choices"][0]["message"]["content"] + "\n")

    check(judged(run, serve(named), tmp_path / "kept"), run)


def test_a_judge_that_names_neither_drops_the_pair(run: Run, serve: Serve, tmp_path: Path) -> None:
    found = judged(run, serve(lambda number, body: said("Both.")), tmp_path / "kept")
    assert found["pairs_dropped"] == 3 and found["strong_chosen_agreement"] is None
    assert found["answers_without"] == {"refused": 0, "cut_off": 0, "unreadable": 8}
    assert found["self_chosen_agreement"] == 50


def test_the_models_judge_the_seed_models_responses(run: Run, engine: list[str]) -> None:
    """Four responses to each of two prompts, all by the seed model, scored three times by each; made once."""
    prompts = letters.make_prompts(2, "agreement")
    asked = prepare(run, ["seed", "1"], prompts, 4, lambda line: None)
    assert asked.prompts == prompts and [len(each) for each in asked.responses] == [4, 4]
    assert [[len(each) for each in means] for means in asked.means.values()] == [[4, 4], [4, 4]]
    assert list(asked.means) == ["seed", "M1"] and len(engine) == 2 + 8 + 8
    again = prepare(run, ["seed", "1"], prompts, 4, lambda line: None)
    assert again == asked and len(engine) == 18
    assert len(planned(run, ["seed", "1"], prompts)) == 12 >= len(asked.requests)


def test_prompts_come_of_a_file_or_are_held_out(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "Hi"}\n{"prompt": "Ho"}\n')
    assert held_out(run, str(file)) == ["Hi", "Ho"]
    if run.recipe.held_out is None:
        with pytest.raises(UserError, match="--prompts"):
            held_out(run, None)
    else:
        assert held_out(run, None)
