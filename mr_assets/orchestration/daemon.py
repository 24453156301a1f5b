"""Dagster's daemon as `mr ui` starts it: it never works with older definitions than the UI shows.

    python -m mr_assets.orchestration.daemon run --workspace workspace.yaml     the options are those of dagster-daemon

By itself it looks once a second whether the code server is another process. A backfill that was launched right after
*Reload definitions*, and taken up before that, could be of partitions that it did not know: it ended without a Dagster
run.
"""

import threading
from contextlib import suppress
from importlib import import_module
from runpy import run_module
from typing import Any

from mr_assets.dagster_internals import (
    DAEMON_CONTROLLER,
    DAEMON_MODULE,
    DagsterUserCodeUnreachableError,
    GrpcServerCodeLocation,
    WorkspaceProcessContext,
    WorkspaceRequestContext,
)
from mr_assets.processes import die_with_parent

ANSWER_SECONDS = 2


class UpToDateWorkspace(WorkspaceProcessContext):
    """What the daemon knows of the definitions, looked at anew each time that it is asked for."""

    _looking = threading.Lock()

    def create_request_context(self, source: object | None = None) -> WorkspaceRequestContext:
        """What a round of one of the daemons works with."""
        with self._looking:
            for name, entry in self.get_current_workspace().code_location_entries.items():
                known = entry.code_location
                if isinstance(known, GrpcServerCodeLocation) and _is_another(known):
                    self.refresh_code_location(name)
        return super().create_request_context(source)


def _is_another(known: GrpcServerCodeLocation) -> bool:
    """Whether another process than the one that is known answers. One that does not answer is Dagster's to watch."""
    with suppress(DagsterUserCodeUnreachableError):
        return bool(known.client.get_server_id(timeout=ANSWER_SECONDS) != known.server_id)
    return False


def main() -> None:
    """Be `dagster-daemon`, until the process that started it is gone."""
    die_with_parent()
    controller: Any = import_module(DAEMON_CONTROLLER)
    controller.WorkspaceProcessContext = UpToDateWorkspace
    run_module(DAEMON_MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
