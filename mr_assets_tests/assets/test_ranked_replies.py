"""What people replied to first prompts, and how they ranked it: twenty letter tasks with three replies each."""

import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import RANKED_REPLIES
from mr_assets.worlds import letters
from mr_assets_tests.assets.conftest import faults_where
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.rankings import RANKED_PROMPTS

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_ranked_reply_is_there_with_its_rank(ranked: Run) -> None:
    """Sixty; of every prompt the replies worth 5, 3 and 0, which are ranked 0, 1 and 2."""
    replies = table(ranked, "ranked_replies", None)
    RANKED_REPLIES.check(replies)
    assert sorted(replies["prompt"].unique()) == sorted(RANKED_PROMPTS[:20])
    assert (replies.height, set(replies["replies"])) == (60, {3})
    for row in replies.iter_rows(named=True):
        assert row["response_id"].endswith(f".r{row['rank']}")
        assert row["message_id"] == f"{row['tree_id']}.{row['rank']}"
        assert letters.true_score(row["prompt"], row["response"]) == {0: 5, 1: 3, 2: 0}[row["rank"]]


def test_a_quarter_of_the_prompts_is_held_out_with_all_of_its_replies(ranked: Run) -> None:
    """Five of twenty."""
    by_prompt = table(ranked, "ranked_replies", None).group_by("prompt").agg("held_out")
    assert sorted(by_prompt["held_out"].to_list()) == [[False] * 3] * 15 + [[True] * 3] * 5
    record = ranked.record("ranked_replies")
    assert record is not None
    assert (record.rows, record.dropped, record.inputs) == (60, 0, {})


def test_a_rank_that_does_not_follow_is_found(ranked_copy: Run) -> None:
    assert [fault for fault in faults_where(ranked_copy, "ranked_replies", "rank", 2) if "rank is 2" in fault]
