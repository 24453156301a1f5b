"""The loop from end to end: two whole iterations through Dagster in this process, with a fake engine and trainer.

Everything between the two is the product's own. What belongs to one module alone is tested beside that module's name.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from mr_assets.bounds import Guardrails
from mr_assets.chat import ChatEncoder
from mr_assets.cli.main import main
from mr_assets.cli.report import learnt_table, pairs_table, time_table
from mr_assets.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.inputs.preflight import check_run
from mr_assets.lineage.compare import other_recipe, with_other_run, with_other_settings
from mr_assets.lineage.tracing import trace
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP
from mr_assets.orchestration.history import tell_shared
from mr_assets.orchestration.steps import Step, failures, pending, plan, step_config, steps
from mr_assets.runs import status
from mr_assets.runs.branch import branch, shared
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.run import Run
from mr_assets.runs.status import follows, state
from mr_assets.sampling.settings import EngineSettings
from mr_assets.tables import (
    TABLES,
    dropped_path,
)
from mr_assets.templates import judge_template
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingFailed, TrainingResult
from mr_assets.training.margins import MEAN, POSITIVE
from mr_assets.wiring import declare, sampling, training
from mr_assets.wiring.previews import SHOWN_IN_PLACE
from mr_assets_tests.explorer.conftest import pages_over
from mr_assets_tests.fakes import WorldSampler, copy_model, pictures_are, trained_on
from mr_assets_tests.golden import GOLDEN, artifacts
from mr_assets_tests.tiny import copied, files, put, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

JUDGE_SIDE = ("selected_responses", "meta_judgments", "battle_matrices", "elo_pairs")


@dataclass
class World:
    """A run, its Dagster history, and what its engine and trainer were asked for."""

    run: Run
    instance: dg.DagsterInstance
    opened: list[tuple[Path, str]] = field(default_factory=list)
    jobs: list[TrainingJob] = field(default_factory=list)
    expected: list[int | None] = field(default_factory=list)
    closed: int = 0
    failing: str = ""
    built: tuple[Any, dg.Definitions] | None = None

    @property
    def definitions(self) -> dg.Definitions:
        """Those of the run as it is now, built once: most of what a small step costs."""
        key = self.run, vars(declare)["code_version"]  # which a test replaces
        if self.built is None or self.built[0] != key:
            self.built = key, build_definitions([self.run])
        return self.built[1]

    def open_engine(self, folder: Path, policy: str, settings: EngineSettings, **_: Any) -> WorldSampler:
        self.opened.append((folder, policy))
        return WorldSampler(folder, policy)

    def close_engine(self) -> None:
        self.closed += 1

    def train(self, job: TrainingJob, on_metrics: Any, *, code: str, start: str) -> TrainingResult:
        """The model's folder again, with a note of what it was trained on: another fingerprint, and no record."""
        self.jobs.append(job)
        if self.failing:
            raise TrainingFailed(f"the training's process ended with status 1; its log ends:\n{self.failing}")
        return copy_model(job, on_metrics)

    def materialize(
        self, step: Step, tags: Mapping[str, str] | None = None, **config: dict[str, Any]
    ) -> dg.ExecuteInProcessResult:
        """What `mr run` and the UI do, in this process; `config` is the launchpad's, by asset."""
        tags = tags or ({PARTITION_NAME_TAG: step.partition} if step.partition else {})
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey([self.run.namespace(asset), asset]) for asset in step.assets]
        ops = step_config(self.run, step)
        ops |= {f"{self.run.namespace(asset)}__{asset}": {"config": given} for asset, given in config.items()}
        return job.execute_in_process(
            instance=self.instance, asset_selection=keys, tags=tags, raise_on_error=False, run_config={"ops": ops}
        )

    def make(self, step: Step, tags: Mapping[str, str] | None = None, **config: dict[str, Any]) -> None:
        """Materialize what is to succeed."""
        result = self.materialize(step, tags, **config)
        assert result.success, messages(result)

    def table(self, asset: str, partition: str | None = None) -> pl.DataFrame:
        return pl.read_parquet(self.run.path(asset, partition))

    def metadata(self, asset: str, partition: str) -> dict[str, Any]:
        """What the UI shows of the latest materialization."""
        key = dg.AssetKey([self.run.namespace(asset), asset])
        chosen = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
        event = self.instance.fetch_materializations(chosen, limit=1).records[0].asset_materialization
        assert event is not None
        return {name: getattr(value, "value", value) for name, value in event.metadata.items()}

    def check_specs(self, asset: str) -> list[str]:
        """The names of an asset's checks."""
        graph = self.definitions.resolve_asset_graph()
        return [k.name for k in graph.get_check_keys_for_assets({dg.AssetKey([self.run.namespace(asset), asset])})]

    def check(self, asset: str, name: str, partition: str | None) -> dg.AssetCheckEvaluation:
        """The latest evaluation of a check."""
        key = dg.AssetCheckKey(dg.AssetKey([self.run.namespace(asset), asset]), name)
        for record in self.instance.event_log_storage.get_asset_check_execution_history(key, limit=10):
            assert record.event is not None
            assert record.event.dagster_event is not None
            found = record.event.dagster_event.asset_check_evaluation_data
            if found.partition == partition:
                return found
        raise AssertionError(f"{name} of {asset}[{partition}] was not evaluated")

    def dropped(self, asset: str, partition: str) -> pl.DataFrame:
        return pl.read_parquet(dropped_path(self.run.path(asset, partition)))


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)  # the tests outlive no power cut
        yield patch


