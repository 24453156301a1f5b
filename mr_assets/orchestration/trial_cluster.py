"""A Ray cluster for trying, on one machine: a head without a GPU, and workers whose GPUs are only numbers.

    mr cluster --nodes 2 -- mr run small_world_meta_rewarding

Ray listens on every address of a machine, and whoever reaches it may execute anything. So the cluster has namespaces of
its own, in which there is no network but its loopback: nothing outside can reach it. The kernel ends every process in
them with the first one, which is this module; the command is its child, and the cluster ends with it.

Beside that, Ray, and whoever uses it, must show a token of each cluster's own.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil

from mr_assets.addresses import RAY
from mr_assets.errors import UserError
from mr_assets.orchestration.ray_steps import INSTALL, installed
from mr_assets.printable import tell

HEAD, DASHBOARD = "127.0.0.1:6379", "127.0.0.1:8265"
NAMESPACES = ("--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child")
SHORT = 16  # characters of TMPDIR: Ray's sockets are in a folder of it, and a path of one has 107 at most
STORE_BYTES = 100_000_000  # of Ray's object store, which no step uses
PATIENT = {  # what Ray would give up too early, of every node
    "RAY_JOB_START_TIMEOUT_SECONDS": "86400",  # a step may wait for a GPU that another one has
    "RAY_JOB_STOP_WAIT_TIME_S": "30",  # a step that is cancelled ends its engine and its trainer first
}


def run_in_cluster(command: Sequence[str], nodes: int, gpus: int) -> int:
    """Start a cluster of `nodes`, all but the head with `gpus` logical GPUs; run a command on it; its exit status.

    Nothing of the cluster outlives the command. Raises `UserError` if Ray is not installed, there is no such
    command, or the machine has no namespaces for us.
    """
    if not installed():
        raise UserError(INSTALL)
    if shutil.which(command[0], path=environment(Path())["PATH"]) is None:
        raise UserError(f"there is no command {command[0]!r} to run on the cluster. Type one after mr cluster --.")
    unshare = namespaces()
    refuse_without_namespaces(unshare)
    where = None if len(gettempdir()) <= SHORT else "/tmp"
    with TemporaryDirectory(prefix="mr_cluster_", dir=where, ignore_cleanup_errors=True) as folder:
        inner = [sys.executable, "-m", __spec__.name, folder, str(nodes), str(gpus), *command]
        # once this process is gone, however, so is unshare, and with it the namespace's first process, and with it all
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *unshare, *inner])
        kept = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which the terminal tells, too
        ended = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and nothing stays behind
        try:
            return process.wait()
        finally:
            _end(process)
            signal.signal(signal.SIGINT, kept)
            signal.signal(signal.SIGTERM, ended)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End unshare, if it is there, and with it the namespaces' first process, which goes after all others in them."""
    inside = psutil.Process(process.pid).children() if process.poll() is None else []
    process.kill()
    process.wait()
    psutil.wait_procs(inside, timeout=10)


def namespaces() -> list[str]:
    """The command that runs another one in namespaces of its own; for whoever is not root, in a user's as well."""
    return ["unshare", *NAMESPACES, *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def refuse_without_namespaces(unshare: Sequence[str]) -> None:
    """Raise `UserError` where a process may not have namespaces of its own."""
    for program in ("unshare", "setpriv"):
        if shutil.which(program) is None:
            raise UserError(f"mr cluster needs the command {program}, which is in Linux's package util-linux.")
    tried = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        said = tried.stderr.strip().partition("\n")[0]
        raise UserError(
            f"mr cluster needs network and process namespaces of its own, and this machine gives none: {said}. Be "
            "root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces; in a "
            "container: --privileged or --cap-add SYS_ADMIN)."
        )


def environment(folder: Path) -> dict[str, str]:
    """What every node, and every command on the cluster, has in its environment; the token lies in `folder`."""
    own = str(Path(sys.executable).parent)
    return (
        {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        | PATIENT
        | {
            "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
    )


def start_head(settings: Mapping[str, str], folder: Path) -> None:
    """Start the node that takes jobs and has no GPU. Raises `UserError` with what Ray said if it cannot."""
    host, _, port = HEAD.rpartition(":")
    dashboard, _, page = DASHBOARD.rpartition(":")
    where = ("--head", f"--port={port}", f"--dashboard-host={dashboard}", f"--dashboard-port={page}")
    _start(settings, host, 0, *where, f"--temp-dir={folder / 'ray'}")


def start_worker(settings: Mapping[str, str], gpus: int) -> None:
    """Start a node that has `gpus` logical GPUs. Raises `UserError` with what Ray said if it cannot."""
    _start(settings, HEAD.rpartition(":")[0], gpus, f"--address={HEAD}")


def _start(settings: Mapping[str, str], host: str, gpus: int, *arguments: str) -> None:
    common = (f"--node-ip-address={host}", f"--num-gpus={gpus}", f"--object-store-memory={STORE_BYTES}")
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, *common, "--disable-usage-stats"]
    done = subprocess.run(
        ray, env=dict(settings), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"Ray did not start a node of the cluster:\n{(done.stdout + done.stderr).strip()[-3000:]}")


def main(folder: Path, nodes: int, gpus: int, command: Sequence[str]) -> int:
    """In the namespaces, as their first process: start the cluster and the command; the command's exit status."""
    _up("lo")
    # what a process notes of itself must not be taken for one of another cluster or of the machine outside, whose
    # process ids are others
    socket.sethostname(f"{socket.gethostname()[:40]}-cluster-{secrets.token_hex(4)}")
    (folder / "token").touch(0o600)
    (folder / "token").write_text(secrets.token_hex(32))
    settings = environment(folder)
    start_head(settings, folder)
    for _ in range(nodes - 1):
        start_worker(settings, gpus)
    tell(
        f"Ray cluster on loopback, in namespaces of its own: a head without a GPU, {nodes - 1} x {gpus} logical GPU. "
        f"It ends with: {' '.join(command)}"
    )
    settings |= {"MR_EXECUTOR": "ray", RAY: f"http://{DASHBOARD}"}
    process = subprocess.Popen(command, env=settings)
    signal.signal(signal.SIGINT, lambda *_: None)  # not ignored, which the children would inherit
    while True:  # the first process of a namespace has to bury all that lose their parents
        pid, status = os.wait()
        if pid == process.pid:
            return os.waitstatus_to_exitcode(status)


def _up(interface: str) -> None:
    """Switch a network interface on, as `ip link set lo up` does, which need not be installed."""
    get, put, flags = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", interface.encode(), 0)
        (now,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, get, asked))
        fcntl.ioctl(any_socket, put, struct.pack("16sh14x", interface.encode(), now | flags))


if __name__ == "__main__":
    try:
        status = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:  # before there was a command
        sys.exit(128 + signal.SIGINT)
    sys.exit(status if status >= 0 else 128 - status)
