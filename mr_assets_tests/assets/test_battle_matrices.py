"""Weighted wins of every judgment over every other of its response."""

import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import BATTLE_MATRICES
from mr_assets_tests.lineage.conftest import dropped, table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_a_matrix_adds_up_the_wins_of_its_battles(finished: Run) -> None:
    """Of 26 wins 13 went to the first position: a win in either weighs a half, so that B_mn is half of m's over n."""
    rows, battles = table(finished, "battle_matrices"), table(finished, "meta_judgments")
    BATTLE_MATRICES.check(rows)
    assert set(rows.select("win_first", "win_second", "omega_1", "omega_2").rows()) == {(13, 13, 0.5, 0.5)}
    wins = battles["winner"].value_counts()
    assert dict(wins.iter_rows()) == {"first": 13, "second": 13, None: 4}
    beaten = [
        (row["first_id"], row["second_id"]) if row["winner"] == "first" else (row["second_id"], row["first_id"])
        for row in battles.iter_rows(named=True)
        if row["winner"]
    ]
    for row in rows.iter_rows(named=True):
        names = row["judgment_ids"]
        assert row["matrix"] == [[beaten.count((winner, loser)) / 2 for loser in names] for winner in names]


def test_every_selected_response_has_the_matrix_of_its_three_judgments(finished: Run) -> None:
    """None of them is a finite MLE here: each has a judgment that never wins, or one that never loses."""
    rows = table(finished, "battle_matrices")
    assert sorted(rows["response_id"]) == sorted(table(finished, "selected_responses")["response_id"])
    for response, names in rows.select("response_id", "judgment_ids").iter_rows():
        assert names == [f"{response}.j{n}" for n in range(3)]
    assert not rows["strongly_connected"].any()
    assert dropped(finished, "battle_matrices").height == 0
    record = finished.record("battle_matrices", "1")
    assert record is not None
    assert record.numbers["share strongly connected"] == 0