def new_world(patch: pytest.MonkeyPatch, folder: Path, *sets: str, drawn: bool = False) -> World:
    """A world in whose metadata pictures have a title alone, unless they are to be drawn: a third of a small step."""
    pictures_are(drawn, patch)
    return in_force(patch, World(tiny_run(folder, *sets), dg.DagsterInstance.ephemeral()))


def in_force(patch: pytest.MonkeyPatch, world: World) -> World:
    """The world, whose engine and trainer are the ones that assets get."""
    patch.setattr(sampling, "open_engine", world.open_engine)
    patch.setattr(training, "close_engine", world.close_engine)
    patch.setattr(training, "train", world.train)
    patch.setattr(training, "start_ahead", lambda threads, _: world.expected.append(threads))
    return world


def made_up_to_m0(world: World) -> None:
    """Make what comes before the first iteration: the one-off assets, and what is measured of the seed model and M0."""
    for step in steps(world.run):
        if step.partition == "1":
            break
        world.make(step)


@pytest.fixture(scope="module")
def done(patch: pytest.MonkeyPatch, finished: Run, finished_world: World) -> World:
    """Everything of the tiny run, step by step as `mr run` goes; these tests alone may make parts of it again.

    `finished` comes first: it is a copy of this world, made before, if no other process has made one.
    """
    return in_force(patch, finished_world)


def test_the_run_is_the_golden_one(done: World) -> None:
    """Every version and id, as golden.json has them: what only moves code about changes none."""
    assert artifacts(done.run) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_trainer_is_expected_where_its_policy_samples(done: World) -> None:
    """By responses and judgments of both iterations, and meta-judgments of the one that has some; by no evaluation."""
    assert done.expected == [done.run.recipe.dpo.cpu_threads] * 5


