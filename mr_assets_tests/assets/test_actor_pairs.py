"""Per prompt a chosen and a rejected response."""

import polars as pl
import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import ACTOR_PAIRS
from mr_assets.worlds import letters
from mr_assets_tests.lineage.conftest import dropped, table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.mark.parametrize("t", ["1", "2"])
def test_the_best_and_the_worst_scored_of_each_prompt_are_paired(finished: Run, t: str) -> None:
    """rho is 0: of the highest mean score the shortest response, of the lowest the longest.

    Equally long ones are drawn, so that one of several is expected.
    """
    pairs, answers = table(finished, "actor_pairs", t), table(finished, "responses", t)
    ACTOR_PAIRS.check(pairs)
    means = table(finished, "judgments", t).group_by("response_id").agg(mean=pl.col("score").sum() / 3)
    judged = answers.join(means, on="response_id").with_columns(
        mean=pl.col("mean").round(6), chars=pl.col("response").str.len_chars()
    )
    assert sorted(pairs["prompt_id"]) == sorted(answers["prompt_id"].unique())
    for pair in pairs.iter_rows(named=True):
        of_prompt = judged.filter(prompt_id=pair["prompt_id"])
        best, worst = (of_prompt.filter(pl.col("mean") == end(of_prompt["mean"].to_list())) for end in (max, min))
        assert pair["chosen_id"] in set(best.filter(pl.col("chars") == pl.col("chars").min())["response_id"])
        assert pair["rejected_id"] in set(worst.filter(pl.col("chars") == pl.col("chars").max())["response_id"])
        assert (pair["chosen_chars"], pair["rejected_chars"]) == (best["chars"].min(), worst["chars"].max())
        assert (pair["chosen_score"], pair["rejected_score"]) == pytest.approx(
            (best["mean"][0], worst["mean"][0]), abs=1e-5
        )
        assert pair["rho"] == 0


def test_better_answers_are_chosen(finished: Run) -> None:
    """With half of the scores drawn at random the mean of three still tells which answer is better, on the whole."""
    answers = table(finished, "responses").join(table(finished, "prompts"), on="prompt_id")
    worth = {i: letters.true_score(p, r) for i, p, r in answers.select("response_id", "prompt", "response").iter_rows()}
    pairs = table(finished, "actor_pairs")
    assert pairs.height
    gaps = [worth[c] - worth[r] for c, r in pairs.select("chosen_id", "rejected_id").iter_rows()]
    assert sum(gaps) > 0


def test_every_prompt_has_a_pair_or_a_reason(finished: Run) -> None:
    for t in finished.iterations:
        pairs, gone = table(finished, "actor_pairs", t), dropped(finished, "actor_pairs", t)
        assert set(table(finished, "prompts", t)["prompt_id"]) <= set(pairs["prompt_id"]) | set(gone["id"])
        record = finished.record("actor_pairs", t)
        assert record is not None
        assert (record.rows, record.dropped) == (pairs.height, gone.height)
