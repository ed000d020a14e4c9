"""Draws a panel as an SVG that stands inside the page: matplotlib's drawing in the page's own colours.

Line number n (from 1) has the colour `--line-n`. The same run gives the same bytes.
Only our own words and numbers are drawn, nothing of the run's texts.
"""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from load_tests.report.panels import Panel
from load_tests.report.series import Line

WIDE_IN, HIGH_IN = 5.0, 2.7
"""A phone's width at the size of its text."""
INK, GRID = "#010101", "#020202"
LINES = ("#030301", "#030302", "#030303", "#030304")
COLOURS = {INK: "var(--ink)", GRID: "var(--grid)"} | {
    drawn: f"var(--line-{number})" for number, drawn in enumerate(LINES, 1)
}
"""What matplotlib is told to draw in, and what stands in the page: so one drawing does for light and dark."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "grid.color": GRID,
    "axes.formatter.useoffset": False,
    "text.parse_math": False,
}
MINUTES_FROM_S = 180
PALE = 0.45

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells of its cache on stderr


def draw(panel: Panel, lines: Sequence[Line], earlier: Sequence[Line] = ()) -> str:
    """The panel's lines as `<svg>`, those of an earlier run pale."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": panel.key}):
        figure = Figure(figsize=(WIDE_IN, HIGH_IN), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        _draw_lines(axes, lines, earlier)
        _draw_frame(axes, panel, [*lines, *earlier])
        drawn = io.StringIO()
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(drawn, format="svg", metadata=unsaid)
    return _for_the_page(drawn.getvalue(), panel)


def _draw_lines(axes: Axes, lines: Sequence[Line], earlier: Sequence[Line]) -> None:
    colours = {line.name: LINES[number % len(LINES)] for number, line in enumerate(lines)}
    for line in earlier:
        if line.measured:
            _draw_line(axes, line, colours[line.name], alpha=PALE, width=1.2)
    for line in lines:
        if line.measured:
            _draw_line(axes, line, colours[line.name], alpha=1.0, width=1.7)


def _draw_line(axes: Axes, line: Line, colour: str, *, alpha: float, width: float) -> None:
    axes.plot(
        line.x,
        line.y,
        color=colour,
        alpha=alpha,
        linewidth=width,
        marker="o",
        markersize=3,
        markevery=_alone(line.y),
    )


def _alone(values: Sequence[float]) -> list[int]:
    """The points between two gaps: they make no line, and would not be seen."""
    there = [False, *map(math.isfinite, values), False]
    return [at - 1 for at in range(1, len(there) - 1) if there[at] and not (there[at - 1] or there[at + 1])]


def _draw_frame(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.8)
    axes.tick_params(length=0, pad=5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if panel.by_time_taken:
        axes.set_ylim(0, 102)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.set_xlabel("ms")
    else:
        most = max((value for line in lines for value in line.y if math.isfinite(value)), default=0.0)
        axes.set_ylim(0, 1.05 * most or 1.0)
        last_s = max((at for line in lines for at in line.x), default=0.0)
        scale, unit = (60, "minutes") if last_s >= MINUTES_FROM_S else (1, "seconds")
        axes.set_xlim(0, max(last_s, 1.0))
        axes.xaxis.set_major_locator(_WholeUnits(scale))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:,.10g}"))
        axes.set_xlabel(unit)


class _WholeUnits(MaxNLocator):
    """Ticks at whole seconds or minutes."""

    def __init__(self, unit_s: int) -> None:
        super().__init__(6, steps=[1, 2, 5, 10], integer=True)
        self._unit_s = unit_s

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return [self._unit_s * tick for tick in super().tick_values(vmin / self._unit_s, vmax / self._unit_s)]


def _for_the_page(svg: str, panel: Panel) -> str:
    """Without the XML prologue, with names that are unique in the page, scaled to its column."""
    svg = svg[svg.index("<svg") :]
    for drawn, shown in COLOURS.items():
        svg = svg.replace(drawn, shown)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # for all of a page
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\1{panel.key}-", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)  # a hundredth of a point is finer than any screen
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', rf'\1 role="img" aria-label="{panel.title}"', svg, count=1)
    return svg.strip()