@pytest.mark.parametrize(
    ("sets", "assets", "expected"),
    [
        ((), ("responses", "checkpoints"), 1),
        ((), ("responses",), 0),
        (("dpo.num_processes=2", "dpo.micro_batch_size=1"), ("responses", "checkpoints"), 0),
    ],
    ids=["selected", "not selected", "two processes"],
)
def test_no_trainer_is_expected_where_none_is_to_start_so(
    done: World,
    patch: pytest.MonkeyPatch,
    tmp_path: Path,
    sets: tuple[str, ...],
    assets: tuple[str, ...],
    expected: int,
) -> None:
    """Without checkpoints among the assets, and where accelerate starts several processes."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data", *sets)
    world.make(Step("again", assets, "2"))
    assert len(world.expected) == expected


def messages(result: dg.ExecuteInProcessResult) -> list[str]:
    """What failed assets say."""
    said = []
    for event in result.all_events:
        if event.is_step_failure and (failure := event.step_failure_data.user_failure_data):
            said.append(failure.description or "")
        elif event.is_step_failure:
            said.append(str(event.step_failure_data.error))
    return said


@pytest.mark.slow
def test_weights_that_are_needed_no_more_go_when_an_asset_begins(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """M1 has passed on what it knew and is evaluated: its weights go, and nothing is stale for it.

    What needs them again says so, and what to do.
    """
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data", "storage.keep_policies=1")
    weights = [world.run.path("checkpoints", t) / "model.safetensors" for t in world.run.iterations]
    assert all(path.exists() for path in weights)
    world.make(Step("again", ("evaluation",), "2"))
    assert [path.exists() for path in weights] == [False, True]
    assert list(steps(world.run)) == []
    [said] = messages(world.materialize(Step("again", ("responses",), "2")))
    assert "The weights of M1 were removed on" in said and f"remove {weights[0].parent};" in said
    [said] = messages(world.materialize(Step("again", ("policy",), "2")))
    assert "The weights of M1 were removed on" in said
    shutil.rmtree(weights[0].parent)
    for step in steps(world.run):
        world.make(step)
    assert artifacts(world.run) == artifacts(done.run)


# ------------------------------------------------------------------------------------------------------ the loop


def test_everything_is_done(done: World) -> None:
    """There is nothing left to do, and every record names the Dagster run that made it."""
    assert list(steps(done.run)) == []
    runs = {record.dagster_run.run_id for record in done.instance.get_run_records()}
    for t in done.run.iterations:
        for asset in LOOP.per("iteration"):
            record = done.run.record(asset, t)
            assert record is not None
            assert record.run_id in runs


@pytest.mark.parametrize("t", ["1", "2"])
def test_every_table_has_its_columns_and_unique_keys(done: World, t: str) -> None:
    for asset in LOOP.per("iteration"):
        if asset in TABLES:
            table = done.table(asset, t)
            TABLES[asset].check(table)
            assert table[TABLES[asset].key].is_unique().all()


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


@pytest.mark.parametrize("asset", LOOP.per("iteration"))
def test_the_metadata_of_every_asset_leads_to_a_page(done: World, asset: str) -> None:
    """Of its pairs and their lineage, in both iterations."""
    pages = pages_over(done.run)
    for t in done.run.iterations:
        link = done.metadata(asset, t)["pairs and lineage"]
        assert link.startswith("http://127.0.0.1:3001/")
        assert pages.get(link.removeprefix("http://127.0.0.1:3001")).status_code == 200, link


@pytest.mark.parametrize("asset", ["responses", "judgments", "meta_judgments", "actor_pairs"])
def test_what_is_counted_apart_can_be_read(done: World, asset: str) -> None:
    """The metadata of an asset, and those of its checks, lead to the texts and to what was dropped."""
    pages, metadata = pages_over(done.run), done.metadata(asset, "1")
    links = {title: link for title, link in metadata.items() if title.startswith("read ")}
    for link in links.values():
        assert pages.get(link.removeprefix("http://127.0.0.1:3001")).status_code == 200, link
    counted = {"judgments": "read those without a score", "meta_judgments": "read those without a winner"}
    counted |= {"responses": "read those that were cut off", "actor_pairs": "read what was dropped"}
    assert {counted[asset], "read what was dropped"} <= set(links)
    check = {"responses": "cut_off", "actor_pairs": "pair_yield"}.get(asset, "parse_rate")
    assert done.check(asset, check, "1").metadata["read them"].value == links[counted[asset]]


# What a person follows over iterations, by asset: names of numbers, which the UI plots, and of pictures.
FIGURES = {
    "responses": ("mean characters", "median characters", "duplicates", "cut off"),
    "judgments": ("parse rate", "mean score", "share of top scores", "score entropy", "mean characters"),
    "actor_pairs": ("pairs", "share of prompts with a pair", "mean chosen characters", "mean rejected characters"),
    "selected_responses": ("selected", "mean score variance"),
    "meta_judgments": ("parse rate", "first position wins", "higher score wins", "battles", "mean characters"),
    "battle_matrices": ("matrices", "omega 1", "omega 2", "share strongly connected"),
    "elo_pairs": ("pairs", "mean Elo gap", "standard deviation of Elo", "mean chosen characters"),
    "dpo_dataset": ("pairs", "actor pairs", "judge pairs", "judge share", "mean chosen tokens"),
    "checkpoints": (
        *("loss", MEAN.format("pairs"), "loss, mean of the last epoch", "reward accuracy, mean of the last epoch"),
        *(MEAN.format(pairs) for pairs in ("pairs", "actor pairs", "judge pairs")),
        *(POSITIVE.format(pairs) for pairs in ("pairs", "actor pairs", "judge pairs")),
    ),
}
PICTURES = {
    "responses": "lengths",
    "judgments": "scores",
    "actor_pairs": "lengths",
    "elo_pairs": "Elo",
    "checkpoints": "training",
}


@pytest.mark.parametrize("asset", FIGURES)
def test_what_one_sees_of_an_asset(done: World, asset: str) -> None:
    """Numbers as numbers, tables with their rows and a few of them to read, pictures as small PNGs."""
    shown = done.metadata(asset, "1")
    for name in FIGURES[asset]:
        assert isinstance(shown[name], int | float), name
    if asset in PICTURES:
        picture = shown[f"picture: {PICTURES[asset]}"]
        assert picture.startswith("![")
        assert "](data:image/png;base64,iVBOR" in picture
        assert len(picture) < 40_000
    if asset in TABLES:
        assert shown["dagster/row_count"] == done.table(asset, "1").height
        assert shown["preview"].startswith("| column | row 1 |")
        assert len(shown["preview"]) < SHOWN_IN_PLACE


# ---------------------------------------------------------------------------------------------------- guardrails


def test_every_check_of_a_finished_run_passed_or_warned(done: World) -> None:
    """Each has a result per iteration, and its own partition; what is empty by declaration passes."""
    for asset in LOOP.per("iteration"):
        specs = done.check_specs(asset)
        for name in specs:
            for t in done.run.iterations:
                found = done.check(asset, name, t)
                assert found.passed or found.severity == dg.AssetCheckSeverity.WARN, (asset, name, found.description)
                assert found.partition == t
    off = done.check("elo_pairs", "not_empty", "2")
    assert (off.passed, off.description) == (True, "Empty: this iteration trains the actor alone.")
    for t in done.run.iterations:  # it is evaluated whenever a model is trained
        assert done.check("checkpoints", "follows_from_ancestors", t).passed
    assert "checks: none is harmful" in (done.check("checkpoints", "data_is_fit", "1").description or "")


HARM = "guardrails.judgment_parse_rate_at_least={warn: 1.0, stop: 1.0}"
FEW = "guardrails.min_count=1"
FROM_JUDGMENTS = ("judgments", "actor_pairs", "dpo_dataset", "checkpoints")


def silent(sampler: WorldSampler, count: int) -> WorldSampler:
    """The engine, whose first `count` completions say nothing."""
    texts = chain(repeat("I cannot say.", count), repeat(None))
    say = sampler.say
    sampler.say = lambda message: next(texts) or say(message)  # type: ignore[method-assign]
    return sampler


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["1.0", "0.5"])
def test_what_follows_in_the_same_run(done: World, patch: pytest.MonkeyPatch, tmp_path: Path, stop: str) -> None:
    """Judgments without scores: harmful, and nothing after them is made; a warning alone, and everything is."""
    copied(done.run.data, tmp_path / "data")
    bounds = f"guardrails.judgment_parse_rate_at_least={{warn: 1.0, stop: {stop}}}"
    world = new_world(patch, tmp_path / "data", FEW, bounds)
    patch.setattr(sampling, "open_engine", lambda *of, **_: silent(world.open_engine(*of), 3))
    before = {asset: world.run.record(asset, "2") for asset in FROM_JUDGMENTS}
    result = world.materialize(Step("again", FROM_JUDGMENTS, "2"))
    after = {asset: world.run.record(asset, "2") for asset in FROM_JUDGMENTS}
    found = world.check("judgments", "parse_rate", "2")
    assert not found.passed
    assert found.severity == (dg.AssetCheckSeverity.ERROR if stop == "1.0" else dg.AssetCheckSeverity.WARN)
    assert "Expected at least 100%" in (found.description or "")
    assert result.success == (stop == "0.5")
    assert after["judgments"] != before["judgments"]
    for asset in FROM_JUDGMENTS[1:]:
        assert (after[asset] == before[asset]) == (stop == "1.0")
    if stop == "1.0":
        assert failures(result.all_events) == [f"judgments: check parse_rate: {found.description}"]


def by_lot(sampler: WorldSampler) -> WorldSampler:
    """The engine, whose judgments score by lot, whatever they judge."""
    rng, say = random.Random(0), sampler.say
    sampler.say = lambda message: (  # type: ignore[method-assign]
        f"Score: {rng.randint(0, 5)}" if judge_template().unfill(message) else say(message)
    )
    return sampler


def test_a_judge_that_is_noise_stops_training(done: World, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every judgment has a score and all scores are given: nothing is trained on them, as they tell nothing apart."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data", "judgments.n=12")
    patch.setattr(sampling, "open_engine", lambda *of, **_: by_lot(world.open_engine(*of)))
    before = world.run.record("checkpoints", "2")
    assert not world.materialize(Step("again", FROM_JUDGMENTS, "2")).success
    assert world.run.record("checkpoints", "2") == before
    assert all(world.check("judgments", name, "2").passed for name in ("parse_rate", "score_entropy"))
    found = world.check("judgments", "score_reliability", "2")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "As far as can be told the scores are noise" in (found.description or "")


def test_checks_in_a_backfills_run(done: World, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Such a run has a range of one partition: records and checks are of that one, those of one-off assets of none."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    range_of_one = {ASSET_PARTITION_RANGE_START_TAG: "2", ASSET_PARTITION_RANGE_END_TAG: "2"}
    assert world.materialize(Step("backfill", ("seed_prompts", "prompts"), None), range_of_one).success
    record = world.run.record("prompts", "2")
    assert record is not None
    assert (record.partition, record.run_id in {r.run_id for r in world.instance.get_runs()}) == ("2", True)
    found = world.check("prompts", "not_empty", "2")
    assert found.passed
    target = found.target_materialization_data
    assert target is not None
    assert target.run_id == record.run_id
    assert world.check("seed_prompts", "not_empty", None).passed
    key = dg.AssetCheckKey(dg.AssetKey(["tiny", "prompts"]), "not_empty")
    stored = world.instance.event_log_storage.get_asset_check_partition_info([key])
    assert [(i.partition_key, i.latest_execution_status.value) for i in stored] == [("2", "SUCCEEDED")]


def test_bounds_do_not_make_anything_stale(done: World) -> None:
    """They judge what is made; they do not shape it."""
    stricter = tiny_run(done.run.data, HARM, FEW)
    assert stricter.recipe.guardrails != done.run.recipe.guardrails
    assert list(steps(stricter)) == []


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


def test_the_report_of_a_finished_run(done: World) -> None:
    """A row per model, a row per iteration, and one for what is made once."""
    assert [table(done.run).row_count for table in (learnt_table, pairs_table, time_table)] == [4, 2, 3]


def test_the_same_step_again_gives_the_same_tables(done: World) -> None:
    """Seeded draws and reseeded shards: content, and so versions, are equal, and nothing downstream is stale."""
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
    assert pending(changed, LOOP.per("iteration"), "2") == ["actor_pairs", "dpo_dataset", "checkpoints"]
    assert pending(changed, LOOP.per("iteration"), "1") == []
    assert next(steps(changed)) == Step("iteration 2 of 2", ("actor_pairs", "dpo_dataset", "checkpoints"), "2")


@pytest.mark.slow
def test_another_rho_for_one_iteration(patch: pytest.MonkeyPatch, tmp_path: Path, done: World) -> None:
    """actor_pairs[2] with rho 0.5, chosen in the launchpad: data and model follow, and `mr run` keeps the choice.

    Going as the recipe says brings the old pairs back, and with them everything that came of them.
    """
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    before = world.run.record("actor_pairs", "2")
    world.make(Step("again", ("actor_pairs",), "2"), actor_pairs={"rho": 0.5})
    after = world.run.record("actor_pairs", "2")
    assert before is not None and after is not None
    assert after.version != before.version
    assert (after.overrides, after.settings["iteration.rho"]) == ({"rho": 0.5}, 0.5)
    assert set(world.table("actor_pairs", "2")["rho"]) == {0.5}
    follows = Step("iteration 2 of 2", ("dpo_dataset", "checkpoints"), "2")
    assert next(steps(world.run)) == follows
    assert world.materialize(follows).success
    assert not any(state(world.run, asset, "2") == "stale" for asset in LOOP.per("iteration"))

    assert world.materialize(Step("judged again", ("judgments",), "2"), judgments={"seed": 1}).success
    again = next(steps(world.run))
    assert {"actor_pairs", "dpo_dataset", "checkpoints"} <= set(again.assets)
    assert step_config(world.run, again) == {"tiny__actor_pairs": {"config": {"rho": 0.5}}}

    back = replace(world.run, as_recipe=True)
    assert step_config(back, Step("", ("judgments", "actor_pairs"), "2")) == {}
    assert {"judgments", "actor_pairs"} <= set(next(steps(back)).assets)


def test_a_contradiction_stops_the_run_before_anything_is_sampled(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The model could not be trained to epoch 4 of 3; its run fails at its first step, with the model's message."""
    world = new_world(patch, tmp_path, "sft=null")
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    whole = Step("iteration 1", LOOP.per("iteration"), "1")
    result = world.materialize(whole, checkpoints={"keep_epoch": 4})
    assert not result.success
    assert all("iterations.1.keep_epoch = 4" in each and "Set other values" in each for each in messages(result))
    assert world.opened == []
    assert world.run.record("policy", "1") is world.run.record("prompts", "1") is None


