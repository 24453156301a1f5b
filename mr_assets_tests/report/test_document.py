"""What a report is made of: a figure as a cell, and which sections have nothing in them."""

import pytest

from mr_assets.report.chart import Chart
from mr_assets.report.document import UNKNOWN, Cell, Section, Table
from mr_assets.report.examples import Example
from mr_assets.runs.estimates import Estimate


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        (Estimate(2.567, 2.41, 2.73), Cell("2.57", "2.41 to 2.73")),
        (Estimate(1204.0), Cell("1,204", "")),
        (Estimate(0.5, 0.4), Cell("0.50", "")),  # one end is no interval
    ],
)
def test_a_figure_stands_with_its_interval_below_it(found: Estimate, cell: Cell) -> None:
    assert Cell.of(found) == cell
    assert Cell.of(found, "stale") == Cell(cell.said, cell.small, "stale")


def test_a_section_is_empty_until_something_is_in_it() -> None:
    """A table without rows is nothing, a note alone neither."""
    head = Table("a table", ["", "seed"], [])
    assert Section("A").empty and Section("A", "a note", tables=[head, head]).empty
    chart = Chart.of("a", {"a": {"1": Estimate(1.0), "2": Estimate(2.0)}}, ["1", "2"])
    assert not Section("A", tables=[head, Table("", [""], [[UNKNOWN]])]).empty
    assert not Section("A", charts=[chart]).empty
    assert not Section("A", examples=[Example("why", "tiny", "", "", "prompt", {})]).empty
