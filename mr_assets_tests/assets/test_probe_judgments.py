"""Every model's judge on the same responses, by a fake engine."""

import pytest

from mr_assets.lineage.verification import verify
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_model_judges_the_seeds_responses(probed: Run) -> None:
    """Equal ones once; M0's own responses are others, and no matter of the probe."""
    seed, m0 = (table(probed, "probe_judgments", model) for model in ("seed", "0"))
    responses = table(probed, "held_out_responses", "seed")
    assert seed["response_id"].n_unique() == responses.select("prompt_id", "response").n_unique()
    assert m0["judgment_id"].to_list() == seed["judgment_id"].to_list()
    assert m0["n"].to_list() == [0, 1] * m0["response_id"].n_unique()
    record = probed.record("probe_judgments", "0")
    assert record is not None
    assert list(record.inputs) == ["sft_checkpoint", "held_out_responses of seed"]


def test_its_rows_follow_from_their_ancestors(probed: Run) -> None:
    assert list(verify(probed, None, ["probe_judgments"])) == []
