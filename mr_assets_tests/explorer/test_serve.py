"""The server as a process: where it listens, when it ends, and what it says when it cannot."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from mr_assets.cli.main import main
from mr_assets.errors import UserError
from mr_assets.explorer.serve import serve
from mr_assets_tests.real_run import free_port


@pytest.mark.slow
def test_it_listens_on_loopback_alone_and_ends_with_its_starter(tmp_path: Path) -> None:
    """As `mr ui` starts it: when the starter is gone, however it ended, its end of the pipe is closed."""
    port = free_port()
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--port", str(port), "--with-starter"]
    server = subprocess.Popen(
        command,
        env={**os.environ, "MR_DATA": str(tmp_path)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stderr is not None and server.stdin is not None
        assert f"Pages on http://127.0.0.1:{port}" in server.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert page.status == 200
        listening = [c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"]
        assert listening == [("127.0.0.1", port)]
        server.stdin.close()
        assert server.wait(timeout=30) != 0
    finally:
        server.kill()
        server.wait()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot be served on 127\.0\.0\.1, port {port}: .*in use.*--port"):
            serve(tmp_path, "127.0.0.1", port)


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--allow-host", "mr.example.org")])
@pytest.mark.parametrize("command", ["explore", "ui"])
def test_no_server_that_others_reach_takes_answers(command: str, options: tuple[str, ...]) -> None:
    """Said before anything is started, by either command."""
    result = CliRunner().invoke(main, [command, "--spotcheck", *options])
    assert result.exit_code == 1
    assert "--spotcheck takes answers on loopback alone" in " ".join(result.output.split())
