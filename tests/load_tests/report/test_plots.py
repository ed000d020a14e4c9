"""What was measured is to be seen, in whichever pattern it came."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from load_tests.report.panels import PANELS, Panel
from load_tests.report.plots import draw
from load_tests.report.series import Line, course
from tests.load_tests.report.runs import run

GAP = math.nan
PANEL = Panel("held", "Unacked", "fixes", lambda went: [])


def marks(svg: str) -> int:
    """How many points are drawn as dots."""
    return len(re.findall(r"<use ", svg))


@pytest.mark.parametrize(
    ("values", "dots"),
    [
        ((1.0, 2.0, 3.0), 0),
        ((1.0,), 1),
        ((GAP, 5.0, GAP, 7.0, GAP), 2),
        ((5.0, GAP, 5.0, 6.0, GAP, 7.0), 2),
        ((GAP, GAP), 0),
    ],
)
def test_a_point_between_gaps_is_a_dot(values: tuple[float, ...], dots: int) -> None:
    line = Line("held", tuple(map(float, range(len(values)))), values)
    assert marks(draw(PANEL, [line])) == (dots if line.measured else 0)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_a_panel_is_well_formed_and_its_lines_have_colours_of_their_own(panel: Panel) -> None:
    lines = panel.lines(course(run(5)))
    svg = draw(panel, lines)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert {f"--line-{number}" for number in range(1, len(lines) + 1)} == set(re.findall(r"--line-\d", svg))


def test_a_level_of_nothing_lies_on_the_axis() -> None:
    assert "--line-1" in draw(PANEL, [Line("held", (0.0, 1.0, 2.0), (0.0, 0.0, 0.0))])


def test_an_earlier_run_that_was_longer_is_drawn_whole() -> None:
    now, before = Line("held", (0.5, 1.5), (1.0, 1.0)), Line("held", (0.5, 500.0), (1.0, 1.0))
    assert "minutes" not in draw(PANEL, [now])
    assert ">8<" in draw(PANEL, [now], [before])  # of 8.3 minutes
