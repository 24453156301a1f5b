"""Dagster's history in PostgreSQL: one server, which hosts can share; here Debian's, on a Unix socket alone."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import dagster as dg
import psycopg2
import pytest
from click.testing import CliRunner
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage

from mr_assets.cli.main import main
from mr_assets.cli.status import statuses
from mr_assets.errors import UserError
from mr_assets.orchestration.history import attempts, refuse_if_busy
from mr_assets.orchestration.instance import instance
from mr_assets.orchestration.steps import steps
from mr_assets.orchestration.webserver import only_ui
from mr_assets.processes import TAG, UI_MARK, Worker
from mr_assets.runs.stored import save
from mr_assets.wiring.partitions import POOL
from mr_assets_tests.whole_runs.test_loop import World, messages, new_world

SERVER = next((folder for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SERVER is None, reason="no PostgreSQL server: apt-get install postgresql"),
]
PASSWORD = "not-to-be-shown"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of this module's own. As it refuses to run as root, the user `nobody` runs it then."""
    assert SERVER is not None
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(mkdtemp(prefix="mr-postgres-", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)

    def do(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(SERVER / program), *arguments],
            user=user.pw_uid,
            group=user.pw_gid,
            env={**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    socket_alone = f"-c listen_addresses='' -c fsync=off -k {folder}"
    do("initdb", "-D", data, "-U", "mr", "--auth=trust", "--no-sync")
    do("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", socket_alone, "start")
    try:
        yield f"postgresql://mr:{PASSWORD}@/postgres?host={folder}"
    finally:
        do("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def world(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The first iteration of the tiny run, by fakes, its history in the server."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MR_POSTGRES", server)
        patch.setenv("MR_DATA", str(folder / "data"))
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, folder / "data")
        save(world.run)
        with instance() as world.instance:
            for step in steps(world.run):
                if step.partition == "2":
                    break
                if step.assets == ("evaluation",):
                    continue
                result = world.materialize(step)
                assert result.success, messages(result)
            yield world


@pytest.fixture
def other_host(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same data folder and database from another host, which has a home of its own."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("mr_assets.processes.socket.gethostname", lambda: "gpu-07")


def mr(*arguments: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_an_iteration_is_in_the_database_and_its_password_in_no_file(world: World) -> None:
    """With the launcher, the limits and the pool of any instance."""
    assert isinstance(world.instance.event_log_storage, PostgresEventLogStorage)
    assert isinstance(world.instance.run_storage, PostgresRunStorage)
    assert POOL in world.instance.event_log_storage.get_concurrency_keys()
    assert {r.status for r in world.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert world.metadata("checkpoints", "1")["model"] == "M1"
    [status] = statuses([world.run])
    assert (status.state(("checkpoints", "1")), status.unknown) == ("done", "")
    home = Path(world.instance.root_directory)
    texts = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert texts and not any(PASSWORD.encode() in text for text in texts)
    assert not list(home.rglob("*.db"))


def test_a_user_without_the_right_to_make_tables_is_told(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL has it since 15, where somebody else owns the database."""
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE ROLE guest LOGIN")
        connection.cursor().execute("CREATE DATABASE of_another")
    theirs = server.replace(f"mr:{PASSWORD}@/postgres", "guest@/of_another")
    monkeypatch.setenv("MR_POSTGRES", theirs)
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    done = CliRunner().invoke(main, ["run", "small_world_meta_rewarding"])
    said = " ".join(done.output.split())
    assert done.exit_code == 1 and "permission denied for schema public" in said
    assert "GRANT CREATE, USAGE ON SCHEMA public" in said and "Traceback" not in said


@pytest.mark.usefixtures("other_host")
def test_another_host_sees_what_is_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the host that makes it; it is not declared dead there, and what is made now begins nothing beside it."""
    here = replace(Worker.of(os.getpid()), host="login-1")
    keys = frozenset(dg.AssetKey([world.run.namespace(asset), asset]) for asset in ("responses", "judgments"))
    made = create_run_for_test(
        world.instance, status=dg.DagsterRunStatus.STARTED, asset_selection=keys, tags={"dagster/partition": "2"}
    )
    world.instance.add_run_tags(made.run_id, {TAG: here.tag(made.run_id)})
    try:
        with instance() as mine:
            found = attempts([world.run], mine)["tiny"]
        assert {place: attempt.state for place, attempt in found.items()} == {
            ("responses", "2"): "running",
            ("judgments", "2"): "waiting",
        }
        assert "responses, iteration 2: at work (since" in (said := mr("status", "tiny"))
        assert f"Dagster run {made.run_id} on host login-1)" in said
        with instance() as mine, pytest.raises(UserError, match=r"on host login-1.*Force termination immediately"):
            refuse_if_busy("tiny", mine)
    finally:
        world.instance.report_run_failed(made)


@pytest.mark.usefixtures("other_host")
def test_a_ui_of_another_host_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its daemon says that it lives: two daemons would start every Dagster run twice."""
    monkeypatch.setenv(UI_MARK, "")
    with instance() as mine:
        only_ui(mine, Path(mine.root_directory))
        with pytest.raises(UserError, match=f"is up already, in process {os.getpid()}\\."):
            only_ui(mine, Path(mine.root_directory))
    monkeypatch.setattr("mr_assets.processes.socket.gethostname", lambda: "login-1")
    with instance() as other:
        heard = DaemonHeartbeat(time.time() - 30, "SENSOR", None, [])
        other.add_daemon_heartbeat(heard)
        with pytest.raises(UserError, match=f"in process {os.getpid()} on host gpu-07"):
            only_ui(other, Path(other.root_directory))
        other.add_daemon_heartbeat(heard._replace(timestamp=time.time() - 90))
        only_ui(other, Path(other.root_directory))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://mr:{PASSWORD}@/postgres?host=/nowhere", "cannot be reached in the database that MR_POSTGRES"),
        (f"postgresql://mr:{PASSWORD}@127.0.0.1:1/postgres", "Connection refused"),
        (f"mysql://mr:{PASSWORD}@localhost/x", r"expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    """Without the password; and `mr status` shows what the records say."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MR_POSTGRES", url)
    with pytest.raises(UserError, match=said) as refused:
        instance()
    assert PASSWORD not in str(refused.value)
