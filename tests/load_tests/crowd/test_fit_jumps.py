"""A jump is out and back again, suddenly; a trip, a broken export and a single hop are none."""

from __future__ import annotations

import pytest

from load_tests.crowd.fit_jumps import find_jumps
from load_tests.readings import Reading, Track

DEGREE_M = 111_195.08


def track(*metres: float, step_s: int = 10, acc: float = 20.0) -> Track:
    """Somebody who is so many metres north of a place at each step."""
    readings = [Reading(1000 * step_s * n, 60.0 + m / DEGREE_M, 25.0, acc) for n, m in enumerate(metres)]
    return Track("a", readings)


def test_out_and_back_is_one_jump_with_its_length_and_time() -> None:
    jumps = find_jumps([track(0, 0, 800, 800, 0, 0, 0, 300, 0, 0, acc=150.0)])
    assert jumps.count == 2
    assert jumps.most_m == pytest.approx(800, abs=1)
    assert jumps.median_m == pytest.approx(550, abs=1)
    assert jumps.lasts_s == pytest.approx(15)
    assert jumps.per_hour == pytest.approx(2 / (90 / 3600))
    assert jumps.bold == 0.0


@pytest.mark.parametrize(
    "metres",
    [
        (0, 10, 20, 30),
        (0, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 0),
        (0, 200, 400, 600, 800, 600, 400, 200, 0),
        (0, 9_000_000, 0, 0),
        (0, 50, 0, 0),
    ],
)
def test_what_is_no_jump_is_not_counted(metres: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no jump"):
        find_jumps([track(*metres)])
