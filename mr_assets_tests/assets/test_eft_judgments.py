"""The seed model scores every ranked reply, by a fake engine."""

from pathlib import Path

import pytest

from mr_assets.files import fingerprint
from mr_assets.inputs.seed_model import seed_model
from mr_assets.method.ranked_replies import in_parts
from mr_assets.orchestration.steps import steps
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.wiring import sampling
from mr_assets_tests.assets.conftest import faults_where
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.rankings import OF_RANKINGS, with_rankings
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.whole_runs.test_loop import new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_the_seed_model_judges_what_is_not_held_out(ranked: Run) -> None:
    """Fifteen prompts of twenty with three replies each, four judgments of each; the five others are held out."""
    judged, replies = table(ranked, "eft_judgments", None), table(ranked, "ranked_replies", None)
    train, held = in_parts(replies)
    assert (train.height, held.height, judged.height) == (45, 15, 180)
    assert set(judged["response_id"]) == set(train["response_id"])
    record = ranked.record("eft_judgments")
    assert record is not None
    assert record.policy == record.settings["content of model.seed"]
    assert record.policy == fingerprint(seed_model(ranked.recipe, ranked.data))


def test_a_score_that_does_not_follow_is_found(ranked_copy: Run) -> None:
    assert [fault for fault in faults_where(ranked_copy, "eft_judgments", "score", 1.5) if "score is 1.5" in fault]


def test_what_shapes_the_judgments_names_the_family(tmp_path: Path) -> None:
    """Runs whose seed model judges otherwise share no M0; without rankings they do, and have the name they had."""
    plain = tiny_run(tmp_path)
    assert tiny_run(tmp_path, "judgments.temperature=0.5").family == plain.family
    of_rankings = tiny_run(tmp_path, *OF_RANKINGS)
    assert tiny_run(tmp_path, *OF_RANKINGS, "judgments.temperature=0.5").family != of_rankings.family
    assert tiny_run(tmp_path, *OF_RANKINGS, "engine.max_num_seqs=8").family == of_rankings.family


class Killed(WorldSampler):
    """An engine that is killed with the second shard."""

    def reseed(self, seed: int) -> None:
        if hasattr(self, "begun"):
            raise KeyboardInterrupt
        self.begun = True
        super().reseed(seed)


@pytest.mark.slow
def test_a_run_that_is_killed_while_the_seed_model_judges_goes_on(
    ranked: Run, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """What was sampled is kept; the table is the one of the run that nothing disturbed."""
    again = new_world(patch, with_rankings(tmp_path / "data"), *OF_RANKINGS)
    patch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: Killed(folder, policy))
    step = next(steps(again.run))
    assert not again.materialize(step).success
    assert (state(again.run, "ranked_replies"), state(again.run, "eft_judgments")) == ("done", "missing")
    patch.setattr(sampling, "open_engine", again.open_engine)
    left = next(steps(again.run))
    assert left.assets == ("seed_prompts", "eft_judgments", "eft_dataset", "sft_checkpoint")
    again.make(left)
    record = again.run.record("eft_judgments")
    assert record is not None
    assert record.numbers["requests"] == 45
    assert record.numbers["requests sampled by this run"] == 45 - 10  # a shard of 40 judgments was there
    undisturbed = ranked.record("eft_judgments")
    assert undisturbed is not None
    assert record.version == undisturbed.version
