"""The policy scores every response N times, by a fake engine."""

from pathlib import Path

import polars as pl
import pytest

from mr_assets.ids import judgment_id
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Completion, Request
from mr_assets.tables import JUDGMENTS
from mr_assets.wiring import sampling
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import SilentSampler, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.mark.parametrize(("t", "judged"), [("1", 18), ("2", 20)])
def test_every_response_that_is_no_duplicate_is_judged_three_times(finished: Run, t: str, judged: int) -> None:
    """Samples 0 to 2 of each; two responses of the first iteration repeat others."""
    rows = table(finished, "judgments", t)
    JUDGMENTS.check(rows)
    answers = table(finished, "responses", t).filter(pl.col("duplicate_of").is_null())["response_id"]
    assert answers.len() == judged
    assert sorted(rows["judgment_id"]) == sorted(judgment_id(each, n) for each in answers for n in range(3))
    for row in rows.iter_rows(named=True):
        assert row["judgment_id"] == judgment_id(row["response_id"], row["n"])


def test_every_score_is_what_the_text_says(finished: Run) -> None:
    """The fake always gives one: ``Score: 3`` at the end of a text that is not cut off."""
    rows = table(finished, "judgments")
    assert rows["score"].to_list() == rows["judgment"].str.extract(r"Score: (\d)$").cast(pl.Float64).to_list()
    assert set(rows["score"]) <= set(range(6))
    assert rows["invalid"].null_count() == rows.height == 54
    record = finished.record("judgments", "1")
    assert record is not None
    assert record.numbers["parse rate"] == 1
    assert record.numbers["mean score"] == pytest.approx(rows["score"].sum() / 54)
    assert record.numbers["share of top scores"] == pytest.approx((rows["score"] == 5).sum() / 54)


class DyingSampler(SilentSampler):
    """One that dies when so many lines were asked for again; never for a negative number."""

    dies_at, sampled, chosen = -1, 0, 0

    def _choose(self, request: Request) -> Completion:
        if DyingSampler.chosen == DyingSampler.dies_at:
            raise MemoryError
        DyingSampler.chosen += 1
        return super()._choose(request)

    def _complete(self, request: Request) -> Completion:
        DyingSampler.sampled += 1
        return super()._complete(request)


@pytest.mark.slow
def test_killed_while_lines_are_asked_for_again_it_goes_on(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same judgments as without. None is sampled again, and no finished shard of the lines."""
    sets = ("sft=null", "judgments.score_line=asked_again", "engine.shard_size=5")
    versions, sampled, chosen = [], [], []
    for name, dies_at in (("whole", -1), ("killed", 12)):
        world = new_world(patch, tmp_path / name, *sets)
        patch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: DyingSampler(folder, policy))
        assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
        assert world.materialize(Step("responses", ("prompts", "policy", "responses"), "1")).success
        patch.setattr(DyingSampler, "dies_at", dies_at)
        patch.setattr(DyingSampler, "sampled", 0)
        patch.setattr(DyingSampler, "chosen", 0)
        result = world.materialize(Step("judgments", ("judgments",), "1"))
        assert result.success == (dies_at < 0) == (world.run.record("judgments", "1") is not None)
        if dies_at >= 0:
            patch.setattr(DyingSampler, "dies_at", -1)
            assert world.materialize(Step("judgments", ("judgments",), "1")).success
        record = world.run.record("judgments", "1")
        assert record is not None
        versions.append(record.version)
        sampled.append(DyingSampler.sampled)
        chosen.append(DyingSampler.chosen)
    assert versions[0] == versions[1]
    assert sampled[0] == sampled[1] > 0
    assert chosen[0] > 12 and chosen[1] - chosen[0] <= 5  # of the shard that died
