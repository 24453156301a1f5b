"""What an earlier run tells a plan, by the records and tables of runs made by hand and by fakes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.measured import Off, how_far_off, measured, seconds_so_far, work_of
from mr_assets.planning.plan import compared, make_plan, rates_of, seconds_of, verdict
from mr_assets.planning.shapes import KNOWN
from mr_assets.planning.stages import Sampling, Training, stages
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.tables import TABLES
from mr_assets_tests.tiny import complete, tiny_run

Put = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two iterations of 5 prompts, K = 4, N = 3; the first trains the judge."""
    return tiny_run(tmp_path)


@pytest.fixture
def put(run: Run) -> Put:
    """Puts an artifact there: how many tokens its rows have, the seconds that it took, and figures of its record."""

    def made(asset: str, t: str, lengths: list[int], seconds: float, **numbers: int) -> None:
        record = complete(run, asset, t)
        schema = TABLES[asset].schema
        columns: dict[str, Any] = dict.fromkeys(schema, [None] * len(lengths))
        columns |= {name: [list(range(n)) for n in lengths] for name in schema if name.endswith("token_ids")}
        pl.DataFrame(columns, schema).write_parquet(run.path(asset, t))
        counts = {name.replace("_", " "): n for name, n in numbers.items()}
        write_record(run.record_path(asset, t), replace(record, seconds=seconds, rows=len(lengths), numbers=counts))

    return made


def test_lengths_shares_and_rates(run: Run, put: Put, lengths: Lengths) -> None:
    """Responses of 10 and 20 tokens: 15 on average, and 30 in the second iteration: 20 over all three rows.

    Of 20 responses 15 were judged, and of 5 prompts 2 gave a pair. 5 prompts with 4 responses of 20 tokens in each of
    two iterations took 8 and 2 seconds: 80 tokens per second.
    """
    put("responses", "1", [10, 20], 8.0, requests=5)
    put("responses", "2", [30], 2.0, requests=5)
    put("judgments", "1", [7], 4.0, requests=15)
    put("actor_pairs", "1", [0, 0], 1.0)
    found = measured(run, lengths)
    assert (found.lengths.response, found.lengths.judgment) == (20, 7)
    assert found.lengths.meta_judgment == lengths.meta_judgment
    assert found.shares == {"judgments": 15 / 20, "actor_pairs": 2 / 5}
    assert found.rates == {"responses": 2 * 5 * 4 * 20 / 10, "judgments": 15 * 3 * 7 / 4}


def test_what_a_killed_run_sampled_took_no_time_here(run: Run, put: Put, lengths: Lengths) -> None:
    """Of 5 requests one was sampled in 2 seconds: 4 responses of 10 tokens. Such a stage is compared with nothing."""
    put("responses", "1", [10], 2.0, requests=5, requests_sampled_by_this_run=1)
    assert measured(run, lengths).rates == {"responses": 20}
    assert seconds_so_far(run) == {}
    put("responses", "2", [10], 3.0, requests=5, requests_sampled_by_this_run=5)
    assert seconds_so_far(run) == {("responses", "2"): 3.0}


def test_the_engines_start_is_no_part_of_a_rate(run: Run, put: Put, lengths: Lengths) -> None:
    """5 prompts with 4 responses of 10 tokens at 100 per second, whatever the asset took in all; and at 50: in between.

    200 tokens in 2 seconds and 200 in 4.
    """
    put("responses", "1", [10], 60.0, requests=5, tokens_per_second=100)
    assert measured(run, lengths).rates == {"responses": 100}
    put("responses", "2", [10], 60.0, requests=5, tokens_per_second=50)
    assert measured(run, lengths).rates["responses"] == pytest.approx(400 / 6)


def test_how_far_off_the_assumptions_were(run: Run, put: Put, lengths: Lengths) -> None:
    """Responses of 30 tokens in place of the assumed; 5 of 20 were judged; by the data sheet 400 tokens per second."""
    put("responses", "1", [30], 60.0, requests=5, tokens_per_second=100)
    put("judgments", "1", [7], 4.0, requests=5)
    found = {each.what: each for each in how_far_off(lengths, measured(run, lengths), {"responses": 400.0, "x": 1.0})}
    assert found["tokens of a response"] == Off("tokens of a response", lengths.response, 30)
    assert "tokens of a meta-judgment" not in found
    assert found["share of judgments"] == Off("share of judgments", 1.0, 5 / 20)
    assert found["tokens/s, responses"] == Off("tokens/s, responses", 400.0, 100.0)
    assert "tokens/s, x" not in found


