"""The steps of a run: what is to do, in order, its Dagster run, and what is said when a step fails."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.events import JobFailureData
from dagster_shared.error import SerializableErrorInfo

from mr_assets.dagster_internals import RunFailureReason
from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.orchestration.steps import Step, failures, launch, pending, plan, steps
from mr_assets.processes import MARK, TAG, Worker
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import HELD, save, stored_runs
from mr_assets.tables import JUDGMENTS, RESPONSES, SEED_PROMPTS
from mr_assets.wiring.partitions import POOL
from mr_assets_tests.tiny import NAME, complete, tiny_recipe, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

ONCE = Step("one-off assets", LOOP.of(tiny_recipe()).per("family"), None)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run without evaluation, as it was launched."""
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    run = tiny_run(tmp_path, "evaluation=null")
    save(run)
    return run


def do(run: Run, step: Step) -> None:
    """Complete a step's assets."""
    for asset in step.assets:
        complete(run, asset, step.partition)


# --------------------------------------------------------------------------------------------------------- steps


def test_steps_go_iteration_by_iteration(run: Run) -> None:
    """Each is found when the one before it has ended."""
    done = []
    for step in steps(run):
        do(run, step)
        done.append(step)
    assert done == [
        ONCE,
        Step("iteration 1 of 2", LOOP.per("iteration"), "1"),
        Step("iteration 2 of 2", LOOP.per("iteration"), "2"),
    ]
    assert list(steps(run)) == []


