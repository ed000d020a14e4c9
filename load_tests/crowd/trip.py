"""A party's trip: spots with stays, and ways between them on foot, by bus or by metro. Pure, lazy, endless.

Streets run along a grid; a bus keeps to them and stops every few hundred metres, the metro goes nearly
straight from station to station. A trip has begun before the crowd does, so that parties are in the
middle of whatever they do when it starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from load_tests.crowd.city import City, Point
from load_tests.crowd.draw import Draw
from load_tests.crowd.traits import Traits


class Mode(StrEnum):
    """How one moves."""

    WALK = "walk"
    BUS = "bus"
    METRO = "metro"


TOP_MS = {Mode.WALK: 1.9, Mode.BUS: 14.0, Mode.METRO: 22.2}
"""Nobody is faster, metres per second: a brisk walker, 50 km/h in town, 80 km/h of Seoul's metro."""
SLOW_TOP_MS = {Mode.BUS: 8.0, Mode.METRO: 16.0}
WAY_M = {Mode.WALK: (200.0, 900.0), Mode.BUS: (800.0, 3_500.0), Mode.METRO: (2_000.0, 9_000.0)}
"""From spot to spot, as the crow flies; less in a small box."""
STOPS_M = {Mode.BUS: 450.0, Mode.METRO: 1_100.0}
"""Between two stops, about."""
DWELL_S = {Mode.WALK: (5.0, 35.0), Mode.BUS: (10.0, 40.0), Mode.METRO: (20.0, 45.0)}
"""At a crossing, a bus stop, a station."""
CROSSING_SHARE = 0.4
"""Of the corners: a walker waits there."""
PACE_MS = (1.1, 1.5)
SLOWEST = 0.9
"""A member's pace, at least, as a part of the party's."""
EASE = 1.5
"""A ride from stop to stop takes this much longer than at its top speed throughout: it starts and brakes
gently, by the cubic 3u² - 2u³, whose steepest slope is 1.5."""
GATHER_S = 60.0
"""The party waits so long for its own when all could be there."""
BOARD_S = 90.0
"""From the departure at a spot until the bus or train leaves with all who are at its door."""
STREETS_RAD = 0.2
"""How far the grid of streets is turned from north."""
BEGUN_S = 3_600.0
"""A trip began up to so long before the crowd."""


@dataclass(frozen=True, slots=True)
class Hop:
    """On to a point, and a wait there. `top_ms` is a ride's top speed; 0 on foot."""

    point: Point
    top_ms: float
    dwell_s: float


@dataclass(frozen=True, slots=True)
class Leg:
    """A stay at a spot until `depart_ms`, then a way to the next spot."""

    number: int
    mode: Mode
    origin: Point
    depart_ms: float
    hops: tuple[Hop, ...]
    pace_ms: float
    """The party's pace on foot, metres per second."""

    @property
    def goal(self) -> Point:
        return self.hops[-1].point


def begin(seed: int, party: int, city: City) -> tuple[float, Point]:
    """When a party's trip began (milliseconds, not after 0) and at which spot: more of them in the middle."""
    draw = Draw(seed, "trip", party)
    spot = city.held((draw.normal() * city.width_m / 4, draw.normal() * city.height_m / 4))
    return -1000 * draw.between(0, BEGUN_S), spot


def legs(seed: int, party: int, city: City, traits: Traits) -> Iterator[Leg]:
    """The legs of a party's trip, one after another, without end."""
    clock_ms, spot = begin(seed, party, city)
    number = 0
    while True:
        draw = Draw(seed, "leg", party, number)
        clock_ms += 1000 * draw.between(*traits.stay_s)
        mode = draw.pick(tuple(Mode), (traits.walk, traits.bus, traits.metro))
        goal = _goal(draw, city, spot, mode)
        leg = Leg(number, mode, spot, clock_ms, way(draw, city, spot, goal, mode), draw.between(*PACE_MS))
        yield leg
        clock_ms += 1000 * (nominal_s(leg) + GATHER_S)
        number, spot = number + 1, leg.goal


def way(draw: Draw, city: City, origin: Point, goal: Point, mode: Mode) -> tuple[Hop, ...]:
    """Hops from `origin` to `goal`, waits drawn; the last one ends at `goal` without a wait."""
    corners = [city.held(corner) for corner in _corners(draw, origin, goal, mode)]
    if mode is Mode.WALK:
        waits = (draw.between(*DWELL_S[mode]) if draw.chance(CROSSING_SHARE) else 0.0 for _ in corners)
        return (*(Hop(at, 0.0, wait) for at, wait in zip(corners, waits, strict=True)), Hop(goal, 0.0, 0.0))
    hops = []
    here = origin
    for there in (*corners, goal):
        parts = max(1, round(math.dist(here, there) / STOPS_M[mode]))
        for part in range(1, parts + 1):
            point = _between(here, there, part / parts)
            top = draw.between(SLOW_TOP_MS[mode], TOP_MS[mode])
            hops.append(Hop(point, top, draw.between(*DWELL_S[mode])))
        here = there
    return (*hops[:-1], Hop(goal, hops[-1].top_ms, 0.0))


def nominal_s(leg: Leg) -> float:
    """How long the way takes a slow member of the party, seconds."""
    seconds, here = 0.0 if leg.mode is Mode.WALK else BOARD_S, leg.origin
    for hop in leg.hops:
        speed = hop.top_ms / EASE if hop.top_ms else leg.pace_ms * SLOWEST
        seconds += math.dist(here, hop.point) / speed + hop.dwell_s
        here = hop.point
    return seconds


def _goal(draw: Draw, city: City, spot: Point, mode: Mode) -> Point:
    low, high = WAY_M[mode]
    high = min(high, 0.45 * min(city.width_m, city.height_m))
    low = min(low, high / 2)
    for _ in range(20):
        length, course = draw.between(low, high), draw.between(0, 2 * math.pi)
        goal = (spot[0] + length * math.sin(course), spot[1] + length * math.cos(course))
        if city.inside(goal):
            return goal
    inwards = math.atan2(-spot[0], -spot[1])  # from a corner of the box most ways lead out
    return city.held((spot[0] + low * math.sin(inwards), spot[1] + low * math.cos(inwards)))


def _corners(draw: Draw, origin: Point, goal: Point, mode: Mode) -> list[Point]:
    """Where the way turns: once or more often along the streets, a slight bend of the metro."""
    if mode is Mode.METRO:
        bend = draw.between(-0.12, 0.12)
        east, north = goal[0] - origin[0], goal[1] - origin[1]
        return [(origin[0] + east / 2 - bend * north, origin[1] + north / 2 + bend * east)]
    cos, sin = math.cos(STREETS_RAD), math.sin(STREETS_RAD)
    east, north = goal[0] - origin[0], goal[1] - origin[1]
    along, across = east * cos + north * sin, north * cos - east * sin
    first, second = draw.between(0.2, 0.8), draw.between(0.2, 0.8)
    turns = draw.pick(
        (
            ((1.0, 0.0),),
            ((0.0, 1.0),),
            ((first, 0.0), (first, 1.0)),
            ((0.0, second), (1.0, second)),
            ((first, 0.0), (first, second), (1.0, second)),
        ),
        (1, 1, 2, 2, 3),
    )
    return [
        (
            origin[0] + u * along * cos - v * across * sin,
            origin[1] + u * along * sin + v * across * cos,
        )
        for u, v in turns
    ]


def _between(a: Point, b: Point, part: float) -> Point:
    return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])
