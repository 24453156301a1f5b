"""Curves as SVG: where the points, bars and bands of several lines are on one axis, in pixels; densities, too.

Drawn by hand and not by matplotlib: the pages load no style but their own, so a drawing may have no `style` of its
own; and the first page of the explorer draws hundreds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from mr_assets.runs.estimates import Estimate

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 190, 46, 12, 10, 24
"""Of a chart in pixels, and the room beside and below its axes."""
COLOURS = 6
"""Lines that have a colour of their own; a further one has the first one's again, and is dashed."""


@dataclass(frozen=True)
class Point:
    """A value of a line: where it is, from where to where its interval goes (None: it has none), and what it says."""

    x: float
    y: float
    low: float | None
    high: float | None
    said: str


@dataclass(frozen=True)
class Line:
    """A line of a chart. band: the outline of what lies between its lowest and highest, "" if it has none.

    dots: whether each point is marked. again: whether another line of the chart has its colour, so that it is dashed.
    """

    label: str
    colour: int
    points: list[Point]
    band: str
    dots: bool = True
    again: bool = False

    @property
    def path(self) -> str:
        """The points as SVG has them."""
        return " ".join(f"{p.x:.1f},{p.y:.1f}" for p in self.points)


@dataclass(frozen=True)
class Chart:
    """Lines over one axis. labels: what is below it, and where; ticks: what is beside it, and where."""

    title: str
    labels: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    lines: list[Line]

    @classmethod
    def of(
        cls, title: str, lines: Mapping[str, Mapping[str, Estimate]], order: Sequence[str], banded: Sequence[str] = ()
    ) -> "Chart":
        """A chart of lines, each a figure by label of the axis, in the order of `order`.

        banded: the lines whose low and high are drawn as a band, and not as bars of single points.
        """
        there = [label for label in order if any(label in line for line in lines.values())]
        known = [end for line in lines.values() for each in line.values() for end in each if end is not None]
        ticks = ticks_of(min(known), max(known))
        y = _height(ticks)
        step = (WIDTH - LEFT - RIGHT) / max(len(there) - 1, 1)
        at = {label: LEFT + n * step for n, label in enumerate(there)}

        drawn = []
        for n, (label, line) in enumerate(lines.items()):
            points = [
                Point(
                    at[name],
                    y(each.value),
                    None if each.low is None else y(each.low),
                    None if each.high is None else y(each.high),
                    f"{label}, {name}: {each.shown()}",
                )
                for name in there
                if (each := line.get(name))
            ]
            band = _band(points) if label in banded else ""
            drawn.append(Line(label, n % COLOURS, points, band, again=n >= COLOURS))
        return cls(title, [(x, label) for label, x in at.items()], _ticks(ticks), drawn)

    @classmethod
    def over(
        cls, title: str, at: Sequence[float], lines: Mapping[str, Sequence[float]], colours: Sequence[int] = ()
    ) -> "Chart":
        """A chart of lines over numbers from the lowest to the highest of `at`, upwards from 0, without dots.

        lines: a height for each of `at`; a line without any is in the legend alone. colours: of each line in turn.
        """
        ticks = ticks_of(0.0, max((height for line in lines.values() for height in line), default=1.0))
        y, (low, high) = _height(ticks), (at[0], at[-1])

        def x(value: float) -> float:
            return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

        whole = high - low <= 10 and all(float(end).is_integer() for end in (low, high))
        marks = range(int(low), int(high) + 1) if whole else ticks_of(low, high)
        across = [mark for mark in marks if low <= mark <= high]
        places = [*colours, *range(len(lines))][: len(lines)]
        drawn = [
            Line(
                label,
                n % COLOURS,
                [Point(x(a), y(height), None, None, "") for a, height in zip(at, line, strict=bool(line))],
                "",
                dots=False,
                again=n >= COLOURS,
            )
            for n, (label, line) in zip(places, lines.items(), strict=True)
        ]
        return cls(title, [(x(mark), f"{mark:g}") for mark in across], _ticks(ticks), drawn)


def _height(ticks: Sequence[float]) -> Callable[[float], float]:
    """Where a value is above the lowest tick, in pixels from the top."""
    low, high = ticks[0], ticks[-1]
    return lambda value: TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _ticks(ticks: Sequence[float]) -> list[tuple[float, str]]:
    y = _height(ticks)
    return [(y(value), _tick(value, ticks[1] - ticks[0])) for value in ticks]


def _tick(value: float, step: float) -> str:
    """A tick's number, with as many places as the step between two has."""
    places = next((n for n in range(9) if abs(step * 10**n - round(step * 10**n)) < 1e-6), 9)
    return f"{value + 0.0:,.{places}f}"


def _band(points: Sequence[Point]) -> str:
    ends = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    outline = [(x, low) for x, low, _ in ends] + [(x, high) for x, _, high in reversed(ends)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in outline) if len(ends) > 1 else ""


def ticks_of(low: float, high: float) -> list[float]:
    """Three to seven round numbers, the first at most `low` and the last at least `high`."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        room = abs(low) / 10 or 0.5
        low, high = low - room, high + room
    rough = (high - low) / 4
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]
