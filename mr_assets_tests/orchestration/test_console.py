"""What a run prints while it works."""

import re
import time
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from mr_assets.orchestration import console as module
from mr_assets.orchestration.console import console, following


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


RUN = "5d1f0c09-aa72-4c1e-9f3c-0a6be1d24c7f"


def test_what_steps_log_elsewhere_is_printed_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Of another process's Dagster run: its steps' messages in order, without Dagster's own events, to the last one."""

    @dg.op
    def small_world__responses(context: dg.OpExecutionContext) -> None:
        context.log.info("1 of 2 requests")
        context.log.debug("not of interest")
        context.log.warning("slow")

    @dg.job
    def sampling() -> None:
        small_world__responses()

    with dg.DagsterInstance.ephemeral() as instance, following(RUN, instance):
        sampling.execute_in_process(instance=instance, run_id=RUN)
    lines = re.findall(r"^\d\d:\d\d:\d\d  (.*)$", capsys.readouterr().err, re.MULTILINE)  # beside Dagster's own
    assert lines == ["responses: 1 of 2 requests", "warning: responses: slow"]


def test_a_step_that_waits_for_a_node_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the process that leads the Dagster run has it in the history, once for each time; none of its other events."""
    events = [("responses", "waits for 8 GPUs"), ("prompts", "begins"), ("responses", "waits for 8 GPUs, for 2 min")]

    class History:
        """What has happened is told at the second look: the first one comes while the database restarts."""

        looks = 0

        def get_records_for_run(self, run_id: str, cursor: str | None) -> Any:
            assert run_id == RUN
            self.looks += 1
            if self.looks == 1:
                raise ConnectionError("server closed the connection")
            told = [] if cursor else [entry(f"small_world__{step}", message) for step, message in events]
            return SimpleNamespace(cursor="end", records=told)

    def entry(step: str, message: str) -> Any:
        event = SimpleNamespace(message=message)
        return SimpleNamespace(event_log_entry=SimpleNamespace(step_key=step, dagster_event=event, timestamp=0.0))

    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.01)
    with following(RUN, cast(dg.DagsterInstance, History())):
        time.sleep(0.2)
    lines = re.findall(r"^\d\d:\d\d:\d\d  (.*)$", capsys.readouterr().err, re.MULTILINE)
    assert lines == ["responses: waits for 8 GPUs", "responses: waits for 8 GPUs, for 2 min"]
