"""Who imports whom: the rooms are in one order, every import goes down it, and what computes knows no Dagster.

And where the tests of a module are.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mr_assets

PACKAGE = Path(mr_assets.__file__).parent
TESTS = Path(__file__).parent
# From what knows nothing of the others to what knows all. A line's rooms and modules may import those of lines above,
# and of the same line where that makes no circle.
ORDER = (
    ("errors", "printable", "escaped", "words", "processes", "dagster_internals"),
    ("text_files", "section", "bounds", "files", "gate", "model_folder", "chat_template", "ids", "tables", "judging"),
    ("loop", "addresses"),
    ("templates", "chat"),
    ("method",),
    ("worlds", "sampling", "training", "evaluation"),
    ("recipes",),
    ("runs",),
    ("planning",),
    ("lineage", "inputs"),
    ("explorer", "wiring", "export", "report"),
    ("assets",),
    ("orchestration",),
    ("definitions",),
    ("pilot", "public_benchmarks"),
    ("cli",),
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
WITHOUT_DAGSTER = (
    *("lineage", "method", "sampling", "training", "evaluation", "worlds", "templates", "recipes", "runs"),
    *("planning", "inputs", "export", "report"),
)

Imports = dict[str, set[str]]


@cache
def modules(package: Path) -> dict[str, Path]:
    """Every module by its name within the package, "method.elo"; a package by its own name, "method"."""
    files = (f for f in package.rglob("*.py") if f != package / "__init__.py")
    return {".".join(f.relative_to(package).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


@cache
def imports(package: Path) -> Imports:
    """What each module imports of the package, within functions, too, but not for the type checker alone."""
    found = modules(package)
    return {name: {*_imported(file, package.name, found)} - {name} for name, file in found.items()}


def _imported(file: Path, package: str, known: dict[str, Path]) -> Iterator[str]:
    for node in _walked(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: import by the whole name"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix(f"{package}.") in known else str(node.module) for name in full]
        inner = (name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}."))
        yield from (name for name in inner if name in known)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (inner for line in child.orelse for inner in (line, *_walked(line)))
        else:
            yield child
            yield from _walked(child)


def circle(found: Imports) -> list[str]:
    """Modules that import each other in a circle, the first again at the end; none if there is no circle."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return [*error.args[1]]
    return []


def upwards(found: Imports) -> list[tuple[str, str]]:
    """Imports of a module from a room that is higher in `ORDER`."""

    def level(name: str) -> int:
        return LEVELS[name.partition(".")[0]]

    return sorted((name, other) for name, others in found.items() for other in others if level(other) > level(name))


def test_every_room_has_its_place() -> None:
    assert {name.partition(".")[0] for name in modules(PACKAGE)} == set(LEVELS)


def test_every_module_has_its_tests() -> None:
    """Those of `mr_assets/ROOM/NAME.py` are in `mr_assets_tests/ROOM/test_NAME.py`."""
    files = (file.relative_to(PACKAGE) for file in modules(PACKAGE).values() if file.name != "__init__.py")
    assert [file for file in files if not (TESTS / file.with_name(f"test_{file.name}")).exists()] == []


def test_no_import_goes_up() -> None:
    assert upwards(imports(PACKAGE)) == []


def test_no_circle_of_imports() -> None:
    assert not circle(imports(PACKAGE))


def test_no_circle_of_rooms() -> None:
    """Where rooms share a line of the order, too."""
    rooms: Imports = {}
    for name, others in imports(PACKAGE).items():
        room = name.partition(".")[0]
        rooms.setdefault(room, set()).update({o.partition(".")[0] for o in others} - {room})
    assert not circle(rooms)


@pytest.mark.parametrize(
    ("text", "up", "around"),
    [
        ("import p.runs.run", True, True),
        ("from p.runs import run", True, True),
        ("from p.runs.run import Run", True, True),
        ("def f():\n    from p.runs.run import Run", True, True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.runs.run import Run", False, False),
        ("from p.tables import TABLES", False, False),
    ],
)
def test_what_goes_up_or_around_is_found(tmp_path: Path, text: str, up: bool, around: bool) -> None:
    """A module of the method that imports a run, which imports it."""
    package = tmp_path / "p"
    for file, source in {"method/a.py": text, "runs/run.py": "import p.method.a", "tables.py": ""}.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(source)
    assert upwards(imports(package)) == [("method.a", "runs.run")] * up
    assert sorted({*circle(imports(package))}) == ["method.a", "runs.run"] * around


HEAVY = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "vllm", "matplotlib", "scipy")
# They take ten seconds to import, and bring no Dagster: anything named so is there, and has whatever is asked for.
STAND_IN = """
import sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock
class StandIn:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in HEAVY else None
    def create_module(self, spec):
        return MagicMock(__path__=[])
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, StandIn())
"""


def test_what_computes_knows_no_dagster() -> None:
    """Imported alone, in a process of their own, their modules bring no Dagster, directly or through others."""
    names = [f"mr_assets.{name}" for name in modules(PACKAGE) if name.partition(".")[0] in WITHOUT_DAGSTER]
    names = [name for name in names if not name.endswith("__main__")]
    code = f"""HEAVY = {HEAVY}
{STAND_IN}
import importlib
brought = []
for name in {names}:
    importlib.import_module(name)
    if not brought and "dagster" in sys.modules:
        brought = [name]
print(brought)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]", "the first module that brings Dagster"
