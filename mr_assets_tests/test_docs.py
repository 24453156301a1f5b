"""The guides: their links lead somewhere, the commands that they show can be typed, and their fields are a recipe's."""

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from mr_assets.bounds import Bounds, Guardrails
from mr_assets.cli.main import main
from mr_assets.recipes.sets import PATHS

PROJECT = Path(__file__).parents[1]
GUIDES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "benchmarks" / "README.md"]
OF_THEN = ("experiments.md", "CHANGELOG.md")  # say what was so then
guides = pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)


def commands(guide: Path) -> list[str]:
    """The lines of code blocks that begin with mr, with what goes on after a backslash and without remarks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [re.split(r"\s{2,}", line)[0] for line in lines if line.startswith("mr ")]


def python(guide: Path) -> str:
    """What stands in its blocks of Python; of a script, all."""
    text = guide.read_text(encoding="utf-8")
    return (
        text
        if guide.suffix == ".py"
        else "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    )


def anchors(guide: Path) -> set[str]:
    """The anchors that GitHub gives a guide's headings."""
    headings = re.findall(r"^#+ (.*)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@guides
def test_links_lead_to_files_and_headings(guide: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", guide.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = guide.parent / path if path else guide
        assert target.exists(), f"{guide.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{guide.name}: {link}"


@guides
def test_commands_can_be_typed(guide: Path) -> None:
    """Each is parsed as click does it, and not run."""
    for line in commands(guide):
        _, name, *arguments = shlex.split(line)
        command = main.commands[name]
        try:
            context = command.make_context(name, arguments)
        except click.UsageError as error:
            pytest.fail(f"{guide.name}: {line}: {error.message}")
        for said in context.params.get("sets") or ():
            key = re.sub(r"^iterations\.(all|\d+)\.", "iterations.*.", said.partition("=")[0])
            assert key in PATHS or key in {path.rpartition(".")[2] for path in PATHS}, f"{guide.name}: {line}"


@pytest.mark.parametrize("guide", [*GUIDES, *PROJECT.glob("docs/pictures/*.py")], ids=lambda guide: guide.name)
def test_what_python_imports_is_there(guide: Path) -> None:
    for node in ast.walk(ast.parse(python(guide))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mr_assets"):
            for alias in node.names:
                assert hasattr(import_module(node.module or ""), alias.name), f"{guide.name}: {ast.unparse(node)}"


@guides
def test_files_that_are_named_are_there(guide: Path) -> None:
    """`worlds/letters.py` in a sentence, and the rooms as architecture.md lists them."""
    text = guide.read_text(encoding="utf-8") if guide.name not in OF_THEN else ""
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.(?:py|txt|yaml|json))`", text)
    named += re.findall(r"^  ([a-z_]+(?:/|\.py)) ", text, re.MULTILINE)
    for name in named:
        assert any((folder / name).exists() for folder in (PROJECT, PROJECT / "mr_assets")), f"{guide.name}: {name}"


def test_every_row_of_the_method_is_cited_by_a_test() -> None:
    """As "Row 14: ..." in the tests' docstrings; no test cites a row that is not there."""
    rows = re.findall(r"^\| (\d+) \|", (PROJECT / "docs/method.md").read_text(encoding="utf-8"), re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in (PROJECT / "mr_assets_tests").rglob("test_*.py")]
    cited = {number for text in texts for number in re.findall(r"\bRow (\d+)\b", text)}
    assert cited == set(rows)


def test_the_readme_shows_commands_and_is_short() -> None:
    readme = PROJECT / "README.md"
    assert len(commands(readme)) >= 10
    assert len(readme.read_text(encoding="utf-8").splitlines()) < 150


def test_the_guides_name_fields_of_a_recipe() -> None:
    """What looks like section.field is one: engine.dtype, dpo.num_processes, ..."""
    sections = {path.partition(".")[0] for path in PATHS if "." in path} - {"iterations"}
    for guide in (guide for guide in GUIDES if guide.name not in OF_THEN):
        for section, field in re.findall(r"`([a-z_]+)\.([a-z_]+)", guide.read_text(encoding="utf-8")):
            if section in sections:
                assert f"{section}.{field}" in PATHS, f"{guide.name}: {section}.{field}"


def test_the_bounds_of_the_guardrails_are_those_of_the_code() -> None:
    """One row each, in the order of the section: where it warns and where it stops."""
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", (PROJECT / "docs/ui.md").read_text(), re.MULTILINE
    )
    bounds = {name: bound for name, bound in Guardrails() if isinstance(bound, Bounds)}

    def said(name: str, bound: float | None) -> str:
        return "never" if bound is None else f"{'below' if name.endswith('_at_least') else 'above'} {bound}"

    assert rows == [(name, said(name, bound.warn), said(name, bound.stop)) for name, bound in bounds.items()]
