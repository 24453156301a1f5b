"""K variations that the policy samples per prompt, by a fake engine."""

from pathlib import Path

import polars as pl
import pytest

from mr_assets.ids import response_id
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.tables import RESPONSES
from mr_assets.worlds import letters
from mr_assets_tests.lineage.conftest import dropped, table
from mr_assets_tests.whole_runs.test_loop import new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.mark.parametrize("t", ["1", "2"])
def test_every_prompt_is_answered_four_times(finished: Run, t: str) -> None:
    """5 prompts, 4 responses each, samples 0 to 3 in their order; none is cut off or dropped."""
    rows = table(finished, "responses", t)
    RESPONSES.check(rows)
    asked = [(prompt, k) for prompt in table(finished, "prompts", t)["prompt_id"] for k in range(4)]
    assert sorted(rows.select("prompt_id", "k").rows()) == sorted(asked)
    assert rows["response_id"].to_list() == [response_id(t, *row) for row in rows.select("prompt_id", "k").iter_rows()]
    assert (set(rows["finish_reason"]), dropped(finished, "responses", t).height) == ({"stop"}, 0)


def test_the_same_text_again_names_the_first(finished: Run) -> None:
    """Two of the first iteration are, for two prompts: ``> g l c r`` and ``That gives p m q.``"""
    rows = table(finished, "responses")
    texts = dict(rows.select("response_id", "response").iter_rows())
    again = dict(rows.filter(pl.col("duplicate_of").is_not_null()).select("response_id", "duplicate_of").iter_rows())
    assert again == {"1.8d4d2168ff29.r3": "1.8d4d2168ff29.r1", "1.ace6b616d1df.r3": "1.ace6b616d1df.r2"}
    assert all(texts[later] == texts[first] for later, first in again.items())
    record = finished.record("responses", "1")
    assert record is not None
    assert record.numbers["duplicates"] == 2


def test_what_they_are_worth_is_known_of_a_worlds_prompts(finished: Run) -> None:
    """The mean true score of twenty responses, and the share of those with the right letters."""
    rows = table(finished, "responses").join(table(finished, "prompts"), on="prompt_id").select("prompt", "response")
    record = finished.record("responses", "1")
    assert record is not None
    assert record.numbers["true score"] == sum(letters.true_score(*row) for row in rows.iter_rows()) / 20 == 2.75
    assert record.numbers["accuracy"] == sum(letters.correct(*row) for row in rows.iter_rows()) / 20 == 0.55


@pytest.mark.slow
def test_what_answers_to_a_users_own_prompts_are_worth_is_not_known(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ten prompts of no world, which the fake answers with the same words."""
    (tmp_path / "mine.txt").write_text("".join(f"What is {n} + {n}?\n" for n in range(10)))
    world = new_world(patch, tmp_path, "sft=null", "prompts.source=mine.txt", "prompts.count=null")
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    world.make(Step("answers", ("prompts", "policy", "responses"), "1"))
    record = world.run.record("responses", "1")
    assert record is not None
    assert record.numbers["duplicates"] == 15  # three of the four answers to each of five prompts
    assert "true score" not in record.numbers