def stale(world: World, asset: str, t: str) -> list[tuple[str, str]]:
    """Why the page of a partition says that it is stale: (what differs, in which asset)."""
    graph = world.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(world.instance, graph, LoadingContextForTest(world.instance))
    causes = resolver.get_stale_root_causes(dg.AssetKey([world.run.name, asset]), t)
    return [(cause.category.value, cause.asset_key.path[-1]) for cause in causes]


@pytest.mark.slow
def test_the_partitions_page_follows_content_not_time(done: World) -> None:
    """Other pairs make the dataset stale, the same pairs again do not, and the old ones mend it.

    Dagster looks one step down: the model is shown as stale once its dataset was re-materialized; the page of the
    pairs and `mr status` say it at once.
    """
    again = Step("again", ("actor_pairs",), "2")
    before = done.run.record("actor_pairs", "2")
    assert stale(done, "dpo_dataset", "2") == []
    for _ in range(2):
        assert done.materialize(again, actor_pairs={"rho": 0.5}).success
        assert stale(done, "dpo_dataset", "2") == [("DATA", "actor_pairs")]
        assert stale(done, "actor_pairs", "2") == stale(done, "checkpoints", "2") == []
        assert stale(done, "dpo_dataset", "1") == []
        assert ("checkpoints", "2") in follows(done.run, [("dpo_dataset", "2")])
        rest = "after that, iteration 2: checkpoints; evaluation of M2; if what they are made of changes"
        assert done.metadata("actor_pairs", "2")["makes stale"] == f"dpo_dataset of iteration 2; {rest}"
    assert done.materialize(again, actor_pairs={"rho": 0.0}).success
    assert "makes stale" not in done.metadata("actor_pairs", "2")
    after = done.run.record("actor_pairs", "2")
    assert before is not None and after is not None
    assert (after.version, after.overrides) == (before.version, {})
    assert stale(done, "dpo_dataset", "2") == []
    assert list(steps(done.run)) == []


