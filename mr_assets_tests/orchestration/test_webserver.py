"""Before `mr ui` serves: one UI of an instance at a time, on whatever host, and one message where it cannot be.

The servers themselves are tested as a person starts them, in ui/.
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import dagster as dg
import pytest

from mr_assets.errors import UserError
from mr_assets.orchestration.code_server import CodeServer
from mr_assets.orchestration.webserver import UI_NOTE, only_ui, serve_ui
from mr_assets.processes import UI_MARK, Worker

HERE = Worker.of(os.getpid())
ENDED = replace(HERE, ticks=HERE.ticks + 1)  # another process had the id before


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance in memory. Of the mark that the UI's processes bear nothing is left."""
    monkeypatch.setenv(UI_MARK, "")
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Whose processes were ended."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr("mr_assets.orchestration.webserver.end_processes", lambda *given: asked.append(given))
    return asked


def note(dagster: dg.DagsterInstance) -> Worker | None:
    """The process that the instance's history has for its UI."""
    return Worker.from_tag(dagster.daemon_cursor_storage.get_cursor_values({UI_NOTE}).get(UI_NOTE), UI_NOTE)


def noted(dagster: dg.DagsterInstance, worker: Worker) -> None:
    dagster.daemon_cursor_storage.set_cursor_values({UI_NOTE: worker.tag(UI_NOTE)})


def heard(dagster: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A daemon of the instance said so many seconds ago that it lives."""
    beat = SimpleNamespace(timestamp=time.time() - seconds)
    monkeypatch.setattr(dagster, "get_daemon_heartbeats", lambda: {"SENSOR": beat})


def test_the_first_ui_notes_itself(dagster: dg.DagsterInstance, ended: list[tuple[str, str]], tmp_path: Path) -> None:
    """In the history; and in its environment, which its processes inherit, so that the next one finds what is left."""
    only_ui(dagster, tmp_path)
    assert note(dagster) == HERE
    assert os.environ[UI_MARK] == str(tmp_path)
    assert ended == [(str(tmp_path), UI_MARK)]


def test_a_second_one_is_refused(dagster: dg.DagsterInstance, ended: list[tuple[str, str]], tmp_path: Path) -> None:
    """Before anything of the first is ended."""
    noted(dagster, HERE)
    with pytest.raises(UserError) as refused:
        only_ui(dagster, tmp_path)
    assert str(refused.value) == (
        f"the UI of {tmp_path} is up already, in process {os.getpid()}. Use that one, or end it first."
    )
    assert (ended, os.environ[UI_MARK]) == ([], "")


def test_one_that_was_killed_is_followed(
    dagster: dg.DagsterInstance, ended: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its daemon may live on and say so: that is ended."""
    noted(dagster, ENDED)
    heard(dagster, monkeypatch, 0)
    only_ui(dagster, tmp_path)
    assert note(dagster) == HERE and ended == [(str(tmp_path), UI_MARK)]


@pytest.mark.parametrize(("seconds", "refused"), [(30, True), (90, False)])
def test_a_ui_of_another_host_is_there_while_its_daemon_says_that_it_lives(
    dagster: dg.DagsterInstance,
    ended: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds: float,
    refused: bool,
) -> None:
    """Nothing can be known of its process. A daemon says so every half minute."""
    noted(dagster, replace(HERE, host="gpu-07", pid=41213))
    heard(dagster, monkeypatch, seconds)
    if not refused:
        only_ui(dagster, tmp_path)
        assert note(dagster) == HERE
        return
    with pytest.raises(UserError) as error:
        only_ui(dagster, tmp_path)
    assert str(error.value) == (
        f"the UI of {tmp_path} is up already, in process 41213 on host gpu-07. Use that one, or end it first. If it "
        "has ended, wait 60 s."
    )


def test_a_port_that_is_taken_is_told_before_anything_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; the Dagster home has its settings by then, and no history."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = rf"the Dagster UI cannot be served on 127\.0\.0\.1, port {port}: .*in use.* Name another port: --port\.$"
        with pytest.raises(UserError, match=said):
            serve_ui(cast(CodeServer, None), "127.0.0.1", port, port + 1)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["dagster.yaml"]
