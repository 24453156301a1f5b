"""`mr spotcheck`: a key per pair, nothing that tells the chosen side, and the agreement at the end."""

import json
import re
from pathlib import Path

import pytest

from mr_assets.lineage.spotcheck import answers, to_ask
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Mr, Refused, said
from mr_assets_tests.tiny import copied, files, tiny_run


@pytest.fixture
def done(finished: Run, data: Path) -> Run:
    """A copy of the finished run, with texts, in the commands' data folder."""
    copied(finished.data, data)
    save(tiny_run(data))
    return tiny_run(data)


def test_keys_are_answers(mr: Mr, done: Run) -> None:
    """Another key is told and asked again; q ends."""
    shown = [(pair.pair_id, pair.first, pair.second) for pair in to_ask(done)][:3]
    came = mr("spotcheck", "tiny", answer="axtq")
    assert came.exit_code == 0, came.output
    assert "'x' is none of a, b, t, s, q." in came.output
    assert [(one.pair_id, one.answer) for one in answers(done)] == [(shown[0][0], "a"), (shown[1][0], "tie")]
    asked = came.output.partition("--- pair 3")[0]
    assert "chosen" not in asked and "rejected" not in asked
    assert not any(identity in came.output for identity, *_ in shown)
    assert "answers to settle it" in said(came)


def test_the_end_of_the_input_ends_it(mr: Mr, done: Run) -> None:
    came = mr("spotcheck", "tiny", answer="b")
    assert came.exit_code == 0, came.output
    assert [one.answer for one in answers(done)] == ["b"]


def test_it_goes_on_where_it_was(mr: Mr, done: Run) -> None:
    every = len(list(to_ask(done)))
    mr("spotcheck", "tiny", answer="a" * every)
    assert "Every pair has an answer." in mr("spotcheck", "tiny").output
    assert len(answers(done)) == every


def test_show_and_json_ask_nothing(mr: Mr, done: Run) -> None:
    assert "No answers yet." in mr("spotcheck", "tiny", "--show").output
    mr("spotcheck", "tiny", answer="sq")
    assert re.search(r"1\D+0\D+0\D+0\D+1|2\D+0\D+0\D+0\D+1", said(mr("spotcheck", "tiny", "--show")))
    [found] = json.loads(mr("spotcheck", "tiny", "--json").output)
    assert (found["skipped"], found["share"], found["needed"]) == (1, None, None)
    assert "spotcheck.jsonl" in str(list(files(done.folder)))


def test_refusals(refused: Refused, done: Run) -> None:
    assert "run tiny has iterations 1 to 2" in refused("spotcheck", "tiny", "--iteration", "9")
    assert "nosuch" in refused("spotcheck", "nosuch")