def test_the_partitions_page_shows_that_the_code_has_changed(done: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that asset alone, in every partition; nothing is computed for it by `mr run`, and `mr status` says it."""
    assert stale(done, "actor_pairs", "1") == []
    for module in (declare, status):
        monkeypatch.setattr(module, "code_version", lambda a: "another" if a == "actor_pairs" else code_version(a))
    assert stale(done, "actor_pairs", "1") == [("CODE", "actor_pairs")]
    assert stale(done, "dpo_dataset", "1") == []
    assert list(steps(done.run)) == []
    assert list(status.lines(done.run))[1:] == ["  iteration 1: actor_pairs", "  iteration 2: actor_pairs"]


# ------------------------------------------------------------------------------------------------------- compare


@pytest.fixture
def mr(done: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A command on the finished run that works, and what it prints."""
    monkeypatch.setenv("MR_DATA", str(done.run.data))

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


def test_what_compare_foretells_comes_true(patch: pytest.MonkeyPatch, tmp_path: Path, done: World) -> None:
    """rho 0.5 and a limit of characters: the pairs foretold are those that the launchpad then makes."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    recipe = other_recipe(world.run, ["rho=0.5", "max_chosen_chars=60"])
    [foretold, _] = with_other_settings(done.run, recipe, "1")
    assert foretold.settings == {"iteration.rho": (0.0, 0.5), "iteration.max_chosen_chars": (None, 60)}
    chosen = {"rho": 0.5, "max_chosen_chars": 60}
    assert world.materialize(Step("again", ("actor_pairs",), "1"), actor_pairs=chosen).success
    [true, judge] = with_other_run(done.run, world.run, "1")
    assert true == foretold
    assert true.result.changes
    assert judge.result.changes == []
    [back, _] = with_other_settings(world.run, world.run.recipe, "1")
    assert {c.outcome for c in back.result.changes} != {"same"}
    assert len(back.result.changes) == len(true.result.changes)


def test_compare_as_a_person_reads_it(done: World, mr: Callable[..., str]) -> None:
    before = files(done.run.data)
    said = mr("compare", "tiny", "--set", "rho=0.5", "--limit", "1")
    assert "tiny and other settings, iteration 2: actor pairs; iteration.rho 0.0 -> 0.5" in said
    assert "tier" in said
    assert "tiny and other settings, iteration 1: judge pairs; the same settings" in said
    assert "iteration 1" not in mr("compare", "tiny", "tiny", "--iteration", "2")
    assert files(done.run.data) == before


def test_compare_as_a_program_reads_it(done: World, mr: Callable[..., str]) -> None:
    found = json.loads(mr("compare", "tiny", "--set", "max_chosen_judgment_chars=1", "--iteration", "1", "--json"))
    assert [each["kind"] for each in found] == ["actor", "judge"]
    judge = found[1]
    assert judge["settings"] == {"iteration.max_chosen_judgment_chars": {"before": None, "after": 1}}
    assert judge["counts"]["lost"] == len(judge["changes"]) == done.table("elo_pairs", "1").height
    assert judge["changes"][0]["after"] is None
    assert "allowed are 1)" in judge["changes"][0]["why"]


# ------------------------------------------------------------------------------------------------------ failures


@pytest.mark.slow
def test_conversations_of_the_users_own(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sampled from as turns, judged as one text, trained on as turns; all of it follows from its ancestors."""
    turns = [[*GREETING, {"role": "user", "content": f"Write {letters} in upper case."}] for letters in ("w s", "v k")]
    rows = [{"messages": each} for each in turns] + [{"prompt": f"Write {x} in upper case."} for x in "abcdefgh"]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = ("sft=null", "prompts.source=mine.jsonl", "prompts.count=null", "iterations.all.judge_training=false")
    world = new_world(patch, tmp_path, *sets, "prompts.disjoint=false", "iterations.all.prompts=10")
    patch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: ScoringSampler(folder, policy))
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    assets = tuple(LOOP.per("iteration"))[: tuple(LOOP.per("iteration")).index("checkpoints")]
    world.make(Step("iteration", assets, "1"))
    assert [p for p in world.table("prompts", "1")["turns"].to_list() if p] in (turns, turns[::-1])
    trained = world.table("dpo_dataset", "1")["prompt"].to_list()
    assert {len(prompt) for prompt in trained} <= {1, 3}
    assert list(verify(world.run, ["1"])) == []


