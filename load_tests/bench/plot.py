"""The comparison as bars in an SVG, drawn by matplotlib, which is an optional extra."""

from __future__ import annotations

from pathlib import Path

from load_tests.bench.results import MEASURES, OURS, Results
from load_tests.bench.show import COLUMNS, figure


def draw(results: Results, file: Path) -> None:
    """A panel a measure, a bar a subject, the least at the top. Raises `OSError` where it may not write."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    panels = [name for name in COLUMNS if any(results.median(one, name) for one in results.subjects())]
    drawing, axes = pyplot.subplots(
        1, len(panels), figsize=(4 * len(panels), 3), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], panels, strict=True):
        found = [
            (value, one) for one in results.subjects() if (value := results.median(one, name)) is not None
        ]
        found.sort(reverse=True)
        colours = ["tab:blue" if subject == OURS else "tab:gray" for _, subject in found]
        bars = axis.barh([subject for _, subject in found], [value for value, _ in found], color=colours)
        axis.bar_label(bars, labels=[figure(value) for value, _ in found], padding=2)
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title(MEASURES[name][0])
        axis.set_xlabel(MEASURES[name][1])
    drawing.savefig(file, format="svg")
    pyplot.close(drawing)
