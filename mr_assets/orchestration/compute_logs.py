"""What a step prints, for the UI: as Dagster keeps it, by helper processes that Ctrl-C leaves in peace.

Dagster mirrors a step's output with `tail`, and watches each `tail` with a process of its own. Ctrl-C in a terminal
goes to the whole process group: a helper would end with a traceback, beside the one line that the command says.
"""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from dagster import Field, Float, StringSource

from mr_assets.dagster_internals import CapturedLogContext, ConfigurableClassData, LocalComputeLogManager
from mr_assets.orchestration.instance import home


class ComputeLogs(LocalComputeLogManager):
    """Dagster's own, in the folder where it keeps them by default."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """As Dagster's, with a default for the folder."""
        return {
            "base_dir": Field(StringSource, is_required=False),
            "polling_timeout": Field(Float, is_required=False),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from dagster.yaml."""
        return cls(**{"base_dir": str(home() / "storage")} | dict(config_value), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """As Dagster does; the helpers inherit a signal mask that keeps SIGINT from them."""
        with ExitStack() as stack:
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                captured = stack.enter_context(super().capture_logs(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield captured
