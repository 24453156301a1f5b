"""The code server of `mr ui`: begun ahead, told to load, given another process by a reload, and never left behind."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mr_assets.errors import UserError
from mr_assets.orchestration import code_server
from mr_assets.orchestration.code_server import CodeServer
from mr_assets_tests.real_run import alive, wait_for

pytestmark = pytest.mark.slow

DEFINITIONS = """
import os
from pathlib import Path
import dagster as dg
Path(__file__).with_suffix(".log").open("a").write("imported\\n")
@dg.definitions
def defs():
    Path(__file__).with_suffix(".log").open("a").write(f"loaded {os.environ.get('MR_SAID')}\\n")
    return dg.Definitions(assets=[dg.AssetSpec("one")])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with definitions, which notes when it is imported and loaded; where its notes are."""
    (tmp_path / "noted_defs.py").write_text(DEFINITIONS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path / "noted_defs.log"


@pytest.fixture
def processes() -> Iterator[list[psutil.Process]]:
    """Where a test notes processes, none of which may live once it has ended."""
    found: list[psutil.Process] = []
    yield found
    assert not alive(found)


def answers(code: CodeServer) -> bool:
    """Whether one who knows the socket can ask."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(code.socket)) == 0


def children() -> list[psutil.Process]:
    """The processes that this one has begun, of code servers."""
    return [p for p in alive(psutil.Process().children()) if code_server.__name__ in p.cmdline()]


def test_it_imports_ahead_loads_when_told_and_a_reload_loads_again(
    module: Path, processes: list[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the environment when it is told counts; there is always one that answers; the old one ends."""
    monkeypatch.setattr(code_server, "GRACE_SECONDS", 1)
    with CodeServer("noted_defs") as code:
        processes += children()
        wait_for(lambda: module.exists() and module.read_text() == "imported\n", 120)
        assert not code.socket.exists()
        monkeypatch.setenv("MR_SAID", "first")
        code.load()
        assert answers(code) and set(module.read_text().splitlines()[1:]) == {"loaded first"}
        [first], place = children(), code.socket.resolve()
        monkeypatch.setenv("MR_SAID", "second")
        code.reload()
        processes += children()
        assert answers(code) and code.socket.resolve() != place
        assert module.read_text().splitlines()[-1] == "loaded second"
        wait_for(lambda: not alive([first]), 60)
        assert answers(code)
    assert not code.socket.parent.exists()


def test_what_takes_long_is_made_before_it_is_told_to_load(module: Path, processes: list[psutil.Process]) -> None:
    """The module's own `prepare` is called once, and by a reload's process, too; what it raises keeps nothing back."""
    with module.with_suffix(".py").open("a") as file:
        file.write("def prepare():\n    Path(__file__).with_suffix('.log').open('a').write('prepared\\n')\n    1 / 0\n")
    with CodeServer("noted_defs") as code:
        processes += children()
        wait_for(lambda: module.exists() and module.read_text() == "imported\nprepared\n", 120)
        code.load()
        processes += children()
        assert answers(code) and module.read_text().count("prepared\n") == 1


def test_one_that_is_killed_begins_again(
    module: Path, processes: list[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_server, "REST_SECONDS", 0.1)
    with CodeServer("noted_defs") as code:
        code.load()
        [first] = children()
        first.kill()
        wait_for(lambda: not alive([first]) and answers(code), 120)
        processes += [first, *children()]


def test_one_that_cannot_begin_says_so(module: Path, processes: list[psutil.Process]) -> None:
    with CodeServer("noted_defs") as code:
        processes += children()
        with pytest.raises(UserError, match=r"the code server, which loads the definitions, has ended with status 2"):
            code.load("--no-such-option")


def test_a_module_that_cannot_be_imported_is_for_the_ui_to_show(module: Path, processes: list[psutil.Process]) -> None:
    """Then the server answers nevertheless, as Dagster's does."""
    module.with_suffix(".py").write_text("import a_module_that_is_not_there\n")
    with CodeServer("noted_defs") as code:
        processes += children()
        code.load()
        assert answers(code)
