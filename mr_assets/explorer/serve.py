"""How the pages are served: by `mr explore`, and beside the Dagster UI by `mr ui`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.explorer.addresses import PAGES, UI, address, ui_url


def serve(data: Path, host: str, port: int, *, with_starter: bool = False) -> None:
    """Serve the pages over a data folder until the process is ended.

    with_starter: end when standard input closes, as the process that started this one does by ending.
    Raises `UserError` if the port cannot be had.
    """
    import uvicorn

    from mr_assets.explorer.app import LOOPBACK, explorer
    from mr_assets.training import leash

    if with_starter:
        leash.hold()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"the pages cannot be served on {host}, port {port}: {error}. Name another port: --port of `mr explore` "
            f"({PAGES} then tells the Dagster UI where they are), --pages-port of `mr ui`."
        ) from error
    app = explorer(data, ui_url(), LOOPBACK if host in LOOPBACK else ("*",))
    print(f"Pages on {address(host, port)} (runs in {data}). Ctrl-C ends it.", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def serve_beside_ui(host: str, ui_port: int, port: int) -> None:
    """Serve the pages in a process that ends with this one, though it becomes another program; note where each is."""
    os.environ[UI], os.environ[PAGES] = address(host, ui_port), address(host, port)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--host", host, "--port", str(port), "--with-starter"]
    subprocess.Popen(command, stdin=reading, start_new_session=True)
    os.close(reading)