GERMAN_JUDGE = "Frage: {prompt}\nAntwort: {response}\nBewerte von 1 bis 10. Punktzahl: <Zahl>"
GERMAN_META_JUDGE = (
    "Frage: {prompt}\nAntwort: {response}\nUrteil A: {judgment_a}\nUrteil B: {judgment_b}\nSieger: Urteil A | Urteil B"
)


@pytest.mark.slow
def test_without_eft_and_with_judges_of_another_language(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """sft: null: no EFT data is named, M_0 is the seed model. Its scores go from 1 to 10, and all goes by that scale.

    Whatever is made follows from its ancestors, and the page draws the scale.
    """
    (tmp_path / "mine.txt").write_text("".join(f"Was ist {n} + {n}?\n" for n in range(10)))
    (tmp_path / "judge.txt").write_text(GERMAN_JUDGE)
    (tmp_path / "meta.txt").write_text(GERMAN_META_JUDGE)
    sets = ["sft=null", "eft={source: null}", "prompts.source=mine.txt", "prompts.count=null", "world=null"]
    sets += ["evaluation=null", "judgments.template=judge.txt", "judgments.score_words=Punktzahl"]
    sets += ["judgments.lowest_score=1", "judgments.highest_score=10", "meta_judgments.template=meta.txt"]
    sets += ["meta_judgments.winner_words=Sieger", "meta_judgments.first_name=Urteil A"]
    sets += ["meta_judgments.second_name=Urteil B", "guardrails.score_reliability_at_least={warn: 0.7, stop: null}"]
    world = new_world(patch, tmp_path, *sets)
    patch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: GermanSampler(folder, policy))
    check_run(world.run)
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    assets = tuple(LOOP.per("iteration"))[: tuple(LOOP.per("iteration")).index("checkpoints")]
    world.make(Step("iteration", assets, "1"))
    scores = world.table("judgments", "1")["score"]
    assert scores.null_count() == 0 and set(scores) <= set(range(1, 11)) and max(scores) > 5
    record = world.run.record("judgments", "1")
    assert record is not None
    assert record.numbers["share of top scores"] == pytest.approx((scores == 10).mean())
    assert set(world.table("meta_judgments", "1")["winner"].drop_nulls()) == {"first", "second"}
    kinds = world.table("dpo_dataset", "1")["kind"]
    assert {*kinds} == {"actor", "judge"}
    assert list(verify(world.run, ["1"])) == []
    assert trace(world.run, world.table("actor_pairs", "1")["pair_id"][0]).rounds[0].scale == (1, 10)


class SilentSampler(WorldSampler):
    """An engine that leaves out the score or the winner of one judgment or meta-judgment in three."""

    def say(self, message: str) -> str:
        said = super().say(message)
        label = next((label for label in ("Score:", "Winner:") if label in said), None)
        return said if label is None or self.random.random() > 1 / 3 else said[: said.rindex(label)].rstrip()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["asked_again", "expectation"])
def test_lines_are_asked_for_again(patch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    """Row 29: every judgment has a score and every battle a winner. What was sampled stays, the line is behind it.

    An expectation is 0.5 here, wherever it is taken: half a chance for 0 and for 1. All follows from its ancestors.
    """
    sets = ["sft=null", f"judgments.score_line={how}", "meta_judgments.winner_line=asked_again"]
    names = [name for name in Guardrails.model_fields if name != "min_count"]
    open_bounds = [f"guardrails.{name}={{warn: null, stop: null}}" for name in names]
    world = new_world(patch, tmp_path, *sets, *open_bounds)
    patch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: SilentSampler(folder, policy))
    assert world.materialize(Step("once", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None)).success
    assets = ["prompts", "policy", "responses", "judgments"]
    result = world.materialize(Step("iteration", tuple(assets), "1"))
    assert result.success, messages(result)
    made = world.table("judgments", "1")
    silent, spoken = made.filter(pl.col("invalid") == "no_score"), made.filter(pl.col("invalid").is_null())
    assert silent.height + spoken.height == made.height and min(silent.height, spoken.height) > 10
    if how == "expectation":
        assert set(made["score"]) == {0.5}
        assert silent["judgment"].str.ends_with("\nScore: 0").all()
    else:
        given = silent["judgment"].str.extract(r"\nScore: (\d)$").cast(pl.Float64)
        assert given.equals(silent["score"], check_names=False) and given.n_unique() > 1
        assert spoken.select(parse=pl.col("judgment").str.extract(r"Score: (\d)").cast(pl.Float64) == pl.col("score"))[
            "parse"
        ].all()
    encode = ChatEncoder.load(PROJECT / "data" / "seeds" / "small-world")
    decoded = [encode.tokenizer.decode(ids, skip_special_tokens=True) for ids in silent["token_ids"]]
    assert decoded == silent["judgment"].to_list()
    assert {ids[-1] for ids in silent["token_ids"]} == {encode.end_id}
    record = world.run.record("judgments", "1")
    assert record is not None and record.numbers["score asked again"] == silent.height
    assert record.numbers["parse rate"] == 1
    assert (result := world.materialize(Step("evaluation", ("evaluation",), "seed"))).success, messages(result)
    [evaluated] = world.table("evaluation", "seed").rows(named=True)
    if how == "expectation":  # 0.5 is nearest to 0, as to 1: to the even one
        assert evaluated["judge_exact"] == pytest.approx(1 / 6)
    if how == "asked_again":
        rest = ("actor_pairs", "selected_responses", "meta_judgments", "battle_matrices", "elo_pairs", "dpo_dataset")
        assert (result := world.materialize(Step("pairs", rest, "1"))).success, messages(result)
        battles = world.table("meta_judgments", "1").filter(pl.col("meta_judgment").is_not_null())
        assert battles["winner"].null_count() == 0
        assert battles.filter(pl.col("invalid") == "no_winner").height > 0
    assert list(verify(world.run, ["1"])) == []


