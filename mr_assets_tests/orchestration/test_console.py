"""What a run prints while it works."""

import re

import dagster as dg
import pytest

from mr_assets.orchestration.console import console


def test_a_message_is_a_line_with_the_time_that_acts_on_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log = console.logger_fn(dg.build_init_logger_context())
    log.info("half of \x1b[2J is done")
    log.warning("slow")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  half of \\x1b\[2J is done", first)
    assert second.endswith("  warning: slow")


def test_what_was_not_begun_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Dagster logs each step downstream of one that failed or was stopped as an error."""
    log = console.logger_fn(dg.build_init_logger_context())
    log.error("Dependencies for step run__judgments failed: ['run__responses']. Not executing.")
    log.error("Step run__responses finished without success or failure event. Downstream steps will not execute.")
    assert capsys.readouterr().err == ""
