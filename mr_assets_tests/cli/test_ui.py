"""`mr ui` and `mr explore`: what is served where. The servers themselves have tests of their own."""

from contextlib import nullcontext

import pytest

from mr_assets.orchestration import code_server
from mr_assets_tests.cli.conftest import Mr, Refused, worked


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        ([], ("127.0.0.1", 3000, 3001)),
        (["--port", "4000", "--host", "127.0.0.2"], ("127.0.0.2", 4000, 4001)),
        (["--port", "4000", "--pages-port", "5000"], ("127.0.0.1", 4000, 5000)),
    ],
)
def test_the_pages_are_on_the_port_after_the_uis_unless_told_otherwise(
    mr: Mr, monkeypatch: pytest.MonkeyPatch, arguments: list[str], served: tuple[str, int, int]
) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "mr_assets.orchestration.webserver.serve_ui",
        lambda code, host, port, pages_port, allowed, **more: seen.append((code, host, port, pages_port, allowed)),
    )
    monkeypatch.setattr(code_server, "CodeServer", nullcontext)  # of the module that it is given
    worked(mr("ui", *arguments, "--allow-host", "proxy"))
    assert seen == [("mr_assets.definitions", *served, ("proxy",))]


def test_an_executor_that_cannot_be_is_refused_before_anything_starts(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MR_EXECUTOR", "rey")
    assert "MR_EXECUTOR is 'rey', expected one of in_process" in refused("ui")


def test_the_pages_alone_are_on_loopback_by_default(mr: Mr, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr("mr_assets.explorer.serve.serve", lambda data, host, port, **more: seen.append((host, port)))
    worked(mr("explore"))
    assert seen == [("127.0.0.1", 3001)]
