"""The exported pairs train in plain TRL: the same tokens, so the same first step."""

import math
from pathlib import Path

import datasets
import pytest

from mr_assets.export.folder import export
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.run import Run

SEED = PROJECT / "data" / "seeds" / "small-world"

pytestmark = pytest.mark.slow


def test_plain_trl_sees_what_was_trained_on(finished: Run, tmp_path: Path) -> None:
    """The tokens of prompt and completions are those of the DPO dataset, and the first loss is ln 2 as there."""
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    [folder] = export(finished, "pairs", tmp_path / "pairs", ["1"])
    rows = datasets.load_dataset(str(folder), "trl", split="iteration_1", cache_dir=str(tmp_path / "cache"))
    arguments = DPOConfig(
        output_dir=str(tmp_path / "out"),
        use_cpu=True,
        bf16=False,
        max_steps=1,
        per_device_train_batch_size=len(rows),
        logging_steps=1,
        report_to=[],
        save_strategy="no",
    )
    trainer = DPOTrainer(str(SEED), args=arguments, train_dataset=rows.select_columns(["prompt", "chosen", "rejected"]))
    for ours, theirs in zip(rows, trainer.train_dataset, strict=True):
        assert theirs["prompt_ids"] == ours["prompt_token_ids"]
        assert theirs["chosen_ids"] == ours["chosen_token_ids"]
        assert theirs["rejected_ids"] == ours["rejected_token_ids"]
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
