"""Guardrails as Dagster's checks: severity, numbers, and what to do."""

from typing import Any

import dagster as dg
import polars as pl
import pytest

from mr_assets.runs.run import Run
from mr_assets_tests.wiring.conftest import table, work


def checks(made: dg.MaterializeResult[Any]) -> dict[str | None, dg.AssetCheckResult]:
    return {found.check_name: found for found in made.check_results or ()}


def test_the_checks_of_a_table(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A repeated id fails with severity ERROR, its numbers and what to do, and is an error in the run's log."""
    seeds = pl.DataFrame({"prompt_id": ["p0"]})
    rows = pl.concat([table("a"), table("a")])
    found = checks(work(run, "prompts").table(rows, {}, beside={"seed_prompts": seeds}))
    assert {name: result.passed for name, result in found.items()} == {
        "not_empty": True,
        "duplicate_ids": False,
        "orphan_ids": True,
    }
    twice = found["duplicate_ids"]
    assert twice.severity == dg.AssetCheckSeverity.ERROR
    assert {k: v.value for k, v in twice.metadata.items()} == {
        "repeated ids": 1,
        "rows": 2,
        "value": 0.5,
        "warns at": 0.0,
        "stops at": 0.0,
    }
    said = "Expected at most 0% of rows to repeat an id, came 50%: 1 of 2."
    assert (twice.description or "").startswith(said)
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.message.startswith(f"check duplicate_ids of prompts: {said}")


def test_the_checks_of_what_is_empty_by_declaration(run: Run) -> None:
    """They pass, and say why."""
    found = checks(work(run, "elo_pairs", "2").nothing())
    assert set(found) == {"not_empty", "duplicate_ids", "orphan_ids", "pair_yield", "chosen_length"}
    for result in found.values():
        assert (result.passed, result.description) == (True, "Empty: this iteration trains the actor alone.")
