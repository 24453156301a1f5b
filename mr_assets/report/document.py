"""What a report is made of: paragraphs, what to do next, and sections of tables, curves and examples.

The HTML page and the Markdown file both say all of it, and nothing else.
"""

from dataclasses import dataclass, field

from mr_assets.report.chart import Chart
from mr_assets.report.examples import Example
from mr_assets.runs.estimates import Estimate, number


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, below it its interval or the like, and how it is marked.

    mark: "better", "worse", "stale", or "" for nothing.
    """

    said: str
    small: str = ""
    mark: str = ""

    @classmethod
    def of(cls, found: Estimate, mark: str = "") -> "Cell":
        """A figure with its interval below it."""
        return cls(number(found.value), found.ends_shown(), mark)


UNKNOWN = Cell("–")  # noqa: RUF001  # a dash
"""What stands where nothing is known."""


@dataclass(frozen=True)
class Table:
    """A table: its title, the heads of its columns, its rows. numbers: whether all columns but the first are."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    numbers: bool = True


@dataclass(frozen=True)
class Section:
    """A part of a report. folded: whether a page shows its title alone until somebody opens it."""

    title: str
    note: str = ""
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (any(table.rows for table in self.tables) or self.charts or self.examples)


@dataclass(frozen=True)
class Report:
    """What is said of runs."""

    title: str
    said: list[str]
    next: list[str]
    sections: list[Section]
