"""How the pages are served: by `mr explore`, and beside the Dagster UI by `mr ui`."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from mr_assets.addresses import PAGES, UI, address, ui_url
from mr_assets.errors import UserError
from mr_assets.printable import tell
from mr_assets.processes import die_with_parent


def serve(
    data: Path,
    host: str,
    port: int,
    *,
    allowed: Sequence[str] = (),
    spotcheck: bool = False,
    with_starter: bool = False,
) -> None:
    """Serve the pages over a data folder until the process is ended.

    allowed: further names under which the server is known, behind a reverse proxy for example.
    spotcheck: take answers of spot checks from whoever has the address that is printed then, on loopback alone.
    with_starter: end when standard input closes, as the process that started this one does by ending; and make the
    first page ahead only when a line comes there.
    Raises `UserError` if the port cannot be had, or others than this machine could answer.
    """
    import uvicorn

    from mr_assets.explorer.app import explorer
    from mr_assets.gate import names

    ahead = Event()
    if with_starter:
        die_with_parent(lambda _: ahead.set())
    else:
        ahead.set()
    if spotcheck:
        refuse_others(host, allowed)
    token = secrets.token_urlsafe(24) if spotcheck else ""
    app = explorer(data, ui_url(), names(host, allowed), token, ahead)
    door = listening(
        host,
        port,
        "the pages",
        f"Name another port: --port of `mr explore` ({PAGES} then tells the Dagster UI where they are), --pages-port "
        "of `mr ui`.",
    )
    tell(f"Pages on {address(host, port)} (runs in {data}). Ctrl-C ends it.")
    if spotcheck:
        tell(f"Spot checks on {address(host, port)}/spotcheck?token={token} (whoever has this address may answer).")
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[door])


def refuse_others(host: str, allowed: Sequence[str]) -> None:
    """Raise `UserError` if a server that takes answers would be known to others than this machine."""
    from mr_assets.gate import LOOPBACK, names

    if others := sorted({*names(host, allowed)} - {*LOOPBACK}):
        raise UserError(
            f"--spotcheck takes answers on loopback alone, and this server would be known as {', '.join(others)}. "
            "Leave out --host and --allow-host (and MR_ALLOWED_HOSTS), or answer with `mr spotcheck RUN`."
        )


def listening(host: str, port: int, what: str, advice: str) -> socket.socket:
    """A socket that listens. Raises `UserError` with `what` cannot be served and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UserError(f"{what} cannot be served on {host}, port {port}: {error}. {advice}") from error


def serve_beside_ui(
    host: str, ui_port: int, port: int, allowed: Sequence[str] = (), *, spotcheck: bool = False
) -> Callable[[], None]:
    """Serve the pages in a process that ends with this one; note where each is.

    What is returned lets it make the first page ahead: of many runs that takes a core for seconds, which until then
    those who load the definitions need.
    """
    os.environ[UI], os.environ[PAGES] = address(host, ui_port), address(host, port)
    reading, held = os.pipe()  # the other end closes when this process ends, however
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--host", host, "--port", str(port), "--with-starter"]
    command += [part for name in allowed for part in ("--allow-host", name)]
    command += ["--spotcheck"] * spotcheck
    subprocess.Popen(command, stdin=reading, start_new_session=True)
    os.close(reading)

    def when_up() -> None:
        with suppress(BrokenPipeError):  # the pages' server has ended
            os.write(held, b"\n")

    return when_up
