"""`mr cluster`: what is refused without it, and steps on a real cluster of two nodes."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from mr_assets.errors import UserError
from mr_assets.orchestration import trial_cluster
from mr_assets.orchestration.trial_cluster import environment, namespaces, refuse_without_namespaces, run_in_cluster
from mr_assets.processes import processes_of
from mr_assets_tests.real_run import PATIENCE, PROJECT, descendants, wait_for
from mr_assets_tests.real_run import environment as commands_environment

INSIDE = Path(__file__).with_name("on_cluster.py")
A_TEST = "MR_A_TEST"


def test_without_namespaces_it_says_what_to_allow() -> None:
    """With the words of the command that could not have them."""
    with pytest.raises(UserError, match=r"this machine gives none: unshare: .*nonsense.*Be root, or allow user"):
        refuse_without_namespaces(["unshare", "--nonsense"])


def test_without_the_commands_it_names_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="the command unshare, which is in Linux's package util-linux"):
        refuse_without_namespaces(["unshare"])


def test_a_command_that_is_none_starts_no_cluster() -> None:
    with pytest.raises(UserError, match="there is no command 'mr_ran' to run on the cluster"):
        run_in_cluster(["mr_ran", "run"], nodes=2, gpus=1)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.orchestration.trial_cluster.installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[ray\]'"):
        run_in_cluster(["true"], nodes=2, gpus=1)


def test_nodes_and_commands_share_a_token_and_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the person's own variables say of Ray; commands of this environment come first."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    found = environment(tmp_path)
    ray = {name: value for name, value in found.items() if name.startswith("RAY_")}
    assert ray == {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
        "RAY_JOB_START_TIMEOUT_SECONDS": "86400",
        "RAY_JOB_STOP_WAIT_TIME_S": "30",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    assert found["PATH"].split(":")[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(("name", "in_there"), [("", True), ("a-folder-whose-name-is-long", False)])
def test_a_long_temporary_folder_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, in_there: bool
) -> None:
    """The paths of Ray's sockets would be too long."""
    started: list[list[str]] = []
    monkeypatch.setattr(trial_cluster, "gettempdir", lambda: str(Path("/tmp") / name))
    monkeypatch.setattr(trial_cluster, "TemporaryDirectory", lambda dir, **_: nullcontext(str(dir)))
    monkeypatch.setattr(trial_cluster, "refuse_without_namespaces", lambda unshare: None)

    class Process:
        """One that has ended."""

        def __init__(self, command: list[str]) -> None:
            started.append(command)

        def poll(self) -> int:
            return 0

        wait = kill = poll

    monkeypatch.setattr("mr_assets.orchestration.trial_cluster.subprocess.Popen", Process)
    assert trial_cluster.run_in_cluster(["true"], 2, 1) == 0
    assert ("/tmp" in started[0]) != in_there


@pytest.mark.slow
def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    """Neither a process nor the folder of the token, and the status of one who was told to end.

    In the middle of Ray's own start, which is no other than later: the namespaces end with their first process.
    """
    try:
        refuse_without_namespaces(namespaces())
    except UserError as error:
        pytest.skip(str(error))
    mark = str(uuid4())
    with TemporaryDirectory(dir="/tmp") as short:  # Ray's sockets have paths of 107 characters at most
        command = [sys.executable, "-m", "mr_assets.cli", "cluster", "--", "true"]
        more = {A_TEST: mark, "TMPDIR": short}
        with subprocess.Popen(
            command, env=commands_environment(tmp_path / "data") | more, cwd=PROJECT, stdin=subprocess.DEVNULL
        ) as process:
            wait_for(lambda: "gcs_server" in {each.name() for each in descendants(process)}, PATIENCE)
            assert list(Path(short).glob("mr_cluster_*"))
            process.terminate()
            assert process.wait(PATIENCE) == 143
        assert list(Path(short).glob("mr_cluster_*")) == []
    assert processes_of(mark, A_TEST) == []


@pytest.mark.slow
def test_steps_on_two_nodes(tmp_path: Path) -> None:
    """The tests of on_cluster.py, on a cluster; its end leaves no process."""
    try:
        refuse_without_namespaces(namespaces())
    except UserError as error:
        pytest.skip(str(error))
    mark = str(uuid4())
    tests = ("pytest", "-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}", str(INSIDE))
    done = subprocess.run(
        [sys.executable, "-m", "mr_assets.cli", "cluster", "--", sys.executable, "-m", *tests],
        env=commands_environment(tmp_path / "data") | {A_TEST: mark},
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert " passed" in done.stdout
    assert processes_of(mark, A_TEST) == []