def test_each_model_is_evaluated_as_soon_as_it_is_there(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    titles = []
    for step in steps(run):
        do(run, step)
        titles.append(step.title)
    assert titles == [
        "one-off assets",
        "evaluation of seed",
        "evaluation of M0",
        "iteration 1 of 2",
        "evaluation of M1",
        "iteration 2 of 2",
        "evaluation of M2",
    ]


def test_what_is_complete_is_not_done_again(run: Run) -> None:
    """Stopped after the judgments of iteration 1: the next step is what follows from there."""
    do(run, ONCE)
    for asset in ("policy", "prompts", "responses", "judgments"):
        complete(run, asset, "1")
    rest = tuple(a for a in LOOP.per("iteration") if a not in ("policy", "prompts", "responses", "judgments"))
    assert next(steps(run)) == Step("iteration 1 of 2", rest, "1")


def test_what_follows_from_an_asset_to_do_is_to_do(run: Run) -> None:
    """The judgments of iteration 1 are gone: with them go all that is made of them, but not prompts and responses."""
    for step in steps(run):
        do(run, step)
    run.record_path("judgments", "1").unlink()
    due = pending(run, LOOP.per("iteration"), "1")
    assert due == [a for a in LOOP.per("iteration") if a not in ("policy", "prompts", "responses")]


def test_a_step_that_changed_nothing_ends_the_matter(run: Run) -> None:
    """The judgments are made again and are the same: iteration 2 is still done."""
    for step in steps(run):
        do(run, step)
    run.record_path("judgments", "1").unlink()
    redone = []
    for step in steps(run):
        do(run, step)
        redone.append(step.title)
    assert redone == ["iteration 1 of 2"]


def failed(run: Run) -> None:
    """Judgments of iteration 1 of which one in a hundred gives a score, and nothing after them."""
    run = replace(run, origin=(NAME, "seed=3"))
    do(run, ONCE)
    for asset in ("policy", "prompts", "responses", "judgments"):
        record = complete(run, asset, "1")
    measured = {"value": 0.0104, "rows": 480, "came": "1.04%: 5 of 480, the others 475 no_score", "numbers": {}}
    write_record(run.record_path("judgments", "1"), replace(record, checks={"parse_rate": measured}))


@pytest.mark.parametrize("through", [steps, plan])
def test_nothing_is_made_of_what_failed_its_check(run: Run, through: Callable[[Run], Iterable[object]]) -> None:
    """However often it is asked: check, figure, cause, and the two ways on."""
    failed(run)
    with pytest.raises(UserError) as refused:
        list(through(replace(run, origin=(NAME, "seed=3"))))
    said = " ".join(str(refused.value).split())
    assert "judgments of iteration 1 failed" in said
    assert "check parse_rate: Expected at least 90% of judgments to give a score" in said
    assert "came 1.04%: 5 of 480, the others 475 no_score." in said
    assert "materialize judgments of iteration 1 again" in said
    command = f"mr run {NAME} --name tiny --set seed=3 --iterations 2 --set"
    assert f"{command} guardrails.judgment_parse_rate_at_least.stop=... --update" in said


def test_with_its_cause_mended_or_its_bound_changed_a_run_goes_on(run: Run) -> None:
    failed(run)
    rest = tuple(a for a in LOOP.per("iteration") if a not in ("policy", "prompts", "responses", "judgments"))
    lower = tiny_run(run.data, "evaluation=null", "guardrails.judgment_parse_rate_at_least={warn: null, stop: null}")
    assert next(steps(lower)) == Step("iteration 1 of 2", rest, "1")
    complete(run, "responses", "1", version="v2")
    assert next(steps(run)) == Step("iteration 1 of 2", ("judgments", *rest), "1")
    complete(run, "judgments", "1", version="v2")
    assert next(steps(run)) == Step("iteration 1 of 2", rest, "1")


def test_a_complete_run_with_a_failed_check_is_not_complete(run: Run) -> None:
    for step in steps(run):
        do(run, step)
    assert list(steps(run)) == []
    failed(run)
    with pytest.raises(UserError, match="parse_rate"):
        next(steps(run))


# ----------------------------------------------------------------------------------------------------------- plans


def test_a_plan_lists_every_step(run: Run) -> None:
    """What is not there is certain; what is there comes again if what it is made of comes out otherwise."""
    first, second = (Step(f"iteration {t} of 2", LOOP.per("iteration"), t) for t in "12")
    assert plan(run) == [(ONCE, True), (first, True), (second, True)]
    for step in (ONCE, first, second):
        do(run, step)
    assert plan(run) == []
    run.path("actor_pairs", "1").unlink()
    again = Step("iteration 1 of 2", ("actor_pairs", "dpo_dataset", "checkpoints"), "1")
    after = Step("iteration 2 of 2", tuple(a for a in LOOP.per("iteration") if a != "prompts"), "2")
    assert plan(run) == [(again, True), (after, False)]
    assert next(steps(run)) == again


# ------------------------------------------------------------------------------------------------------- failures


def failure(run: Run, step: Step) -> str:
    """What `mr run` shows of a step that fails."""
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(UserError) as error:
        launch(run, step, instance)
    return str(error.value)


def test_a_step_through_the_job_of_the_ui(run: Run) -> None:
    """The seed prompts of the small world, with tags that say what they were made for."""
    with dg.DagsterInstance.ephemeral() as instance:
        launch(run, Step("seeds", ("seed_prompts",), None), instance)
        (record,) = instance.get_run_records()
    assert record.dagster_run.tags["mr/run"] == "tiny"
    assert state(run, "seed_prompts") == "done"
    assert pl.read_parquet(run.path("seed_prompts")).height == 24


def test_a_dagster_run_keeps_the_recipe_that_it_began_with(run: Run) -> None:
    """The stored one is changed by hand meanwhile: this process goes by its own, and so do those that it starts."""
    do(run, ONCE)
    save(tiny_run(run.data, "evaluation=null", "iterations.1.prompts=3"))
    SEED_PROMPTS.empty().vstack(
        pl.DataFrame({"prompt_id": [str(n) for n in range(24)], "prompt": [str(n) for n in range(24)]})
    ).write_parquet(run.path("seed_prompts"))
    with dg.DagsterInstance.ephemeral() as instance:
        launch(run, Step("prompts", ("prompts",), "1"), instance)
    assert pl.read_parquet(run.path("prompts", "1")).height == 5
    assert len(stored_runs(run.data)["tiny"].recipe.iterations) == 2
    assert stored_runs(run.data)["tiny"].recipe.row(1).prompts == 3
    assert HELD not in os.environ


@pytest.mark.slow
def test_a_failed_step_says_what_and_where(run: Run) -> None:
    """The asset, its message, and what to do; no traceback."""
    said = failure(run, Step("iteration 2 of 2", ("policy",), "2"))
    assert said.startswith("iteration 2 of 2 failed in Dagster run ")
    assert "\npolicy: tiny/checkpoints of iteration 1 is not complete" in said
    assert said.endswith("What was complete is kept; the same command goes on from there.")
    assert "Stack Trace" not in said


def test_what_ended_a_dagster_run_is_told_if_no_step_failed() -> None:
    """As when the cluster is gone that its steps were handed to. Of a cause, the innermost."""
    cause = SerializableErrorInfo("no answer of the head\n", [], "ConnectionError")
    error = SerializableErrorInfo("the executor ended\n", [], "RuntimeError", cause=cause)
    by_the_daemon = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "a job", message="it ended")
    assert failures([ended_by(error), by_the_daemon]) == ["no answer of the head\n", "it ended"]


