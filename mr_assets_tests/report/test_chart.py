"""Where the points of a chart are, and what its ticks say."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mr_assets.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, ticks_of
from mr_assets.runs.estimates import Estimate


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (2.41, 4.1, [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]),
        (-3, 7, [-5, -2.5, 0, 2.5, 5, 7.5]),
        (40, 40, [36, 38, 40, 42, 44]),
        (0, 0, [-0.5, -0.25, 0, 0.25, 0.5]),
    ],
)
def test_ticks_are_round_and_hold_all(low: float, high: float, ticks: list[float]) -> None:
    assert ticks_of(low, high) == ticks


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
@example(-1e-05, 20001.0)
def test_whatever_the_values_there_are_a_few_ticks(low: float, span: float) -> None:
    ticks = ticks_of(low, low + span)
    assert 3 <= len(ticks) <= 7
    nothing = 1e-6 * max(1, abs(low), span)  # to the eye
    assert ticks[0] <= low + nothing and ticks[-1] >= low + span - nothing


def test_points_and_bars_are_where_their_values_are() -> None:
    """The axis goes from 0 to 1; of three labels the second is in the middle."""
    lines = {"a": {"seed": Estimate(0.0), "M0": Estimate(0.5, 0.25, 0.75), "M1": Estimate(1.0)}}
    [line] = Chart.of("", lines, ["seed", "M0", "M1", "M2"]).lines
    bottom, middle = HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2
    assert [p.x for p in line.points] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    assert [p.y for p in line.points] == pytest.approx([bottom, middle, TOP])
    quarter = (bottom - TOP) / 4
    assert (line.points[1].low, line.points[1].high) == pytest.approx((middle + quarter, middle - quarter))
    assert line.points[1].said == "a, M0: 0.50 (0.25 to 0.75)" and line.band == ""


def test_a_band_goes_along_the_lowest_and_back_along_the_highest() -> None:
    line = {"1": Estimate(0.5, 0.0, 1.0), "2": Estimate(0.5, 0.0, 1.0)}
    chart = Chart.of("", {"mean of seeds": line}, ["1", "2"], ["mean of seeds"])
    low, high = f"{HEIGHT - BOTTOM:.1f}", f"{TOP:.1f}"
    left, right = f"{LEFT:.1f}", f"{WIDTH - RIGHT:.1f}"
    assert chart.lines[0].band == f"{left},{low} {right},{low} {right},{high} {left},{high}"


def test_a_line_may_miss_points_of_the_axis() -> None:
    chart = Chart.of("", {"a": {"1": Estimate(1), "3": Estimate(2)}, "b": {"2": Estimate(3)}}, ["1", "2", "3"])
    assert [label for _, label in chart.labels] == ["1", "2", "3"]
    assert [len(line.points) for line in chart.lines] == [2, 1]
    assert [label for _, label in chart.ticks] == ["1.0", "1.5", "2.0", "2.5", "3.0"]


def test_a_density_goes_from_the_lowest_to_the_highest_number_and_up_from_nothing() -> None:
    chart = Chart.over("", [0.0, 5.0, 10.0], {"a": [0.0, 1.0, 0.5], "b": []}, [2, 7])
    a, b = chart.lines
    bottom = HEIGHT - BOTTOM
    assert [p.x for p in a.points] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    assert [p.y for p in a.points] == pytest.approx([bottom, TOP, (TOP + bottom) / 2])
    assert (b.points, a.dots) == ([], False)
    assert [(line.colour, line.again) for line in chart.lines] == [(2, False), (1, True)]
    assert [label for _, label in chart.labels] == [f"{n}" for n in range(11)]
    assert [label for _, label in Chart.over("", [0.0, 0.5, 1.5], {}).labels] == ["0", "0.5", "1", "1.5"]


def test_a_seventh_line_is_dashed() -> None:
    lines = {f"{n}": {"1": Estimate(n), "2": Estimate(n)} for n in range(7)}
    assert [line.again for line in Chart.of("", lines, ["1", "2"]).lines] == [False] * 6 + [True]
