"""How many pairs the truth agrees with, of a run whose world knows it."""

from pathlib import Path

import polars as pl
import pytest

from mr_assets.runs.run import Run
from mr_assets.wiring.truth import true_counts
from mr_assets_tests.tiny import stored, tiny_run
from mr_assets_tests.wiring.conftest import work

ANSWERS = ("It is b r w f.", "> b r w f", "It is b r w k.")  # worth 5, 3 and 2
COUNTED = ("chosen truly better", "chosen truly equal", "chosen truly worse")
ACTOR = pl.DataFrame(
    {"chosen_id": ["1.p.r0", "1.p.r0", "1.p.r2"], "rejected_id": ["1.p.r1", "1.p.r2", "1.p.r1"]}
)  # 5 before 3, 5 before 2, and 2 before 3
JUDGE = pl.DataFrame(
    {
        "chosen_id": ["1.p.r0.j0", "1.p.r1.j0"],
        "rejected_id": ["1.p.r0.j1", "1.p.r1.j1"],
        "chosen_score": [5.0, 2.0],
        "rejected_score": [2.0, 4.0],
    }
)  # of the response worth 5 the right one before one that is 3 off; of that worth 3 both are off by 1


@pytest.fixture
def answered(run: Run) -> Run:
    """The tiny run with one prompt, three responses to it, and judgments that were made of these."""
    stored(run, "prompts", "1", [{"prompt_id": "p", "prompt": "Reverse the letters f w r b."}])
    stored(run, "responses", "1", RESPONSES)
    stored(run, "judgments", "1", [])
    return run


RESPONSES = [{"response_id": f"1.p.r{k}", "prompt_id": "p", "response": text} for k, text in enumerate(ANSWERS)]


def test_pairs_are_counted_by_what_the_truth_says(answered: Run) -> None:
    """An actor pair by the responses' worth, a judge pair by how far either score is from it."""
    assert true_counts(work(answered, "actor_pairs"), "actor", ACTOR) == dict(zip(COUNTED, (2, 0, 1), strict=True))
    assert true_counts(work(answered, "elo_pairs"), "judge", JUDGE) == dict(zip(COUNTED, (1, 1, 0), strict=True))
    assert true_counts(work(answered, "actor_pairs"), "actor", ACTOR.clear()) == dict.fromkeys(COUNTED, 0)


def test_of_responses_that_were_sampled_again_the_old_judgments_truth_is_not_known(answered: Run) -> None:
    """Actor pairs are made of the responses themselves; they are counted."""
    stored(answered, "responses", "1", RESPONSES, version="v2")
    assert true_counts(work(answered, "elo_pairs"), "judge", JUDGE) == {}
    assert true_counts(work(answered, "actor_pairs"), "actor", ACTOR) != {}


@pytest.mark.parametrize("gone", ["prompts", "responses"])
def test_nothing_is_counted_while_a_table_is_missing(answered: Run, gone: str) -> None:
    under_way = work(answered, "elo_pairs")
    answered.record_path(gone, "1").unlink()
    assert true_counts(under_way, "actor", ACTOR) == {}
    assert true_counts(work(answered, "actor_pairs", "2"), "actor", ACTOR) == {}


def test_nothing_is_counted_without_a_world(answered: Run, tmp_path: Path) -> None:
    sets = ("world=null", "evaluation=null", "prompts.source=p.txt", "prompts.count=null", "eft.source=e.jsonl")
    real = tiny_run(tmp_path, *sets, "eft.examples=null")
    assert real.recipe.world is None
    assert true_counts(work(real, "actor_pairs"), "actor", ACTOR) == {}