def ended_by(error: SerializableErrorInfo) -> dg.DagsterEvent:
    data = JobFailureData(error, RunFailureReason.RUN_EXCEPTION)
    return dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "a job", message="it ended", event_specific_data=data)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_step_is_no_failure(run: Run, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For Dagster it failed; the command ends as Ctrl-C ends any other."""

    def stopped(frame: pl.DataFrame, path: object, **options: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(pl.DataFrame, "write_parquet", stopped)
    try:
        with dg.DagsterInstance.ephemeral() as instance, pytest.raises(KeyboardInterrupt):
            launch(run, Step("seeds", ("seed_prompts",), None), instance)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert state(run, "seed_prompts") == "missing"
    assert MARK not in os.environ


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_said_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is the table that cannot be written, after the asset's own code."""
    write = pl.DataFrame.write_parquet
    monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda frame, path, **options: write(frame, "/dev/full"))
    said = failure(run, Step("seeds", ("seed_prompts",), None))
    assert "\nseed_prompts: no space left on disk while writing " in said
    assert "Stack Trace" not in said
    assert state(run, "seed_prompts") == "missing"


def test_a_table_of_another_version_is_said_without_a_traceback(run: Run) -> None:
    complete(run, "seed_prompts")
    pl.DataFrame({"text": ["a"]}).write_parquet(run.path("seed_prompts"))
    said = failure(run, Step("prompts", ("prompts",), "1"))
    assert "Materialize seed_prompts again with this version." in said
    assert "Stack Trace" not in said


@pytest.mark.slow
def test_what_dagster_runs_say_while_they_work(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """One readable line per message of an asset, with the time; Dagster's own events are not among them."""
    for table in (RESPONSES, JUDGMENTS):
        complete(run, table.name, "2")
        table.empty().write_parquet(run.path(table.name, "2"))
    with dg.DagsterInstance.ephemeral() as instance:
        launch(run, Step("judge", ("selected_responses",), "2"), instance)
    said = capfd.readouterr().err
    lines = [line for line in said.splitlines() if "trains no judge" in line]
    assert len(lines) == 1
    assert re.fullmatch(r"\d\d:\d\d:\d\d  selected_responses: Iteration 2 trains no judge: .*", lines[0])
    assert "STEP_START" not in said


# ---------------------------------------------------------------------------------------- what the UI must know of it


def test_a_dagster_run_bears_its_process_and_where_it_comes_from(run: Run) -> None:
    """The first lets its death be seen, the second lets the UI re-execute it; its pool makes others wait."""
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(UserError):
            launch(run, Step("iteration 2 of 2", ("policy", "responses"), "2"), instance)
        (record,) = instance.get_run_records()
    dagster_run = record.dagster_run
    assert dagster_run.tags[TAG] == Worker.of(os.getpid()).tag(dagster_run.run_id)
    assert dagster_run.remote_job_origin is not None
    assert dagster_run.remote_job_origin.location_name == "mr_assets.definitions"
    assert dagster_run.run_op_concurrency is not None
    assert dagster_run.run_op_concurrency.all_pools == {POOL}
    assert MARK not in os.environ
