"""Pairs as other tools take them, on one actor pair and one judge pair of a run without a world."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.export.pairs import ABOUT, TOKENS, pairs_as_messages, pairs_for_trl
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.tiny import stored, tiny_run

P = "3f1c09aa72be"
ACTOR, JUDGE, R = f"1.{P}.actor", f"1.{P}.judge", f"1.{P}.r0"
NO_WORLD = ("world=null", "evaluation=null", "eft.source=e.jsonl", "prompts.source=p.jsonl")


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def taken(pair: str, kind: str, prompt: list[dict[str, str]], chosen: str, rejected: str) -> dict[str, Any]:
    texts = {"chosen": said("assistant", chosen), "rejected": said("assistant", rejected)}
    tokens = {name: [n] for n, name in enumerate(TOKENS)}
    return {"pair_id": pair, "kind": kind, "prompt": prompt, **texts, **tokens}


TURNS = said("user", "Hi.") + said("assistant", "Hello.") + said("user", "Name a river.")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Scores of 4.5 and 1 with 10 and 30 characters; Elo of 1.5 and -0.5 with scores of 4 and 2, and 8 and 5."""
    run = tiny_run(tmp_path, *NO_WORLD)
    actor = {"chosen_id": R, "rejected_id": f"1.{P}.r1", "chosen_score": 4.5, "rejected_score": 1.0}
    actor |= {"pair_id": ACTOR, "prompt_id": P, "chosen_chars": 10, "rejected_chars": 30}
    stored(run, "actor_pairs", "1", [actor])
    stored(run, "judgments", "1", [{"judgment_id": f"{R}.j{n}", "score": score} for n, score in ((0, 2.0), (3, 4.0))])
    judge = {"chosen_id": f"{R}.j3", "rejected_id": f"{R}.j0", "chosen_elo": 1.5, "rejected_elo": -0.5}
    judge |= {"pair_id": JUDGE, "response_id": R, "chosen_chars": 8, "rejected_chars": 5}
    stored(run, "elo_pairs", "1", [judge])
    judged = taken(JUDGE, "judge", said("user", "Judge it."), "Score: 4", "Score: 2")
    stored(run, "dpo_dataset", "1", [judged, taken(ACTOR, "actor", TURNS, "The Rhine.", "A lake.")])
    return run


def test_pairs_for_trl_have_their_gaps_and_tokens(run: Run) -> None:
    """In the order of the dataset. Nothing was trained, and no truth is known."""
    found = pairs_for_trl(run, "1")
    assert found.columns == ["prompt", "chosen", "rejected", *ABOUT, *TOKENS]
    assert found["prompt"].to_list() == [said("user", "Judge it."), TURNS]
    assert found["rejected"].to_list() == [said("assistant", "Score: 2"), said("assistant", "A lake.")]
    assert found.select(ABOUT).rows() == [
        (JUDGE, "judge", P, f"{R}.j3", f"{R}.j0", 2.0, 2.0, 3, None, None),
        (ACTOR, "actor", P, R, f"1.{P}.r1", 3.5, None, -20, None, None),
    ]
    assert found.select(TOKENS).rows() == [([0], [1], [2])] * 2


def test_as_messages_both_sides_begin_with_the_prompts_turns(run: Run) -> None:
    found = pairs_as_messages(pairs_for_trl(run, "1"))
    assert found.columns == ["chosen", "rejected", *ABOUT]
    assert found["chosen"].to_list() == [
        said("user", "Judge it.") + said("assistant", "Score: 4"),
        TURNS + said("assistant", "The Rhine."),
    ]
    assert found["rejected"].to_list()[1] == TURNS + said("assistant", "A lake.")


def test_pairs_have_their_scores_and_ids(finished: Run) -> None:
    """The gap of an actor pair is that of the two mean scores in actor_pairs."""
    rows = pairs_for_trl(finished, "1")
    actor = rows.filter(pl.col("kind") == "actor").join(table(finished, "actor_pairs"), on="pair_id", validate="1:1")
    assert actor.height
    assert (actor["score_gap"] == actor["chosen_score"] - actor["rejected_score"]).all()
    assert (actor["chosen_id"] == actor["chosen_id_right"]).all()
