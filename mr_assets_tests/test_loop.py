"""Two whole iterations through Dagster in this process, with a fake engine and a fake trainer.

Everything between the two is the product's own.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from mr_assets.assets import sampled, trained
from mr_assets.definitions import build_definitions
from mr_assets.files import fingerprint
from mr_assets.launch import Step, needed, steps
from mr_assets.report import learnt_table, pairs_table, time_table
from mr_assets.runs import LOOP_ASSETS, PROJECT, Run
from mr_assets.sampling.engine import EngineSettings
from mr_assets.storage import TABLES
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingFailed, TrainingResult
from mr_assets.worlds import letters
from mr_assets_tests.fakes import WorldSampler, copy_model, trained_on
from mr_assets_tests.tiny import tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

JUDGE_SIDE = ("selected_responses", "meta_judgments", "battle_matrices", "elo_pairs")


@dataclass
class World:
    """A run, its Dagster history, and what its engine and trainer were asked for."""

    run: Run
    instance: dg.DagsterInstance
    opened: list[tuple[Path, str]] = field(default_factory=list)
    jobs: list[TrainingJob] = field(default_factory=list)
    closed: int = 0
    failing: bool = False

    def open_engine(self, folder: Path, policy: str, settings: EngineSettings) -> WorldSampler:
        self.opened.append((folder, policy))
        return WorldSampler(folder, policy)

    def close_engine(self) -> None:
        self.closed += 1

    def train(self, job: TrainingJob, on_metrics: Any) -> TrainingResult:
        """The model's folder again, with a note of what it was trained on: another fingerprint, and no record."""
        self.jobs.append(job)
        if self.failing:
            raise TrainingFailed("the training's process ended with status 1; its log ends:\nout of memory")
        return copy_model(job, on_metrics)

    def materialize(self, step: Step, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """What `mr run` and the UI do, in this process."""
        tags = tags or ({PARTITION_NAME_TAG: step.partition} if step.partition else {})
        job = build_definitions([self.run]).resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey([self.run.namespace(asset), asset]) for asset in step.assets]
        return job.execute_in_process(
            instance=self.instance, asset_selection=keys, tags=tags, raise_on_error=False, run_config=None
        )

    def table(self, asset: str, partition: str | None = None) -> pl.DataFrame:
        return pl.read_parquet(self.run.path(asset, partition))

    def dropped(self, asset: str, partition: str) -> pl.DataFrame:
        return pl.read_parquet(self.run.path(asset, partition).with_suffix(".dropped.parquet"))


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)  # the tests outlive no power cut
        yield patch


def new_world(patch: pytest.MonkeyPatch, folder: Path, *sets: str) -> World:
    world = World(tiny_run(folder, *sets), dg.DagsterInstance.ephemeral())
    patch.setattr(sampled, "open_engine", world.open_engine)
    patch.setattr(trained, "close_engine", world.close_engine)
    patch.setattr(trained, "train", world.train)
    return world


