"""A city is a box of degrees with a plane of metres on it. Values only.

On the plane x runs east and y north from the box's middle, on a sphere of the Earth's mean radius (IUGG); a
degree of longitude is taken as wide everywhere as in the middle, which the box's size keeps nearly true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

METRES_PER_DEGREE = math.radians(6_371_008.8)
"""Of latitude."""
MAX_LAT = 75.0
MIN_SIDE_M, MAX_SIDE_M = 2_000.0, 120_000.0
EDGE_M = 200.0
"""Trips keep this far inside the box, so that neither errors nor strolls leave it."""
WIDEST = 1.04
"""No length on the plane is off by more than this factor, given the bounds above."""

Point = tuple[float, float]
"""Metres east and north of the middle."""


@dataclass(frozen=True, slots=True)
class City:
    """A box in degrees. Raises `ValueError` for no box, and one too near a pole, too small or too large."""

    name: str
    south: float
    west: float
    north: float
    east: float

    def __post_init__(self) -> None:
        if not (-MAX_LAT <= self.south < self.north <= MAX_LAT and -180 <= self.west < self.east <= 180):
            raise ValueError(
                f"{self.name}: give south < north within {MAX_LAT:g} degrees of the equator and west < east"
                " within 180; a box cannot cross the date line"
            )
        sides = (self.width_m, self.height_m)
        if min(sides) < MIN_SIDE_M or max(sides) > MAX_SIDE_M:
            raise ValueError(
                f"{self.name}: {sides[0] / 1000:.1f} by {sides[1] / 1000:.1f} km; give a box whose sides are"
                f" {MIN_SIDE_M / 1000:g} to {MAX_SIDE_M / 1000:g} km"
            )

    @property
    def middle(self) -> tuple[float, float]:
        return (self.south + self.north) / 2, (self.west + self.east) / 2

    @property
    def metres_per_lon(self) -> float:
        return METRES_PER_DEGREE * math.cos(math.radians(self.middle[0]))

    @property
    def width_m(self) -> float:
        return (self.east - self.west) * self.metres_per_lon

    @property
    def height_m(self) -> float:
        return (self.north - self.south) * METRES_PER_DEGREE

    def degrees(self, point: Point) -> tuple[float, float]:
        """Latitude and longitude of a point, which may lie outside the box."""
        lat, lon = self.middle
        lon += point[0] / self.metres_per_lon
        return lat + point[1] / METRES_PER_DEGREE, (lon + 180) % 360 - 180

    def contains(self, lat: float, lon: float) -> bool:
        """Whether the place is in the box, to a metre."""
        slack = 1 / METRES_PER_DEGREE
        wide = 1 / self.metres_per_lon
        return self.south - slack <= lat <= self.north + slack and self.west - wide <= lon <= self.east + wide

    def inside(self, point: Point, edge_m: float = EDGE_M) -> bool:
        """Whether a point lies in the box and at least `edge_m` from its sides."""
        return abs(point[0]) <= self.width_m / 2 - edge_m and abs(point[1]) <= self.height_m / 2 - edge_m

    def held(self, point: Point, edge_m: float = EDGE_M) -> Point:
        """The point, or the nearest one that is `inside`."""
        wide, high = self.width_m / 2 - edge_m, self.height_m / 2 - edge_m
        return max(-wide, min(wide, point[0])), max(-high, min(high, point[1]))


SEOUL = City("Seoul", south=37.48, west=126.88, north=37.62, east=127.10)
"""From Yeouido and Gangnam to Bukhansan's foot."""
