"""What was made of what lies there, and what was not: records alone decide."""

from pathlib import Path

import pytest

from mr_assets.lineage.staleness import Staleness
from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import rematerialized
from mr_assets_tests.tiny import complete, tiny_run

EVERYTHING = set(LOOP.per("iteration"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Every record of two iterations, without the tables."""
    run = tiny_run(tmp_path)
    for asset in run.loop.per("family"):
        complete(run, asset)
    for t in run.iterations:
        for asset in LOOP.per("iteration"):
            complete(run, asset, t, version=f"{asset}-{t}" if asset != "policy" else f"M{int(t) - 1}")
    return run


def test_in_a_run_as_it_was_made_everything_belongs(run: Run) -> None:
    for asset in LOOP.per("iteration"):
        assert Staleness(run).shown((asset, "2"), "2") == EVERYTHING
        assert Staleness(run).all_broken((asset, "2"), "2") == ()


def test_rows_rematerialized_are_nobodys_parents(run: Run) -> None:
    """judgments were made again: pairs of the earlier ones keep their responses, and have no judgments."""
    rematerialized(run, "judgments")
    of_a_pair = Staleness(run).shown(("actor_pairs", "1"), "1")
    assert "judgments" not in of_a_pair
    assert {"actor_pairs", "responses", "prompts", "policy"} <= of_a_pair
    of_a_judgment = Staleness(run).shown(("judgments", "1"), "1")
    assert of_a_judgment == {"judgments", "responses", "prompts", "policy"}


def test_a_judgments_page_does_not_show_a_response_that_was_rematerialized(run: Run) -> None:
    rematerialized(run, "responses")
    assert "responses" not in Staleness(run).shown(("judgments", "1"), "1")
    assert {"judgments", "actor_pairs", "elo_pairs"} <= Staleness(run).shown(("judgments", "1"), "1")
    assert Staleness(run).shown(("responses", "1"), "1") == {"responses", "prompts", "policy"}


def test_a_policy_that_was_rematerialized_wrote_nothing_that_is_there(run: Run) -> None:
    """The rows stay: they came of the prompts all the same."""
    rematerialized(run, "policy")
    shown = Staleness(run).shown(("prompts", "1"), "1")
    assert shown == EVERYTHING - {"policy"}


def test_what_broke_is_said(run: Run) -> None:
    """What was made, by which run, of which version, and what lies there now."""
    rematerialized(run, "judgments")
    said = [b.said for b in Staleness(run).all_broken(("actor_pairs", "1"), "1")]
    assert said == [
        "actor_pairs of iteration 1 (Dagster run a run) was made of judgments of iteration 1 in version judgments-1; "
        "what lies there now is another, of Dagster run later."
    ]


def test_what_is_gone_is_said(run: Run) -> None:
    run.record_path("judgments", "1").unlink()
    [broken] = Staleness(run).link(("actor_pairs", "1"), ("judgments", "1"))
    assert broken.said.endswith("it is not there now.")


def test_ancestors_go_back_through_the_handoff(run: Run) -> None:
    """An actor pair of iteration 2 comes of M1, and so of the pairs of iteration 1 and of the SFT model."""
    ancestors = Staleness(run).ancestors(("actor_pairs", "2"))
    assert {("checkpoints", "1"), ("actor_pairs", "1"), ("sft_checkpoint", None), ("seed_prompts", None)} <= ancestors
    rematerialized(run, "checkpoints", "1")
    assert not Staleness(run).follows(("actor_pairs", "2"), ("checkpoints", "1"))
    assert Staleness(run).follows(("actor_pairs", "2"), ("judgments", "2"))
