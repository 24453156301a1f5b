"""The reward margins of a trained model's folder: the table, and the figures that sum it up."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.tables import REWARD_MARGINS
from mr_assets.training.margins import MARGINS, margin_figures, margins_table, scan_margins

PAIRS = ["1.a.actor", "1.a.judge", "1.b.actor", "1.c.actor"]
TABLE = margins_table(PAIRS, [0.5, 0.25, -0.5, 0.25], [-0.5, 0.75, -0.5, -0.5])


def test_a_margin_is_the_difference_of_two_rewards() -> None:
    """0.5 - (-0.5) = 1, 0.25 - 0.75 = -0.5, -0.5 - (-0.5) = 0, 0.25 - (-0.5) = 0.75."""
    REWARD_MARGINS.check(TABLE)
    assert TABLE["pair_id"].to_list() == PAIRS
    assert TABLE["reward_margin"].to_list() == [1.0, -0.5, 0.0, 0.75]


def test_figures_of_all_pairs_and_by_kind() -> None:
    """All: (1 - 0.5 + 0 + 0.75) / 4; actor pairs: (1 + 0 + 0.75) / 3, of which a margin of 0 is not positive."""
    assert margin_figures(TABLE) == {
        "reward margin after training, mean over pairs": 0.3125,
        "share of pairs with a positive margin after training": 0.5,
        "reward margin after training, mean over actor pairs": pytest.approx(1.75 / 3),
        "share of actor pairs with a positive margin after training": pytest.approx(2 / 3),
        "reward margin after training, mean over judge pairs": -0.5,
        "share of judge pairs with a positive margin after training": 0.0,
    }


def test_figures_of_one_kind_and_of_nothing() -> None:
    """Where only the actor is trained, its figures go on, so that a plot of them goes to the last iteration."""
    assert margin_figures(TABLE[[0, 2]]) == {
        "reward margin after training, mean over pairs": 0.5,
        "share of pairs with a positive margin after training": 0.5,
        "reward margin after training, mean over actor pairs": 0.5,
        "share of actor pairs with a positive margin after training": 0.5,
    }
    assert margin_figures(TABLE.clear()) == {}


def test_a_table_is_read_as_it_was_written_and_there_may_be_none(tmp_path: Path) -> None:
    assert scan_margins(tmp_path) is None
    TABLE.write_parquet(tmp_path / MARGINS)
    table = scan_margins(tmp_path)
    assert table is not None
    assert table.collect().equals(TABLE)


def test_a_table_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    """No parquet file, or one with other columns: it is checkpoints that is to be made again."""
    (tmp_path / MARGINS).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot be read.*Materialize checkpoints again"):
        scan_margins(tmp_path)
    TABLE.drop("reward_margin").write_parquet(tmp_path / MARGINS)
    with pytest.raises(UserError, match=r"missing: reward_margin\. Materialize checkpoints again"):
        scan_margins(tmp_path)