class GermanSampler(WorldSampler):
    """An engine that judges in German, by chance."""

    def say(self, message: str) -> str:
        if "Sieger: Urteil" in message:
            return f"Sieger: Urteil {self.random.choice('AB')}"
        return f"Punktzahl: {self.random.randint(1, 10)}" if "Punktzahl:" in message else f"{self.random.random()}"


class ScoringSampler(WorldSampler):
    """An engine that answers anything with a number by chance, and judges an answer by that number."""

    def say(self, message: str) -> str:
        if judged := judge_template().unfill(message):
            return f"Score: {judged['response'][-1]}"
        return f"I think, {self.random.randint(0, 5)}"


GREETING = ({"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello. What can I do?"})


@pytest.mark.parametrize("how", ["deleted", "cut short", "bits flipped", "dropped deleted", "weights deleted"])
def test_what_lost_a_file_is_missing(done: World, tmp_path: Path, how: str) -> None:
    """A copy of a finished run is complete; with a file lost or spoilt the artifact is missing, and is to be made."""
    copied(done.run.data, tmp_path / "data")
    run = tiny_run(tmp_path / "data")
    assert list(steps(run)) == []
    place = ("checkpoints", "2") if "weights" in how else ("actor_pairs", "2")
    record, path = run.record(*place), run.path(*place)
    assert record is not None
    match how:
        case "deleted":
            path.unlink()
        case "cut short":
            path.write_bytes(path.read_bytes()[:-10])
        case "bits flipped":
            flip(path)
        case "dropped deleted":
            next(path.parent / name for name in record.files if name != path.name).unlink()
        case "weights deleted":
            next(path.glob("*.safetensors")).unlink()
    assert state(run, *place) == "missing"
    [step] = [step for step, certain in plan(run) if certain]
    assert place[0] in step.assets


