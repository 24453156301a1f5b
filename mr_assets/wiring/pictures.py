"""Pictures for the UI: distributions and curves as small PNGs, inside Markdown.

Only numbers and this project's own labels are drawn. The same numbers give the same bytes on the same installation.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

INCHES = (5.6, 2.2)
DOTS_PER_INCH = 90
BARS = 40
COLOURS = ("#3b6ea8", "#d1783c", "#5c9e6c")
Values = pl.Series | Sequence[float] | np.ndarray


def score_histogram(counts: pl.DataFrame, lowest: float = 0.0, highest: float = 5.0) -> str:
    """How often each score of the scale is given: columns score and n."""
    figure, [axes] = _figure(1)
    unit = (highest - lowest) / 5
    axes.bar(counts["score"].to_list(), counts["n"].to_list(), width=0.22 * unit, color=COLOURS[0])
    axes.set(xlabel="score", ylabel="judgments", xlim=(lowest - 0.4 * unit, highest + 0.4 * unit))
    return markdown(figure, "score distribution")


def lengths(parts: Mapping[str, Values], counted: str) -> str:
    """The distribution of lengths in characters."""
    return histogram(parts, "characters, the longest 1% in the last bar", counted, upto=0.99)


def histogram(parts: Mapping[str, Values], what: str, counted: str, upto: float = 1.0) -> str:
    """The distribution of each part over common bars; what is beyond the quantile `upto` is in the last one."""
    figure, [axes] = _figure(1)
    values = {name: _finite(part) for name, part in parts.items()}
    everything = np.concatenate([*values.values(), np.empty(0)])
    if everything.size:
        low, high = float(everything.min()), float(np.quantile(everything, upto))
        edges = np.linspace(low, high if high > low else low + 1, BARS + 1)
        for (name, part), colour in zip(values.items(), COLOURS, strict=False):
            axes.hist(np.clip(part, edges[0], edges[-1]), bins=edges, color=colour, alpha=0.6, label=name)
        if len(values) > 1:
            axes.legend(frameon=False, fontsize=8)
    axes.set(xlabel=what, ylabel=counted)
    return markdown(figure, f"distribution of {what}")


def densities(grid: Values, lines: Mapping[str, Values]) -> str:
    """The density of mean scores over the scale, of several judges."""
    figure, [axes] = _figure(1)
    at = np.asarray(grid, float)
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        axes.plot(at, np.asarray(line, float), color=colour, label=name, linewidth=1.2)
    axes.set(xlabel="mean score of a response", ylabel="density")
    axes.legend(frameon=False, fontsize=8)
    return markdown(figure, "scoring shift")


def curves(steps: Values, panels: Sequence[Mapping[str, Values]]) -> str:
    """Curves over optimizer steps, one panel beside the other; what is not finite leaves a gap."""
    figure, axes = _figure(len(panels))
    at = np.asarray(steps, float)
    for ax, lines in zip(axes, panels, strict=True):
        for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
            ax.plot(at, np.asarray(line, float), color=colour, label=name, linewidth=1.2)
        ax.set(xlabel="step")
        ax.legend(frameon=False, fontsize=8)
    return markdown(figure, "training")


def _finite(values: Values) -> np.ndarray:
    given = np.asarray(values, float)
    finite: np.ndarray = given[np.isfinite(given)]
    return finite


def _figure(panels: int) -> tuple[Any, list[Any]]:
    """A figure of its own, without matplotlib's global state, and its axes from left to right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, i + 1) for i in range(panels)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
        ax.xaxis.label.set_fontsize(9)
        ax.yaxis.label.set_fontsize(9)
    return figure, axes


def markdown(figure: Any, title: str) -> str:
    """The figure, drawn, as an image in Markdown that holds its own bytes."""
    buffer = BytesIO()
    figure.canvas.print_png(buffer, metadata={"Software": None})  # `savefig` would lay it out and draw it once more
    return f"![{title}](data:image/png;base64,{b64encode(buffer.getvalue()).decode()})"
