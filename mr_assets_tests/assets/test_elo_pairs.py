"""Per selected response the judgments with the highest and the lowest Elo."""

import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import ELO_PAIRS
from mr_assets_tests.lineage.conftest import dropped, table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_who_wins_more_has_the_higher_elo(finished: Run) -> None:
    """In tournaments of three, as these are; with as many wins the Elo is the same. They add up to zero."""
    pairs = table(finished, "elo_pairs")
    matrices = dict(table(finished, "battle_matrices").select("response_id", "matrix").iter_rows())
    ELO_PAIRS.check(pairs)
    for response, elo in pairs.select("response_id", "elo").iter_rows():
        wins = [sum(row) for row in matrices[response]]
        for one in range(3):
            for other in range(3):
                assert (wins[one] > wins[other]) == (elo[one] > elo[other] + 1e-6)
        assert sum(elo) == pytest.approx(0, abs=1e-6)


def test_the_highest_is_chosen_and_the_lowest_rejected(finished: Run) -> None:
    """Two with the highest Elo are drawn from; lengths are those of the texts."""
    names = dict(table(finished, "battle_matrices").select("response_id", "judgment_ids").iter_rows())
    texts = dict(table(finished, "judgments").select("judgment_id", "judgment").iter_rows())
    for pair in table(finished, "elo_pairs").iter_rows(named=True):
        elo = dict(zip(names[pair["response_id"]], pair["elo"], strict=True))
        assert elo[pair["chosen_id"]] == pair["chosen_elo"] == pytest.approx(max(elo.values()))
        assert elo[pair["rejected_id"]] == pair["rejected_elo"] == pytest.approx(min(elo.values()))
        for side in ("chosen", "rejected"):
            assert pair[f"{side}_chars"] == len(texts[pair[f"{side}_id"]])


def test_every_matrix_has_a_pair_or_a_reason(finished: Run) -> None:
    assert (
        table(finished, "elo_pairs").height + dropped(finished, "elo_pairs").height
        == table(finished, "battle_matrices").height
    )
