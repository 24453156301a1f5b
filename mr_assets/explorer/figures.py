"""How a run goes: its figures over the iterations, each with a curve, and each leading to what it was counted from.

/runs/RUN/figures
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mr_assets.addresses import LISTS, listed, page_of, texts_listed
from mr_assets.ids import model_id
from mr_assets.loop import LOOP, Place
from mr_assets.runs.figures import FIGURES, Figure, Row, Value, rows
from mr_assets.runs.run import Run

WIDTH, HEIGHT, MARGIN = 120, 28, 5
"""Of a curve, in pixels, and the room around it."""


@dataclass(frozen=True)
class Cell:
    """A figure of one iteration, the page of what it was counted from, and why it is stale, if it is."""

    iteration: str
    text: str
    href: str
    stale: str | None


@dataclass(frozen=True)
class Line:
    """A figure over the iterations. curve: where its points are, in pixels, by iteration; none of a single one."""

    name: str
    cells: list[Cell]
    curve: list[tuple[float, float, Cell]]

    @property
    def points(self) -> str:
        """The curve as SVG has it."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in self.curve)


@dataclass(frozen=True)
class FigurePage:
    """The lines of each group of figures, those aside of which nothing is known; and what of them is stale, and why."""

    iterations: list[str]
    groups: dict[str, list[Line]]
    stale: list[str]

    @classmethod
    def of(cls, run: Run, now: Mapping[Place, str]) -> "FigurePage":
        """The figures of a run. now: what of it is stale, as `mr_assets.lineage.staleness.stale_now` says."""
        found = rows(run, now)
        groups = {
            group: lines
            for group, figures in FIGURES.items()
            if (lines := [_line(run, figure, found) for figure in figures if _known(found, figure)])
        }
        said = {f"{name} of iteration {row.iteration}: {why}": None for row in found for name, why in row.stale.items()}
        return cls([row.iteration for row in found], groups, list(said))


def _known(found: Sequence[Row], figure: Figure) -> bool:
    return any(row.values[figure.name] is not None for row in found)


def _line(run: Run, figure: Figure, found: Sequence[Row]) -> Line:
    values = [row.values[figure.name] for row in found]
    cells = [
        Cell(row.iteration, figure.shown(value), _behind(run, figure, row.iteration), row.stale.get(figure.name))
        for row, value in zip(found, values, strict=True)
    ]
    return Line(figure.name, cells, _curve(values, cells))


def _curve(values: Sequence[Value], cells: Sequence[Cell]) -> list[tuple[float, float, Cell]]:
    """Points from left to right, the lowest value at the bottom; what is not known has none."""
    known = [(n, value) for n, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return []
    low, high = min(v for _, v in known), max(v for _, v in known)
    step, span = (WIDTH - 2 * MARGIN) / (len(values) - 1), HEIGHT - 2 * MARGIN
    share = {n: (value - low) / (high - low) if high > low else 0.5 for n, value in known}
    return [(MARGIN + n * step, MARGIN + (1 - share[n]) * span, cells[n]) for n in share]


def _behind(run: Run, figure: Figure, t: str) -> str:
    """The page of what a figure was counted from: texts, pairs, or the model that was trained."""
    if figure.asset in LISTS:
        return texts_listed(run.name, figure.asset, t, **figure.asked)
    if LOOP[figure.asset].holds == "model":
        return page_of(run.name, model_id(t))
    return listed(run.name, t, figure.asset)
