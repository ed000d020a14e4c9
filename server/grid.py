"""One person's grid: which cell a place lies in, and where a cell's centre is. Pure arithmetic.

The grid's offset comes from a keyed hash of the user, so that two people's grids are unrelated. It does
not hide the grid from somebody who has seen a cell: a centre tells its edges. What hides a place near
an edge is in `server/masking.py`.

Rows are strips of latitude of equal height. Columns are counted per *band* (a row of the coarsest side):
as many whole columns as fit round the Earth at the band's poleward edge, so that no cell is narrower
than its side, there is no cut column at the antimeridian, and the finer sides divide the coarser ones.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import NamedTuple

METRES_PER_DEGREE = 111_320.0
"""One degree of the equator: WGS 84's semi-major axis, 2π · 6,378,137 m / 360, rounded. A degree of
latitude is 110,574 to 111,694 m on the ellipsoid, within 0.7 % of it."""

SIDES = (250, 500, 1000, 2000, 4000)
"""Sides of a cell, metres, each a divisor of the next."""

FINEST = SIDES[0]
COARSEST = SIDES[-1]
_FINEST_IN_COARSEST = COARSEST // FINEST

_PERSON = b"partyline.grid"
"""blake2b's personalisation: keeps this use of the secret apart from the others (RFC 7693, 2.5)."""


class Cell(NamedTuple):
    """A cell by its side in metres and its place in the grid. It means nothing without the offset."""

    side: int
    row: int
    col: int


def origin(key: bytes, user_id: int) -> tuple[float, float]:
    """The offset of a user's grid: metres north and east, each in [0, 4000).

    `key` is the secret, at most 64 bytes. Raises `ValueError` for a longer or an empty one.
    """
    if not 0 < len(key) <= blake2b.MAX_KEY_SIZE:
        raise ValueError("a grid's key has 1 to 64 bytes")
    digest = blake2b(
        user_id.to_bytes(16, "big", signed=True), digest_size=16, key=key, person=_PERSON
    ).digest()
    north, east = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    return (north >> 11) / 2**53 * COARSEST, (east >> 11) / 2**53 * COARSEST


class Grid:
    """The grid at one offset, in metres north and east."""

    __slots__ = ("_east", "_north")

    def __init__(self, north_m: float, east_m: float) -> None:
        self._north = north_m
        self._east = east_m / COARSEST

    def cell(self, lat: float, lon: float, side: int) -> Cell:
        """The cell of that side around a place in degrees.

        Found at the finest side and then divided, so that cells nest whatever rounding does.
        """
        row = math.floor((lat * METRES_PER_DEGREE + self._north) / FINEST)
        step = side // FINEST
        around = self._around(row // _FINEST_IN_COARSEST)
        if around == 0:
            return Cell(side, row // step, 0)
        turn = ((lon + 180.0) % 360.0) / 360.0
        col = math.floor((turn * around + self._east) * _FINEST_IN_COARSEST) % (around * _FINEST_IN_COARSEST)
        return Cell(side, row // step, col // step)

    def centre(self, cell: Cell) -> tuple[float, float]:
        """Latitude in [-90, 90] and longitude in [-180, 180) of the cell's centre."""
        lat = ((cell.row + 0.5) * cell.side - self._north) / METRES_PER_DEGREE
        around = self._around(cell.row * cell.side // COARSEST)
        turn = ((cell.col + 0.5) * cell.side / COARSEST - self._east) / around if around else 0.5
        lon = (turn * 360.0) % 360.0 - 180.0
        return min(max(lat, -90.0), 90.0), (lon if lon < 180.0 else -180.0)

    def beyond(self, cell: Cell, lat: float, lon: float) -> tuple[float, float]:
        """Metres that a place lies past the cell's edges: north and east above zero, south and west below.

        Zero between the edges. The shorter way round the Earth counts.
        """
        north = lat * METRES_PER_DEGREE + self._north - (cell.row + 0.5) * cell.side
        around = self._around(cell.row * cell.side // COARSEST)
        if around == 0:
            return _past(north, cell.side), 0.0
        turn = (lon + 180.0) / 360.0 - ((cell.col + 0.5) * cell.side / COARSEST - self._east) / around
        return _past(north, cell.side), _past((turn - round(turn)) * around * COARSEST, cell.side)

    def metres_outside(self, cell: Cell, lat: float, lon: float) -> float:
        """Chebyshev distance past the cell's edge, metres; 0 inside."""
        north, east = self.beyond(cell, lat, lon)
        return max(abs(north), abs(east))

    def moved(self, lat: float, lon: float, north_m: float, east_m: float) -> tuple[float, float]:
        """A place so many metres further north and east, by the grid's own scale at `lat`."""
        band = math.floor((lat * METRES_PER_DEGREE + self._north) / COARSEST)
        around = self._around(band)
        east = east_m / (around * COARSEST) * 360.0 if around else 0.0
        return min(max(lat + north_m / METRES_PER_DEGREE, -90.0), 90.0), lon + east

    def _around(self, band: int) -> int:
        """Columns of the coarsest side round the Earth in a band; 0 next to a pole: one cell all round."""
        south = (band * COARSEST - self._north) / METRES_PER_DEGREE
        north = south + COARSEST / METRES_PER_DEGREE
        poleward = max(abs(south), abs(north))
        if poleward >= 90.0:
            return 0
        return int(360.0 * METRES_PER_DEGREE * math.cos(math.radians(poleward)) / COARSEST)


def _past(from_centre: float, side: int) -> float:
    half = side / 2
    if from_centre > half:
        return from_centre - half
    if from_centre < -half:
        return from_centre + half
    return 0.0
