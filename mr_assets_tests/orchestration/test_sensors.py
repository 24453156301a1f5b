"""Hands-off: what the sensor asks for next, and when it asks for nothing."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test

from mr_assets.dagster_internals import IMPLICIT_ASSET_JOB_NAME, BulkActionStatus
from mr_assets.definitions import build_definitions
from mr_assets.loop import LOOP
from mr_assets.orchestration.code_server import MODULE
from mr_assets.orchestration.sensors import hands_off, next_request
from mr_assets.orchestration.steps import Step, asset_keys, origin, step_tags, steps
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete, tiny_recipe, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

ONCE = Step("one-off assets", LOOP.of(tiny_recipe()).per("family"), None)
FIRST, SECOND = (Step(f"iteration {t} of 2", LOOP.per("iteration"), t) for t in "12")
Status = dg.DagsterRunStatus
CODE = JobPythonOrigin(
    IMPLICIT_ASSET_JOB_NAME, RepositoryPythonOrigin(sys.executable, ModuleCodePointer(MODULE, "defs"))
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path, "evaluation=null")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def do(run: Run, step: Step) -> None:
    for asset in step.assets:
        complete(run, asset, step.partition)


def dagster_run_of(run: Run, step: Step, instance: dg.DagsterInstance, status: Status, **tags: str) -> dg.DagsterRun:
    """A Dagster run of a step, with a sensor's tags or with those given."""
    keys = frozenset(asset_keys(run, step))
    return create_run_for_test(
        instance,
        status=status,
        asset_selection=keys,
        tags=tags or step_tags(run, step),
        remote_job_origin=origin(),
        job_code_origin=CODE,
    )


def skipped(run: Run, instance: dg.DagsterInstance) -> str:
    """What the sensor says when it asks for nothing."""
    answer = next_request(run, instance)
    assert isinstance(answer, dg.SkipReason)
    return answer.skip_message or ""


def requested(run: Run, instance: dg.DagsterInstance) -> Step:
    """The step that it asks for."""
    answer = next_request(run, instance)
    assert isinstance(answer, dg.RunRequest)
    assert answer.asset_selection
    names = tuple(key.path[-1] for key in answer.asset_selection)
    assert [key.path[0] for key in answer.asset_selection] == [run.namespace(name) for name in names]
    return Step(answer.tags["mr/step"], names, answer.partition_key)


def test_it_goes_from_nothing_to_the_last_iteration(run: Run, instance: dg.DagsterInstance) -> None:
    """The one-off assets, then each iteration when the one before is complete; then it stops."""
    for expected in (ONCE, FIRST, SECOND):
        assert requested(run, instance) == expected
        do(run, expected)
    assert skipped(run, instance) == "tiny is complete: 2 of 2 iterations."


def test_models_are_evaluated_on_the_way(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """What `mr run` does, in the same order."""
    run = tiny_run(tmp_path)
    for expected in steps(run):
        assert requested(run, instance) == expected
        do(run, expected)


@pytest.mark.parametrize(
    "status", [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
)
@pytest.mark.parametrize("tag", ["dagster/partition", "dagster/asset_partition_range_start"])
def test_it_waits_while_anything_of_the_run_is_under_way(
    run: Run, instance: dg.DagsterInstance, status: Status, tag: str
) -> None:
    """Under either kind of tag, whoever asked for it, whichever iteration it is."""
    do(run, ONCE)
    other = dagster_run_of(run, SECOND, instance, status, **{tag: "2"})
    said = skipped(run, instance)
    assert other.run_id in said and "iteration 2 is being made" in said


def test_it_waits_for_a_backfill_that_has_no_runs_yet(run: Run, instance: dg.DagsterInstance) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id="shuffled",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=asset_keys(run, FIRST),
            partition_names=["1", "2"],
        )
    )
    assert skipped(run, instance) == "tiny: backfill shuffled is in progress."


def test_another_run_is_none_of_its_business(run: Run, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """But what is shared with it is."""
    other = Run("other", run.recipe, tmp_path)
    dagster_run_of(other, FIRST, instance, Status.STARTED)
    assert requested(run, instance) == ONCE
    dagster_run_of(other, ONCE, instance, Status.STARTED)
    assert "what is made once is being made" in skipped(run, instance)


@pytest.mark.parametrize(("status", "how"), [(Status.FAILURE, "failed"), (Status.CANCELED, "was cancelled")])
def test_what_failed_is_left_to_the_person(run: Run, instance: dg.DagsterInstance, status: Status, how: str) -> None:
    """It says which run and which button; when that has been done it goes on."""
    do(run, ONCE)
    failed = dagster_run_of(run, FIRST, instance, status)
    said = skipped(run, instance)
    assert f"tiny, iteration 1 of 2 {how} in Dagster run {failed.run_id}" in said
    assert "Re-execute > From failure" in said
    dagster_run_of(run, FIRST, instance, Status.SUCCESS, **{"dagster/partition": "1"})
    do(run, FIRST)
    assert requested(run, instance) == SECOND


def test_what_failed_for_want_of_its_input_is_tried_again(run: Run, instance: dg.DagsterInstance) -> None:
    """A backfill's iteration 2 failed as 1 had: once M1 is there the sensor goes on with 2 by itself."""
    do(run, ONCE)
    dagster_run_of(run, SECOND, instance, Status.FAILURE)
    do(run, FIRST)
    assert "iteration 2 of 2 failed" in skipped(run, instance)
    later = replace(complete(run, "checkpoints", "1"), created="2100-01-01T00:00:00+00:00")
    write_record(run.record_path("checkpoints", "1"), later)
    assert requested(run, instance) == SECOND


def test_a_failure_of_another_iteration_is_no_hindrance(run: Run, instance: dg.DagsterInstance) -> None:
    do(run, ONCE)
    dagster_run_of(run, SECOND, instance, Status.FAILURE)
    assert requested(run, instance) == FIRST


def test_a_step_that_was_done_in_vain_is_not_done_for_ever(run: Run, instance: dg.DagsterInstance) -> None:
    """Made with success, and yet not complete: it says so instead of asking again and again."""
    do(run, ONCE)
    once = dagster_run_of(run, FIRST, instance, Status.SUCCESS)
    said = skipped(run, instance)
    assert once.run_id in said and "yet is not up to date" in said


def test_a_failed_check_is_a_hindrance_in_words(run: Run, instance: dg.DagsterInstance) -> None:
    """Nothing that follows is asked for until the check passes; it names check and figure."""
    do(run, ONCE)
    for asset in LOOP.per("iteration")[: LOOP.per("iteration").index("actor_pairs")]:
        record = complete(run, asset, "1")
    measured = {"value": 0.0104, "rows": 480, "came": "1.04%: 5 of 480", "numbers": {}}
    write_record(run.record_path("judgments", "1"), replace(record, checks={"parse_rate": measured}))
    said = skipped(run, instance)
    assert "judgments of iteration 1 failed" in said
    assert "parse_rate" in said and "1.04%" in said
    complete(run, "judgments", "1")
    assert requested(run, instance).partition == "1"


def test_it_ships_switched_off(run: Run, instance: dg.DagsterInstance) -> None:
    """And its requests are ones that Dagster takes, of the job that *Materialize* starts."""
    sensor = hands_off(run)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    definitions = build_definitions([run])
    with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
        ticked = sensor.evaluate_tick(context)
    assert ticked.run_requests
    assert [r.job_name for r in ticked.run_requests] == [IMPLICIT_ASSET_JOB_NAME]
