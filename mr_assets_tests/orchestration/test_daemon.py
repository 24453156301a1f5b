"""The daemon's definitions: a code location is read again where another process answers for it, and only there."""

from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.dagster_internals import (
    DAEMON_CONTROLLER,
    DAEMON_MODULE,
    DagsterUserCodeUnreachableError,
    GrpcServerCodeLocation,
    WorkspaceProcessContext,
)
from mr_assets.orchestration import daemon
from mr_assets.orchestration.daemon import ANSWER_SECONDS, UpToDateWorkspace


class Location(GrpcServerCodeLocation):
    """A code location that was loaded from one process, and where another one, or nobody, may answer now."""

    def __init__(self, known: str, answers: str | None) -> None:
        client: Any = self
        self.known, self.answers, self.client = known, answers, client

    @property
    def server_id(self) -> str:
        return self.known

    def get_server_id(self, timeout: int) -> str:
        """As the client of a code server does."""
        assert timeout == ANSWER_SECONDS
        if self.answers is None:
            raise DagsterUserCodeUnreachableError("Could not reach user code server")
        return self.answers

    def cleanup(self) -> None:
        """There is nothing to close."""


class Workspace(UpToDateWorkspace):
    """One of such locations, by name; keeps which were read again, and what was known when a round began."""

    def __init__(self, **locations: Any) -> None:
        self.locations, self.refreshed = locations, list[str]()

    def get_current_workspace(self) -> Any:
        entries = {name: SimpleNamespace(code_location=location) for name, location in self.locations.items()}
        return SimpleNamespace(code_location_entries=entries)

    def begin_round(self, source: object | None = None) -> Any:
        """As a daemon does."""
        return self.create_request_context(source)

    def refresh_code_location(self, name: str) -> None:
        self.refreshed.append(name)
        self.locations[name] = Location(self.locations[name].answers, self.locations[name].answers)


@pytest.fixture(autouse=True)
def round_of_dagsters(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of what Dagster makes for a round: who asked, and the processes that are known by then."""

    def made(self: Workspace, source: object | None = None) -> Any:
        return source, {name: getattr(location, "known", None) for name, location in self.locations.items()}

    monkeypatch.setattr(WorkspaceProcessContext, "create_request_context", made)


def test_a_location_whose_code_server_is_another_process_is_read_again() -> None:
    """Before the round begins, and once: the next round knows it."""
    workspace = Workspace(a=Location("first", "second"), b=Location("one", "one"))
    assert workspace.begin_round("a sensor") == ("a sensor", {"a": "second", "b": "one"})
    assert workspace.begin_round() == (None, {"a": "second", "b": "one"})
    assert workspace.refreshed == ["a"]


def test_one_that_does_not_answer_is_left_as_it_was() -> None:
    """Dagster watches it. Those beside it are looked at."""
    workspace = Workspace(gone=Location("first", None), other=Location("one", "two"))
    assert workspace.begin_round() == (None, {"gone": "first", "other": "two"})
    assert workspace.refreshed == ["other"]


def test_one_that_could_not_be_loaded_or_has_no_server_is_left_alone() -> None:
    workspace = Workspace(broken=None, here=SimpleNamespace(known="no process"))
    assert workspace.begin_round() == (None, {"broken": None, "here": "no process"})
    assert workspace.refreshed == []


def test_any_other_trouble_of_a_code_server_is_told() -> None:
    """Only that it cannot be reached is no matter of ours."""

    class Broken(Location):
        def get_server_id(self, timeout: int) -> str:
            raise ValueError("no id")

    with pytest.raises(ValueError, match="no id"):
        Workspace(a=Broken("first", "first")).begin_round()


def test_rounds_look_one_after_the_other() -> None:
    """Two daemons begin a round at once: the second one waits, and finds read again what it would have read again."""
    seconds: list[Thread] = []

    class Slow(Location):
        def get_server_id(self, timeout: int) -> str:
            if not seconds:
                seconds.append(Thread(target=workspace.begin_round))
                seconds[0].start()
                seconds[0].join(0.1)
            return super().get_server_id(timeout)

    workspace = Workspace(a=Slow("first", "second"))
    workspace.begin_round()
    seconds[0].join(20)
    assert workspace.refreshed == ["a"]


def test_dagsters_own_daemon_is_started_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module makes the workspace by the class's name, which is ours by then. It does not outlive `mr ui`."""
    controller = SimpleNamespace(WorkspaceProcessContext=WorkspaceProcessContext)
    ran: list[Any] = []

    def run_module(module: str, *, run_name: str, alter_sys: bool) -> None:
        ran.append((module, run_name, alter_sys, controller.WorkspaceProcessContext))

    monkeypatch.setattr(daemon, "import_module", {DAEMON_CONTROLLER: controller}.__getitem__)
    monkeypatch.setattr(daemon, "run_module", run_module)
    monkeypatch.setattr(daemon, "die_with_parent", lambda: ran.append("watches"))
    daemon.main()
    assert ran == ["watches", (DAEMON_MODULE, "__main__", True, UpToDateWorkspace)]
