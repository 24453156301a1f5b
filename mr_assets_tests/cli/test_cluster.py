"""`mr cluster`: what is run on which cluster. The cluster itself has tests of its own."""

from typing import Any

import pytest

from mr_assets_tests.cli.conftest import Mr


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been run: the command, nodes, and GPUs of each worker."""
    asked: list[Any] = []

    def run_in_cluster(command: tuple[str, ...], nodes: int, gpus: int) -> int:
        asked.append((command, nodes, gpus))
        return 7

    monkeypatch.setattr("mr_assets.orchestration.trial_cluster.run_in_cluster", run_in_cluster)
    return asked


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--", "mr", "run", "tiny"], (("mr", "run", "tiny"), 2, 1)),
        (["mr", "run", "--nodes", "5", "-h"], (("mr", "run", "--nodes", "5", "-h"), 2, 1)),
        (["--nodes", "3", "--gpus", "8", "--", "ray", "--gpus", "2"], (("ray", "--gpus", "2"), 3, 8)),
    ],
)
def test_a_command_and_its_options_are_run_as_they_are(
    mr: Mr, ran: list[Any], arguments: list[str], expected: tuple[Any, ...]
) -> None:
    """Options of ours come before it. Its status is the status of all."""
    assert mr("cluster", *arguments).exit_code == 7
    assert ran == [expected]


def test_without_a_command_it_is_a_shell(mr: Mr, ran: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    mr("cluster", "--nodes", "4")
    monkeypatch.delenv("SHELL")
    mr("cluster")
    assert ran == [(("/usr/bin/fish",), 4, 1), (("/bin/sh",), 2, 1)]


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [("--nodes", "1", "2<=x<=8"), ("--nodes", "9", "2<=x<=8"), ("--gpus", "0", "1<=x<=8"), ("--gpus", "9", "1<=x<=8")],
)
def test_a_cluster_of_another_size_is_refused(mr: Mr, ran: list[Any], option: str, value: str, bounds: str) -> None:
    result = mr("cluster", option, value, "true")
    assert result.exit_code == 2 and f"{value} is not in the range {bounds}" in result.output
    assert ran == []
