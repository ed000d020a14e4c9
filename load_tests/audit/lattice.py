"""Whether rough positions of one person lie on one grid, as centres of cells must. Pure arithmetic.

The grid's law, from outside: a degree of latitude is 111,320 m; rows of cells have the side's height; eight
rows of 500 m (4,000 m) make a band, in which as many columns of 4,000 m fit round the Earth as at the band's
poleward edge. The offset is secret, and so is which row of its band a cell lies in: every possibility is
kept until a cell contradicts it. The first cell always fits.
"""

from __future__ import annotations

import math

METRES_PER_DEGREE = 111_320.0
BAND_M = 4_000
TOLERANCE = 1e-4
"""Cells; 5 cm at 500 m. What is not on the grid is on it by chance once in 5,000 times an axis."""
_POLE = 89.9


class Lattice:
    """The grid of one person at one side."""

    __slots__ = ("_guesses", "_rows", "_side", "_y")

    def __init__(self, side_m: int) -> None:
        self._side = side_m
        self._rows = BAND_M // side_m
        self._y: float | None = None
        """Metres north of the equator of the first cell's centre."""
        self._guesses: list[tuple[int, float]] = []
        """The first cell's row in its band, and the column's phase that follows from it."""

    def fits(self, lat: float, lon: float) -> bool:
        """Whether this may be a centre, after all those before. One that may not changes nothing."""
        if abs(lat) > _POLE:
            return True
        y = lat * METRES_PER_DEGREE
        if self._y is None:
            self._y = y
            self._guesses = [(row, self._phase(y, row, lon)) for row in range(self._rows)]
            return True
        up = (y - self._y) / self._side
        if abs(up - round(up)) > TOLERANCE:
            return False
        left = [
            (row, phase)
            for row, phase in self._guesses
            if _apart(self._phase(y, (row + round(up)) % self._rows, lon), phase) <= TOLERANCE
        ]
        self._guesses = left or self._guesses
        return bool(left)

    def _phase(self, y: float, row: int, lon: float) -> float:
        """Where in its column a longitude lies, in cells, if the cell is row `row` of its band."""
        south = y - (row + 0.5) * self._side
        poleward = max(abs(south), abs(south + BAND_M)) / METRES_PER_DEGREE
        around = int(360.0 * METRES_PER_DEGREE * math.cos(math.radians(min(poleward, 90.0))) / BAND_M)
        return ((lon + 180.0) % 360.0) / 360.0 * around * self._rows % 1.0


def _apart(one: float, other: float) -> float:
    apart = abs(one - other)
    return min(apart, 1.0 - apart)
