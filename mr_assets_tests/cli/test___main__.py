"""`python -m mr_assets.cli`, by which our own processes are started: no `mr` need be on the PATH."""

import runpy

import pytest


def test_it_is_the_command_mr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called once, without arguments: it takes those of the command line."""
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr("mr_assets.cli.main.main", lambda *given: called.append(given))
    runpy.run_module("mr_assets.cli", run_name="__main__")
    assert called == [()]
