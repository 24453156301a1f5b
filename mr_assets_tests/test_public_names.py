"""Tests go by public names alone: what is private can change without them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def private_names(source: str) -> Iterator[str]:
    """The private names of mr_assets that a test imports, asks a module or class for, or puts something in place of."""
    tree = ast.parse(source)
    ours = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mr_assets":
            ours |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if private(alias.name))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(owner), name) if owner in ours and private(name):
                yield f"{owner}.{name}"
            case ast.Call(ast.Attribute(_, "setattr"), [ast.Name(owner), ast.Constant(str(name)), *_]):
                if owner in ours and private(name):
                    yield f"{owner}.{name}"
            case ast.Constant(str(path)) if path.startswith("mr_assets.") and any(map(private, path.split("."))):
                yield path


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("file", sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py")))
def test_a_test_needs_no_private_name(file: str) -> None:
    assert list(private_names((TESTS / file).read_text(encoding="utf-8"))) == []


def test_private_names_are_seen_however_they_are_used() -> None:
    source = """
from mr_assets.training import launch
from mr_assets.training.launch import _run, train
launch._run()
patch.setattr(launch, "_run", None)
patch.setattr("mr_assets.training" + "", None)
launch.__doc__, launch.train, other._run
"""
    assert list(private_names(source)) == ["_run", "launch._run", "launch._run"]
    path = "mr_assets." + "training._run"
    assert list(private_names(f"patch.setattr({path!r}, None)")) == [path]
