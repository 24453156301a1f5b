"""A report as a page of HTML that stands alone, and as Markdown.

The page has no script and loads nothing: style and drawings are within it. Texts of models are shown, never obeyed.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from mr_assets.escaped import shown
from mr_assets.escaped import templates as templates_of
from mr_assets.files import atomically
from mr_assets.printable import printable, printable_lines
from mr_assets.report import chart
from mr_assets.report.chart import Chart
from mr_assets.report.document import Report, Section
from mr_assets.report.report import report
from mr_assets.runs.run import Run

STYLE = Path(__file__).parent / "report.css"
LONGEST_NAME = 120
"""Characters of a file's name beyond which it has a hash of the runs' names in their place."""


@cache
def _templates(*, html: bool) -> Environment:
    templates = templates_of("mr_assets.report", escaping=html)
    templates.filters |= {"shown": shown, "plain": printable, "cell": _cell, "fenced": _fenced, "px": "{:.1f}".format}
    templates.globals |= {"chart": chart}
    return templates


def body(found: Report, page_of: Callable[[str, str], str] | None = None) -> Markup:
    """What stands in the page, without head and style. page_of: the address of an id of a run, to link it."""
    return Markup(_templates(html=True).get_template("body.html").render(report=found, page_of=page_of))


def drawing(found: Chart) -> Markup:
    """A chart alone, for a page that has the style."""
    module = _templates(html=True).get_template("chart.html").module
    return Markup(module.drawn(found))  # type: ignore[attr-defined]


def inside(found: Section) -> Markup:
    """What is below the title of a section, for a page that has the style."""
    module = _templates(html=True).get_template("section.html").module
    return Markup(module.within(found, None))  # type: ignore[attr-defined]


def html(found: Report) -> str:
    """The page that stands alone."""
    style = Markup(STYLE.read_text(encoding="utf-8"))
    return _templates(html=True).get_template("page.html").render(report=found, body=body(found), style=style)


def markdown(found: Report) -> str:
    """The same as Markdown, its curves as the tables that they are drawn of."""
    return _templates(html=False).get_template("report.md").render(report=found)


_ACTS = re.compile(r"[\\`*\[\]<>|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def _cell(text: str) -> str:
    """A text in one line in which nothing acts as Markdown or HTML; it may not stand at the beginning of a line."""
    return _ACTS.sub(lambda found: f"\\{found[0]}", printable(text))


def _fenced(text: str) -> str:
    """A text of many lines in a fence that is longer than any within it."""
    fence = "`" * (1 + max(2, *map(len, re.findall("`*", text))))
    return f"{fence}text\n{printable_lines(text)}\n{fence}"


def write(runs: Sequence[Run], folder: Path | None = None) -> list[Path]:
    """Write the report on runs as HTML and Markdown; where. By default into the folder of the run that is named first.

    Raises `UserError` if nothing can be written there.
    """
    found = report(runs)
    name = "report" if len(runs) == 1 else "report_of_" + "_and_".join(run.name for run in runs)
    if len(name) > LONGEST_NAME:
        name = f"report_of_{len(runs)}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    texts = {"html": html(found), "md": markdown(found)}
    paths = {ending: (folder or runs[0].folder) / f"{name}.{ending}" for ending in texts}
    for ending, path in paths.items():
        atomically(path, lambda place, text=texts[ending]: place.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return [*paths.values()]