def test_a_run_that_has_nothing_yet(run: Run, lengths: Lengths) -> None:
    with pytest.raises(UserError, match=r"--from tiny: it has no responses yet.*mr run"):
        measured(run, lengths)


def test_a_plan_at_the_rates_of_a_run(run: Run, put: Put, lengths: Lengths) -> None:
    """Twice the prompts take twice the time; of what has no rate the hours are not known, and that is said."""
    put("responses", "1", [10], 2.0, requests=5)
    found = measured(run, lengths)
    larger = tiny_run(run.data, "prompts.count=100", "iterations.all.prompts=10").recipe
    plan = make_plan("larger", larger, KNOWN["1b"], found.lengths, run.data, measured=found)
    (seconds, *_) = [row.seconds for row in plan.rows if row.stage.asset == "responses"]
    assert seconds == pytest.approx(4.0)
    assert plan.hours == pytest.approx(8.0 / 3600)
    assert rates_of(plan) == {"responses": pytest.approx(100)}
    assert "judgments" in plan.unknown and "responses" not in plan.unknown
    said = verdict(plan)
    assert said.startswith("larger on the machine of run tiny, at its rates. 2 iterations would take about")
    found = replace(found, on="a CPU")
    elsewhere = make_plan(
        "x", larger, KNOWN["1b"], found.lengths, run.data, GPUS["h200"], measured=found, measured_here=True
    )
    assert " minutes, at the rates of run tiny, which was made on a CPU. Most of it" in verdict(elsewhere)
    without = make_plan("x", larger, KNOWN["1b"], found.lengths, run.data, measured=replace(found, rates={}))
    assert verdict(without).startswith(
        "x: no GPU is named, and run tiny gives no rates, so that there are no hours. Add --gpu h200. The disk needs"
    )
    assert "Of sft_checkpoint, evaluation, judgments, meta_judgments, checkpoints no time is known" in said


def test_a_plan_is_held_against_what_a_run_took(run: Run, put: Put, lengths: Lengths) -> None:
    """Planned at 20 tokens per second: 10 seconds for 200 tokens, in each of two iterations that took 8 and 20."""
    put("responses", "1", [10], 10.0, requests=5)
    rates = measured(run, lengths)
    put("responses", "1", [10], 8.0, requests=5)
    put("responses", "2", [10], 20.0, requests=5)
    plan = make_plan("tiny", run.recipe, KNOWN["1b"], rates.lengths, run.data, measured=rates)
    (responses,) = compared(seconds_of(plan), seconds_so_far(run))
    assert (responses.asset, responses.took) == ("responses", 28.0)
    assert responses.planned == pytest.approx(20.0)


def test_every_stage_of_a_finished_run_is_measured(finished: Any, lengths: Lengths) -> None:
    """Real tables, by fakes: planned at its own rates, training takes what it took; sampling less, by all but that."""
    run = finished
    found = measured(run, lengths)
    lens = pl.concat([pl.read_parquet(run.path("judgments", t), columns=["token_ids"]) for t in run.iterations])
    assert found.lengths.judgment == pytest.approx(lens["token_ids"].list.len().mean())
    assert 0 < found.lengths.prompt < 60
    assert 0 < found.shares["meta_judgments"] <= 1 and 0 < found.shares["elo_pairs"] <= 1
    plan = make_plan("again", run.recipe, KNOWN["1b"], found.lengths, run.data, measured=found)
    assert plan.unknown == []
    for each in compared(seconds_of(plan), seconds_so_far(run)):
        sampled = each.asset in ("responses", "judgments", "meta_judgments")  # an evaluation notes no rate
        assert 0 < each.planned < each.took if sampled else each.planned == pytest.approx(each.took)
    assert all(work_of(row.stage) > 0 for row in plan.rows)


def test_counts_are_those_of_a_run_that_was_made(finished: Any, lengths: Lengths) -> None:
    """Of a tiny run, by its records: equal where the count is exact, no more where it is an upper bound."""
    run = finished
    exact = 0
    for stage in stages(run.recipe, lengths):
        numbers = run.record(stage.asset, stage.partition).numbers
        if isinstance(stage, Training):
            assert numbers["examples"] <= stage.examples
        elif stage.asset != "evaluation":  # whose record counts no requests
            assert numbers["requests"] <= stage.requests
            assert stage.at_most or numbers["requests"] == stage.requests
            exact += not stage.at_most
        else:
            assert isinstance(stage, Sampling)
            sizes = run.recipe.evaluation
            assert stage.requests == sizes.prompts + sizes.judged_responses + 2 * sizes.battles
    assert exact == len(run.iterations)