@pytest.mark.slow
def test_what_lost_a_file_is_made_again(done: World, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pairs and weights, in one step, with what follows from the pairs; they are as they were."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    places = [("actor_pairs", "2"), ("checkpoints", "2")]
    before = [world.run.record(*place) for place in places]
    world.run.path(*places[0]).unlink()
    next(world.run.path(*places[1]).glob("*.safetensors")).unlink()
    made = [step for step in steps(world.run) if world.materialize(step).success]
    assert [step.assets for step in made] == [("actor_pairs", "dpo_dataset", "checkpoints")]
    for place, record in zip(places, before, strict=True):
        assert (state(world.run, *place), world.run.record(*place).version) == ("done", record.version)  # type: ignore[union-attr]


def flip(path: Path) -> None:
    """Turn the bits of the byte in the middle of a file; its size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(("spoilt", "consumer"), [("judgments", "actor_pairs"), ("dpo_dataset", "checkpoints")])
def test_a_table_whose_bits_flipped_on_the_disk_is_not_used(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path, spoilt: str, consumer: str
) -> None:
    """Size and time are as they were, so that a look does not show it: the content is read before it is used."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    path = world.run.path(spoilt, "2")
    before = path.stat()
    table = pl.read_parquet(path)
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state(world.run, spoilt, "2") == "done"
    with pytest.MonkeyPatch.context() as blind:
        blind.setattr("mr_assets.wiring.checks.tables_of", lambda run, t: {spoilt: table})  # its checks see nothing
        [said, *_] = messages(world.materialize(Step("use", (consumer,), "2")))
    assert f"{spoilt} of iteration 2 is damaged" in said
    assert world.jobs == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_renamed_run_follows_from_its_ancestors(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    """Nothing to do, and no fault; its next model is trained from its own folder."""
    copied(done.run.data, tmp_path / "data")
    tiny = tmp_path / "data" / "tiny"
    tiny.rename(tiny.with_name("other")) if how == "renamed" else shutil.copytree(tiny, tiny.with_name("other"))
    world = new_world(patch, tmp_path / "data")
    world.run = replace(world.run, name="other", launched_family=world.run.family)
    assert list(steps(world.run)) == []
    assert list(verify(world.run)) == []
    world.run.path("checkpoints", "2").joinpath("complete.json").unlink()
    world.make(Step("train", ("checkpoints",), "2"))
    assert world.jobs[0].model == world.run.path("checkpoints", "1")


@pytest.mark.slow
def test_a_failed_check_is_in_the_record(done: World, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Judgments that say nothing replace good ones: they have failed, and nothing follows until they are mended."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data", FEW, HARM)
    with pytest.MonkeyPatch.context() as bad:
        bad.setattr(sampling, "open_engine", lambda *of, **_: silent(world.open_engine(*of), 3))
        assert not world.materialize(Step("again", FROM_JUDGMENTS, "2")).success
    assert state(world.run, "judgments", "2") == "failed"
    [finding] = status.failed_checks(world.run)["judgments", "2"]
    assert (finding.name, finding.level) == ("parse_rate", "harmful")
    assert finding.said in status.refused(world.run, "judgments", "2")
    with pytest.raises(UserError, match="judgments of iteration 2 failed"):
        list(steps(world.run))
    patch.setattr(sampling, "open_engine", world.open_engine)
    assert world.materialize(Step("mended", ("judgments",), "2")).success
    for step in steps(world.run):
        assert world.materialize(step).success
    assert status.failed_checks(world.run) == {}


@pytest.mark.slow
def test_a_backfills_run_is_of_its_iteration(patch: pytest.MonkeyPatch, tmp_path: Path, done: World) -> None:
    """Such a run has a range of one key in its tags, and no partition key: it makes the same tables, and records."""
    copied(done.run.data, tmp_path / "data")
    world = new_world(patch, tmp_path / "data")
    for asset in LOOP.per("iteration"):
        world.run.record_path(asset, "2").unlink()
    tags = {ASSET_PARTITION_RANGE_START_TAG: "2", ASSET_PARTITION_RANGE_END_TAG: "2"}
    world.make(Step("backfill", LOOP.per("iteration"), None), tags)
    for asset in LOOP.per("iteration"):
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


# ----------------------------------------------------------------------------------------- weights that are not whole


def flip_bits(path: Path) -> None:
    """Change one byte in the middle; size and time of writing stay."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    put(path, content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut_short(path: Path) -> None:
    put(path, path.read_bytes()[:-1])


def copied_world(done: World, patch: pytest.MonkeyPatch, folder: Path) -> World:
    """A copy of the finished run, which may be changed."""
    copied(done.run.data, folder)
    return new_world(patch, folder)


@pytest.mark.parametrize("harm", [flip_bits, cut_short, Path.unlink])
@pytest.mark.parametrize(
    ("asset", "t", "model"),
    [
        ("policy", "2", "M1"),
        ("responses", "2", "M1"),
        ("checkpoints", "2", "M1"),
        ("evaluation", "1", "M1"),
        ("judgments", "1", "M0"),
    ],
)
def test_weights_are_checked_where_they_are_used(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path, asset: str, t: str, model: str, harm: Callable[[Path], None]
) -> None:
    """Refused with the folder and what to do; nothing is sampled, trained or recorded."""
    world = copied_world(done, patch, tmp_path / "data")
    folder = world.run.path("sft_checkpoint") if model == "M0" else world.run.path("checkpoints", "1")
    harm(folder / "model.safetensors")
    before = world.run.record_path(asset, t).read_bytes()
    said = messages(world.materialize(Step("again", (asset,), t)))
    assert len(said) == 1
    made = "sft_checkpoint" if model == "M0" else "checkpoints of iteration 1"
    assert str(folder) in said[0]
    if "is not complete" not in said[0]:  # sizes are looked at first, where the record of the model is read
        assert f"{model} is damaged" in said[0]
        assert "Expected the fingerprint" in said[0]
        assert f"materialize {made} again" in said[0]
    assert (world.opened, world.jobs) == ([], [])
    assert world.run.record_path(asset, t).read_bytes() == before


@pytest.mark.slow
def test_the_seed_model_is_checked_against_what_was_trained_from_it(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its evaluation would be of another model than M0 comes from."""
    seed = tmp_path / "seed"
    shutil.copytree(PROJECT / "data" / "seeds" / "small-world", seed)
    world = new_world(patch, tmp_path / "data", f"model.seed={seed}")
    assert world.materialize(Step("once", ("eft_dataset", "sft_checkpoint"), None)).success
    assert world.materialize(Step("evaluation", ("evaluation",), "seed")).success
    opened = len(world.opened)
    flip_bits(seed / "model.safetensors")
    said = messages(world.materialize(Step("evaluation", ("evaluation",), "seed")))
    assert f"seed is damaged: {seed} is not what was recorded" in said[0]
    assert len(world.opened) == opened


@pytest.mark.slow
def test_what_an_open_engine_has_loaded_is_not_read_again(
    done: World, patch: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Assets that share an engine hash its policy once; the trainer loads from the disk, so it has it read again."""
    world = copied_world(done, patch, tmp_path / "data")
    folder, record = world.run.path("checkpoints", "1"), world.run.record("policy", "2")
    assert record is not None
    flip_bits(folder / "model.safetensors")
    monkeypatch.setattr("mr_assets.wiring.sampling.is_open", lambda *opened: opened == (folder, record.version))
    world.make(Step("again", ("responses",), "2"))
    said = messages(world.materialize(Step("again", ("checkpoints",), "2")))
    assert "M1 is damaged" in said[0]
    assert world.jobs == []


@pytest.mark.slow
def test_a_branch_goes_on_from_what_it_shares(done: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Iteration 2 again with the same settings gives what the whole run has; the UI knows what is shared."""
    copied(done.run.data, tmp_path / "data")
    made = branch(replace(done.run, data=tmp_path / "data"), "branched", 2)
    world = in_force(monkeypatch, World(made, done.instance))
    tell_shared(made, shared(made, 2), "tiny", done.instance)
    assert world.metadata("actor_pairs", "1")["shared with"] == "tiny"
    for step in steps(made):
        assert step.partition == "2"
        world.make(step)
    assert list(verify(made)) == []
    for asset in LOOP.per("iteration"):
        record, whole = made.record(asset, "2"), done.run.record(asset, "2")
        assert record and whole and record.version == whole.version