@pytest.fixture(scope="module")
def done(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Everything of the tiny run, step by step as `mr run` goes."""
    world = new_world(patch, tmp_path_factory.mktemp("data"))
    for step in steps(world.run):
        result = world.materialize(step)
        assert result.success, messages(result)
    return world


def messages(result: dg.ExecuteInProcessResult) -> list[str]:
    """What failed assets say."""
    said = []
    for event in result.all_events:
        if event.is_step_failure and (failure := event.step_failure_data.user_failure_data):
            said.append(failure.description or "")
        elif event.is_step_failure:
            said.append(str(event.step_failure_data.error))
    return said


# ------------------------------------------------------------------------------------------------------ the loop


def test_everything_is_done(done: World) -> None:
    """There is nothing left to do, and every record names the Dagster run that made it."""
    assert list(steps(done.run)) == []
    runs = {record.dagster_run.run_id for record in done.instance.get_run_records()}
    for t in done.run.iterations:
        for asset in LOOP_ASSETS:
            record = done.run.record(asset, t)
            assert record is not None
            assert record.run_id in runs


@pytest.mark.parametrize("t", ["1", "2"])
def test_every_table_has_its_columns_and_unique_keys(done: World, t: str) -> None:
    for asset in LOOP_ASSETS:
        if asset in TABLES:
            table = done.table(asset, t)
            TABLES[asset].check(table)
            assert table[TABLES[asset].key].is_unique().all()


def test_the_numbers_of_an_iteration(done: World) -> None:
    """5 prompts, 4 responses each, 3 judgments of every response that is no duplicate; no prompt serves twice."""
    for t in done.run.iterations:
        responses = done.table("responses", t)
        assert (done.table("prompts", t).height, responses.height) == (5, 20)
        assert done.table("judgments", t).height == 3 * responses["duplicate_of"].null_count()
    first, second = (set(done.table("prompts", t)["prompt_id"]) for t in "12")
    assert not first & second


def test_the_next_model_is_handed_over(done: World) -> None:
    """Iteration 2 samples from, judges with, and trains M1; M1 was trained from M0."""
    m0, m1, m2 = (fingerprint(done.run.path(*done.run.model_at(m))) for m in ("0", "1", "2"))
    assert len({m0, m1, m2}) == 3
    for t, policy in (("1", m0), ("2", m1)):
        records = [done.run.record(a, t) for a in ("responses", "judgments", "dpo_dataset", "checkpoints")]
        assert {r.policy for r in records if r} == {policy}
    seed = PROJECT / "data" / "seeds" / "small-world"
    assert [job.model for job in done.jobs] == [
        seed,
        done.run.path("sft_checkpoint"),
        done.run.path("checkpoints", "1"),
    ]
    assert {policy for _, policy in done.opened} == {fingerprint(seed), m0, m1, m2}
    sizes = [done.table("eft_dataset").height, *(done.table("dpo_dataset", t).height for t in "12")]
    assert done.run.recipe.iterations[0].judge_training
    assert done.jobs[2].out == done.run.path("checkpoints", "2")
    assert trained_on(done.run.path("checkpoints", "2")) == sizes


def test_the_policys_page_links_to_its_parent(done: World) -> None:
    """The edge that is not drawn is a link."""
    events = done.instance.get_latest_materialization_events([dg.AssetKey(["tiny", "policy"])])
    event = events[dg.AssetKey(["tiny", "policy"])]
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["parent"].value == "/assets/tiny/checkpoints?partition=1"
    record = done.run.record("checkpoints", "1")
    assert record is not None
    assert shown["fingerprint"].value == record.version
    assert shown["model"].value == "M1"


def test_training_gets_the_very_ids_that_were_sampled(done: World) -> None:
    """Of an actor pair those of its responses, of a judge pair those of its judgments."""
    data = done.table("dpo_dataset", "1")
    assert set(data["kind"]) == {"actor", "judge"}
    for pairs, made, identity in (
        ("actor_pairs", "responses", "response_id"),
        ("elo_pairs", "judgments", "judgment_id"),
    ):
        ids = dict(done.table(made, "1").select(identity, "token_ids").iter_rows())
        found = {r["pair_id"]: r for r in data.iter_rows(named=True)}
        for pair in done.table(pairs, "1").iter_rows(named=True):
            for side in ("chosen", "rejected"):
                assert found[pair["pair_id"]][f"{side}_token_ids"] == ids[pair[f"{side}_id"]]
    assert not data.filter(pl.col("prompt_token_ids").list.len() < 3).height


def test_better_answers_and_judgments_are_chosen(done: World) -> None:
    """With half of the scores drawn at random the mean of three still tells which answer is better, on the whole."""
    answers = done.table("responses", "1").join(done.table("prompts", "1"), on="prompt_id")
    worth = {i: letters.true_score(p, r) for i, p, r in answers.select("response_id", "prompt", "response").iter_rows()}
    pairs = pl.concat([done.table("actor_pairs", t) for t in "1"])
    assert pairs.height
    gaps = [worth[c] - worth[r] for c, r in pairs.select("chosen_id", "rejected_id").iter_rows()]
    assert sum(gaps) > 0


def test_what_was_left_out_is_counted(done: World) -> None:
    """Every prompt has an actor pair or a reason; so has every selected response."""
    for t in done.run.iterations:
        pairs, left_out = done.table("actor_pairs", t), done.dropped("actor_pairs", t)
        prompts = set(pairs["prompt_id"]) | set(left_out["id"])
        assert set(done.table("prompts", t)["prompt_id"]) <= prompts
        record = done.run.record("actor_pairs", t)
        assert record is not None
        assert (record.rows, record.dropped) == (pairs.height, left_out.height)
    assert (
        done.table("elo_pairs", "1").height + done.dropped("elo_pairs", "1").height
        == done.table("battle_matrices", "1").height
    )


def test_an_iteration_without_judge_training(done: World) -> None:
    """Iteration 2's judge side is empty and complete, asks no engine, and trains on actor pairs alone."""
    for asset in JUDGE_SIDE:
        assert done.table(asset, "1").height
        assert done.table(asset, "2").height == 0
        assert done.dropped(asset, "2").height == 0
        record = done.run.record(asset, "2")
        assert record is not None
        assert "actor alone" in record.numbers["off"]
    assert set(done.table("dpo_dataset", "2")["kind"]) == {"actor"}


def test_shards_are_gone_once_their_table_is_complete(done: World) -> None:
    """They are there for a run that is killed; afterwards they would take the same space again."""
    assert [p.name for p in done.run.data.rglob(".*")] == []


def test_the_engine_gives_its_memory_back_before_training(done: World) -> None:
    assert done.closed == len(done.jobs) == 3


def test_every_model_is_evaluated(done: World) -> None:
    """The seed, M0, M1 and M2 answer the same held-out set."""
    rows = [done.table("evaluation", m).row(0, named=True) for m in done.run.models]
    assert [r["model"] for r in rows] == ["seed", "M0", "M1", "M2"]
    assert all(0 < r["true_score"] <= 5 and 0 <= r["judge_exact"] <= 1 for r in rows)


def test_the_report_of_a_finished_run(done: World) -> None:
    """A row per model, a row per iteration, and one for what is made once."""
    assert [table(done.run).row_count for table in (learnt_table, pairs_table, time_table)] == [4, 2, 3]


def test_the_same_step_again_gives_the_same_tables(done: World) -> None:
    """Seeded draws and reseeded shards: content, and so versions, are equal, and nothing downstream is out of date."""
    before = done.run.record("responses", "1")
    assert before is not None
    assert done.materialize(Step("again", ("responses",), "1")).success
    after = done.run.record("responses", "1")
    assert after is not None
    assert (after.version, after.inputs) == (before.version, before.inputs)
    assert after.run_id != before.run_id
    assert list(steps(done.run)) == []


def test_a_changed_setting_redoes_what_follows_from_it(done: World) -> None:
    """Another rho in iteration 2: its pairs, data and model. What was sampled is kept."""
    changed = tiny_run(done.run.data, "iterations.2.rho=0.3")
    pending = {a for a in LOOP_ASSETS if needed(changed, a, "2", LOOP_ASSETS)}
    assert pending == {"actor_pairs", "dpo_dataset", "checkpoints"}
    assert not [a for a in LOOP_ASSETS if needed(changed, a, "1", LOOP_ASSETS)]
    assert next(steps(changed)) == Step("iteration 2 of 2", ("actor_pairs", "dpo_dataset", "checkpoints"), "2")


# ------------------------------------------------------------------------------------------------------ failures


def test_iteration_2_before_1_says_what_comes_first(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It fails at policy, and nothing else is begun."""
    world = new_world(patch, tmp_path)
    result = world.materialize(Step("iteration 2", ("policy", "responses"), "2"))
    assert not result.success
    assert len(messages(result)) == 1
    assert "tiny/checkpoints of iteration 1 is not complete" in messages(result)[0]
    assert "Materialize it first" in messages(result)[0]
    assert world.opened == []


def test_prompts_before_seed_prompts(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = new_world(patch, tmp_path)
    result = world.materialize(Step("prompts", ("prompts",), "1"))
    assert "seed_prompts is not complete" in messages(result)[0]
    assert f"Materialize {world.run.family}/seed_prompts first" in messages(result)[0]


def test_a_failed_training_shows_its_log_and_is_not_complete(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = new_world(patch, tmp_path)
    world.failing = True
    result = world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None))
    assert len(messages(result)) == 1
    assert "out of memory" in messages(result)[0]
    assert world.run.state("sft_checkpoint") == "missing"
    assert world.run.state("eft_dataset") == "done"


def test_a_recipe_without_sft_starts_from_the_seed_model(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """M_0 is the seed model's own folder; nothing is copied or trained."""
    world = new_world(patch, tmp_path, "sft=null")
    assert world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None)).success
    assert world.materialize(Step("handoff", ("policy",), "1")).success
    record = world.run.record("policy", "1")
    assert record is not None
    assert record.model is not None
    seed = PROJECT / "data" / "seeds" / "small-world"
    assert (record.model["path"], record.model["name"]) == (str(seed), "seed")
    assert world.jobs == []


