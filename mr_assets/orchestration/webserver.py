"""What `mr ui` starts: the Dagster UI behind the gate, its daemon, the code server, and the pages of `mr explore`.

`dagster dev` starts the same, with a webserver that asks nobody who he is: any web page that a person visits can
launch, delete and wipe through it. Here that webserver is an application of this process, with `mr_assets.gate` in
front of it and no other port. The code server (`code_server`) and the daemon, processes of their own, are reached by a
Unix socket and by nothing.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import uvicorn
import yaml
from dagster import __version__ as dagster_version

from mr_assets.addresses import address
from mr_assets.dagster_internals import (
    WorkspaceFileTarget,
    WorkspaceProcessContext,
    configure_loggers,
)
from mr_assets.errors import UserError
from mr_assets.explorer.serve import listening, serve_beside_ui
from mr_assets.gate import names
from mr_assets.orchestration.code_server import CodeServer
from mr_assets.orchestration.instance import dagster_home, instance
from mr_assets.printable import tell
from mr_assets.processes import UI_MARK, Worker, end_processes
from mr_assets.runs.data_folder import data_root, hand_on

DAEMON = "mr_assets.orchestration.daemon"
LOG_LEVEL = "warning"  # what goes wrong; info is a line per tick of every sensor and per queued Dagster run
ENDINGS = (signal.SIGINT, signal.SIGTERM)
UI_NOTE = "mr_assets/ui"  # in Dagster's history: the process of the UI
HEARTBEAT_SECONDS = 60  # a daemon that lives says so every 30
GRACE_SECONDS = 20  # for the daemon to end what it is at
STATEMENT_MS, RECYCLE_SECONDS, OVERFLOW = 15_000, 3600, 20  # of the webserver's database connections, as Dagster has it


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, when_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_up = when_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """From then on it answers."""
        await super().startup(sockets)
        self._when_up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What a browser still waits for is cut off then, which is no error."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


class _Workspace(WorkspaceProcessContext):
    """What the webserver knows of the definitions; *Reload definitions* gives the code server a new process."""

    def __init__(self, code: CodeServer, dagster: dg.DagsterInstance, seen: WorkspaceFileTarget) -> None:
        self._code = code
        super().__init__(dagster, seen, dagster_version, read_only=False)

    def reload_code_location(self, name: str) -> None:
        """As the button of a code location asks for. The daemon sees by itself that there is another process."""
        self._code.reload()
        self.refresh_code_location(name)

    def reload_workspace(self) -> None:
        """As the button for all code locations asks for."""
        self._code.reload()
        self.refresh_workspace()


def serve_ui(
    code: CodeServer, host: str, port: int, pages_port: int, allowed: Sequence[str] = (), *, spotcheck: bool = False
) -> None:
    """Serve the UI of the definitions of `code` until the process is asked to end; nothing it started stays.

    code: the code server, which has begun. It ends with this.
    allowed: further names under which the servers are known, behind a reverse proxy for example.
    spotcheck: whether the pages take answers of spot checks.
    Raises `UserError` if the port cannot be had, the instance has a UI already, or Dagster's daemon has ended.
    """
    known, home = names(host, allowed), dagster_home()
    with ExitStack() as stack:
        door = stack.enter_context(listening(host, port, "the Dagster UI", "Name another port: --port."))
        hand_on(data_root())
        with instance() as dagster:  # a fresh one gets its databases before webserver and daemon both try
            only_ui(dagster, home)
        stack.callback(end_processes, str(home), UI_MARK)  # whatever is left by then
        tell(f"Dagster UI on {address(host, port)} (instance {home}). Ctrl-C ends it.")
        when_up = serve_beside_ui(host, port, pages_port, allowed, spotcheck=spotcheck)
        with _until_asked_to_end():
            _serve(stack, code, door, known, when_up)


@contextmanager
def _until_asked_to_end() -> Iterator[None]:
    """Ctrl-C and `kill` alike end the block, though whoever began this process may have them ignored.

    What follows takes seconds; asked once more, it goes on.
    """

    def end(*_: object) -> None:
        for each in ENDINGS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in ENDINGS:
        signal.signal(each, end)
    with suppress(KeyboardInterrupt):
        yield


def _serve(
    stack: ExitStack, code: CodeServer, door: socket.socket, known: Sequence[str], when_up: Callable[[], None]
) -> None:
    """Start the code server, the daemon and the webserver, and serve; the stack ends them."""
    configure_loggers(log_level=LOG_LEVEL.upper())
    dagster = stack.enter_context(dg.DagsterInstance.get())
    # it takes a second to import, beside the code server, which takes many to load
    threading.Thread(target=import_module, args=("mr_assets.orchestration.gated_webserver",), daemon=True).start()
    when_code_is_gone = stack.enter_context(ExitStack())
    stack.callback(code.end)
    settings = ["--instance-ref", dg.serialize_value(dagster.get_ref()), "--inject-env-vars-from-instance"]
    code.load("--location-name", code.module, "--log-level", LOG_LEVEL, *settings)
    workspace = Path(stack.enter_context(TemporaryDirectory())) / "workspace.yaml"
    about = {"module_name": code.module, "working_directory": str(Path.cwd())}
    server = {"location_name": code.module, "socket": str(code.socket), "additional_metadata": about}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    dagster.optimize_for_webserver(STATEMENT_MS, RECYCLE_SECONDS, OVERFLOW)
    context = stack.enter_context(_Workspace(code, dagster, WorkspaceFileTarget([str(workspace)])))
    daemon = subprocess.Popen(  # it asks for all definitions; with many runs the webserver would wait twice as long
        [
            *(sys.executable, "-m", DAEMON, "run", "--log-level", LOG_LEVEL),
            *("--instance-ref", dg.serialize_value(dagster.get_ref()), "--workspace", str(workspace)),
        ],
        stdin=subprocess.PIPE,  # closes when this process is gone, however it went
        start_new_session=True,  # Ctrl-C is for this process, which then ends it in order
    )
    when_code_is_gone.callback(_ended, daemon)  # they share it
    stack.callback(daemon.terminate)
    from mr_assets.orchestration.gated_webserver import Webserver

    config = uvicorn.Config(
        Webserver(context, known).create_asgi_app(),
        http="h11",  # it hands an address with a foreign host in it on as it came
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    webserver = _Server(config, when_up)
    threading.Thread(target=_end_with, args=(daemon, webserver), daemon=True).start()
    webserver.run(sockets=[door])
    if daemon.poll() is not None:
        raise UserError(f"Dagster's daemon has ended, with status {daemon.returncode}; see above. Start mr ui again.")


def _end_with(daemon: subprocess.Popen[bytes], server: uvicorn.Server) -> None:
    daemon.wait()
    server.should_exit = True


def _ended(daemon: subprocess.Popen[bytes]) -> None:
    try:
        daemon.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()


def only_ui(dagster: dg.DagsterInstance, home: Path) -> None:
    """Note this process as the instance's UI, and end what is left of one that was killed; its Dagster runs go on.

    The note is in Dagster's history, which hosts may share. Raises `UserError` if the instance has a UI, on whatever
    host: two daemons would start every Dagster run twice.
    """
    notes = dagster.daemon_cursor_storage
    other = Worker.from_tag(notes.get_cursor_values({UI_NOTE}).get(UI_NOTE), UI_NOTE)
    if other is not None and (other.alive if other.here else _daemon_at_work(dagster)):
        unless = "" if other.here else f" If it has ended, wait {HEARTBEAT_SECONDS} s."
        raise UserError(f"the UI of {home} is up already, in {other.said}. Use that one, or end it first.{unless}")
    end_processes(str(home), UI_MARK)
    notes.set_cursor_values({UI_NOTE: Worker.of(os.getpid()).tag(UI_NOTE)})
    os.environ[UI_MARK] = str(home)


def _daemon_at_work(dagster: dg.DagsterInstance) -> bool:
    """Whether a daemon, of whatever host, has said within the last minute that it lives."""
    since = time.time() - HEARTBEAT_SECONDS
    return any(beat.timestamp > since for beat in dagster.get_daemon_heartbeats().values())
