"""The training's log as a table, and the means of its last epoch."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.training.log import last_epoch, read_log

LINES = """\
{"step": 1, "total_steps": 4, "epoch": 0.5, "loss": 0.7, "rewards/margins": 0.0, "rewards/accuracies": 0.5}
{"step": 2, "total_steps": 4, "epoch": 1.0, "loss": 0.6, "rewards/margins": 0.1, "rewards/accuracies": 0.5}
{"step": 3, "total_steps": 4, "epoch": 1.5, "loss": 0.5, "rewards/margins": 0.2, "rewards/accuracies": 0.75}
{"step": 4, "total_steps": 4, "epoch": 2.0, "loss": 0.3, "rewards/margins": 0.4, "rewards/accuracies": 1.0}
"""


def test_the_last_epoch_is_its_own_steps(tmp_path: Path) -> None:
    """Steps 3 and 4, the second half of two epochs: (0.5 + 0.3) / 2 = 0.4, and so on."""
    (tmp_path / "training_log.jsonl").write_text(LINES)
    log = read_log(tmp_path)
    assert log["step"].to_list() == [1, 2, 3, 4]
    assert last_epoch(log) == {
        "loss, mean of the last epoch": pytest.approx(0.4),
        "reward margin, mean of the last epoch": pytest.approx(0.3),
        "reward accuracy, mean of the last epoch": 0.875,
    }


def test_sft_has_no_rewards(tmp_path: Path) -> None:
    (tmp_path / "training_log.jsonl").write_text(
        '{"step": 1, "epoch": 1, "loss": NaN}\n{"step": 2, "epoch": 1, "loss": 1}\n'
    )
    log = read_log(tmp_path)
    assert log["reward margin"].to_list() == [None, None]
    assert log["loss"].is_nan().to_list() == [True, False]
    assert set(last_epoch(log)) == {"loss, mean of the last epoch"}


@pytest.mark.parametrize("line", ['{"step": 1, "epo', '{"step": 1}', "[]"])
def test_a_damaged_log_is_said(tmp_path: Path, line: str) -> None:
    (tmp_path / "training_log.jsonl").write_text(LINES + line)
    with pytest.raises(UserError, match=r"training_log\.jsonl is damaged: .*Materialize the model again"):
        read_log(tmp_path)


def test_without_a_log(tmp_path: Path) -> None:
    """A model from elsewhere: no rows, no means."""
    assert read_log(tmp_path).is_empty()
    assert last_epoch(read_log(tmp_path)) == {}