def test_prompts_of_the_users_own(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ten prompts of no world are drawn, answered and judged; what they are truly worth is not known."""
    (tmp_path / "mine.txt").write_text("".join(f"What is {n} + {n}?\n" for n in range(10)))
    world = new_world(patch, tmp_path, "sft=null", "prompts.source=mine.txt", "prompts.count=null")
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    result = world.materialize(Step("answers", ("prompts", "policy", "responses"), "1"))
    assert result.success, messages(result)
    record = world.run.record("responses", "1")
    assert record is not None
    assert record.numbers["duplicates"] == 15  # three of the four answers to each of five prompts
    assert "true score" not in record.numbers


def test_no_pairs_no_training(patch: pytest.MonkeyPatch, tmp_path: Path, done: World) -> None:
    """A dataset that is empty stops the iteration, with where to look."""
    shutil.copytree(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    world.table("dpo_dataset", "2").clear().write_parquet(world.run.path("dpo_dataset", "2"))
    result = world.materialize(Step("train", ("checkpoints",), "2"))
    assert "dpo_dataset of iteration 2 has no pairs" in messages(result)[0]
    assert world.jobs == []


def test_a_backfills_run_is_of_its_iteration(patch: pytest.MonkeyPatch, tmp_path: Path, done: World) -> None:
    """Such a run has a range of one key in its tags, and no partition key: it makes the same tables, and records."""
    shutil.copytree(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    for asset in LOOP_ASSETS:
        world.run.record_path(asset, "2").unlink()
    tags = {ASSET_PARTITION_RANGE_START_TAG: "2", ASSET_PARTITION_RANGE_END_TAG: "2"}
    result = world.materialize(Step("backfill", LOOP_ASSETS, None), tags)
    assert result.success, messages(result)
    for asset in LOOP_ASSETS:
        made, expected = world.run.record(asset, "2"), done.run.record(asset, "2")
        assert made and expected
        assert (made.partition, made.version, made.inputs) == ("2", expected.version, expected.inputs)
    assert list(steps(world.run)) == []


@pytest.mark.parametrize(
    ("asset", "missing"), [("responses", "tiny/policy of iteration 2"), ("actor_pairs", "judgments of iteration 2")]
)
def test_a_backfills_run_says_what_comes_first(
    patch: pytest.MonkeyPatch, tmp_path: Path, asset: str, missing: str
) -> None:
    """A subset of an iteration that lacks what it is made of, a model or a table."""
    world = new_world(patch, tmp_path)
    tags = {ASSET_PARTITION_RANGE_START_TAG: "2", ASSET_PARTITION_RANGE_END_TAG: "2"}
    [said] = messages(world.materialize(Step("backfill", (asset,), None), tags))
    assert f"{missing} is not complete" in said
    assert world.opened == []
