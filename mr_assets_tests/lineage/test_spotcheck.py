"""The spot check: blind pairs in a drawn order, answers that outlive a kill, and the agreement they add up to."""

import json

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.lineage.spotcheck import Answer, Key, agreement, answers, append, file_of, needed, to_ask
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import rematerialized, table
from mr_assets_tests.lineage.conftest import run as run

AT = "2026-11-29T00:00:00+00:00"


def answered(run: Run, count: int, key: Key | None = None, prefer: str = "chosen") -> list[Answer]:
    """Answer the next `count` pairs: with `key`, or with the side that is `prefer`."""
    said = []
    for pair in list(to_ask(run))[:count]:
        side: Key = "a" if pair.a == prefer else "b"
        said.append(Answer(pair.pair_id, pair.version, pair.a, key or side, AT))
        append(run, said[-1])
    return said


def test_sides_are_the_texts_of_the_pair(run: Run) -> None:
    """A is the side that the answer's line will name, B the other."""
    shown = list(to_ask(run))
    dataset = {
        row["pair_id"]: row for t in run.iterations for row in table(run, "dpo_dataset", t).iter_rows(named=True)
    }
    assert shown
    for pair in shown:
        other = "rejected" if pair.a == "chosen" else "chosen"
        assert pair.first == dataset[pair.pair_id][pair.a][0]["content"]
        assert pair.second == dataset[pair.pair_id][other][0]["content"]
        assert pair.prompt == dataset[pair.pair_id]["prompt"][0]["content"]
    assert {pair.a for pair in shown} == {"chosen", "rejected"}


def test_of_a_judge_pair_the_response_judged_is_shown(run: Run) -> None:
    [pair, *_] = to_ask(run, "judge")
    row = table(run, "elo_pairs").row(by_predicate=pl.col("pair_id") == pair.pair_id, named=True)
    judged = pl.col("response_id") == row["response_id"]
    text = table(run, "responses").row(by_predicate=judged, named=True)["response"]
    assert pair.prompt.endswith(f"The response judged:\n\n{text}")


def test_the_order_is_drawn_once(run: Run) -> None:
    order = [pair.pair_id for pair in to_ask(run)]
    assert order == [pair.pair_id for pair in to_ask(run)]
    assert order != sorted(order)
    assert sorted(order) == sorted(pair.pair_id for pair in to_ask(run, seed=1))
    assert {pair.iteration for pair in to_ask(run, iterations=["2"])} == {"2"}


def test_what_has_an_answer_is_not_asked_again(run: Run) -> None:
    before = [pair.pair_id for pair in to_ask(run)]
    answered(run, 2, "skip")
    assert [pair.pair_id for pair in to_ask(run)] == before[2:]


def test_agreement_counts_decided_answers(run: Run) -> None:
    """Iteration by iteration: those that prefer the chosen side, the others, ties and skips."""
    said = answered(run, 2) + answered(run, 1, prefer="rejected") + answered(run, 1, "tie")
    found = {each.iteration: each for each in agreement(run)}
    for t in run.iterations:
        mine = [one.agrees for one in said if one.pair_id.startswith(f"{t}.")]
        if mine:
            assert (found[t].agree, found[t].disagree) == (mine.count(True), mine.count(False))
            assert found[t].ties == mine.count(None)
    assert agreement(run, "judge") == []


def test_an_answer_to_a_pair_that_was_made_again_does_not_count(run: Run) -> None:
    said = answered(run, 1)
    t = said[0].pair_id.partition(".")[0]
    rematerialized(run, "actor_pairs", t)
    assert agreement(run) == []
    assert said[0].pair_id in [pair.pair_id for pair in to_ask(run)]


def test_a_line_that_a_kill_cut_short_is_no_answer(run: Run) -> None:
    said = answered(run, 1)
    whole = file_of(run).read_text()
    file_of(run).write_text(whole + whole[:20])
    assert answers(run) == said
    more = answered(run, 1)
    assert answers(run) == said + more
    assert [json.loads(line)["pair_id"] for line in file_of(run).read_text().splitlines()] == [
        one.pair_id for one in said + more
    ]


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"pair_id": "x"}', '{"pair_id":"x","version":"v","a":"c","answer":"a","at":""}']
)
def test_a_line_that_is_none_is_told(run: Run, line: str) -> None:
    file_of(run).write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 is no answer"):
        answers(run)


def test_how_many_more_would_settle_it() -> None:
    """Of n answers, 60% prefer the chosen side: Wilson's interval leaves 1/2 above 1.96^2 / (4 * 0.01) = 96.04."""
    assert needed(0.6, 10) == 87
    assert needed(0.6, 97) == 0
    assert needed(0.4, 10) == 87
    assert needed(1.0, 3) == 1
    assert needed(0.5, 10) is None


def test_a_run_without_pairs_says_so(run: Run) -> None:
    for t in run.iterations:
        run.record_path("actor_pairs", t).unlink()
    with pytest.raises(UserError, match="has no actor pairs yet"):
        next(to_ask(run))
