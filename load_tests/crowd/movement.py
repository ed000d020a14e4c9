"""Where a member truly is: with the party and yet not in step. Pure, forward only, a few pieces of memory.

All members of a party make its trip, each at an own pace and with an own start; some go by other streets,
take the next bus, stroll away from a spot. Whoever is late goes on at once, and is back with the others at
the next spot that they stay at for long enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from load_tests.crowd.city import City, Point
from load_tests.crowd.draw import Draw
from load_tests.crowd.traits import Traits
from load_tests.crowd.trip import BOARD_S, EASE, SLOWEST, TOP_MS, Hop, Leg, Mode, begin, legs, way

SPOT_M = 20.0
"""Around a spot's middle people move about."""
BESIDE_M = 5.0
"""People walk, stand and sit beside each other, not in one point."""
FASTEST = 1.2
STROLL_MS = (0.4, 1.0)
STROLL_M = (60.0, 150.0)
STROLL_PACE_MS = 1.2
LOOK_S = 60.0
REST_S = (10.0, 120.0)
START_S = 30.0
"""So long after the first the last one starts on foot."""
HEADWAY_S = (120.0, 420.0)
"""Until the next bus or train."""
INNER_EDGE_M = 20.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Straight from a point to a point, or a wait. `eased`: starts and brakes gently."""

    start_ms: float
    end_ms: float
    here: Point
    there: Point
    mode: Mode
    eased: bool = False


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where somebody is: metres on the city's plane, metres per second, degrees from north."""

    point: Point
    speed_ms: float
    heading_deg: float
    mode: Mode


class Path:
    """A member's true way. Ask for times in rising order."""

    __slots__ = ("_heading_deg", "_piece", "_pieces")

    def __init__(self, seed: int, party: int, member: int, city: City, traits: Traits) -> None:
        self._pieces = pieces(seed, party, member, city, traits)
        self._piece = next(self._pieces)
        self._heading_deg = 0.0

    def at(self, at_ms: float) -> Place:
        """The place at a time of 0 or more, not before the last one asked for; else `ValueError`."""
        if at_ms < self._piece.start_ms:
            raise ValueError("a path is asked for times in rising order")
        while at_ms >= self._piece.end_ms:
            self._piece = next(self._pieces)
        piece = self._piece
        (x0, y0), (x1, y1) = piece.here, piece.there
        if x0 == x1 and y0 == y1:
            return Place(piece.here, 0.0, self._heading_deg, piece.mode)
        span_ms = piece.end_ms - piece.start_ms
        part = (at_ms - piece.start_ms) / span_ms
        speed = 1000 * math.hypot(x1 - x0, y1 - y0) / span_ms
        if piece.eased:
            speed *= 6 * part * (1 - part)
            part = part * part * (3 - 2 * part)
        self._heading_deg = math.degrees(math.atan2(x1 - x0, y1 - y0)) % 360
        point = (x0 + part * (x1 - x0), y0 + part * (y1 - y0))
        return Place(point, speed, self._heading_deg, piece.mode)


def pieces(seed: int, party: int, member: int, city: City, traits: Traits) -> Iterator[Piece]:
    """The pieces of a member's way, without a gap and without end."""
    clock_ms, spot = begin(seed, party, city)
    here = _beside(Draw(seed, "start", party, member), city, spot, SPOT_M)
    for leg in legs(seed, party, city, traits):
        draw = Draw(seed, "own leg", party, member, leg.number)
        own_s = draw.between(0, START_S)
        for piece in _stay(draw, leg, clock_ms, here, city=city, traits=traits):
            yield piece
            clock_ms, here = piece.end_ms, piece.there
        if (depart_ms := leg.depart_ms + 1000 * own_s) > clock_ms:
            yield Piece(clock_ms, depart_ms, here, here, Mode.WALK)
            clock_ms = depart_ms
        for piece in _go(draw, leg, clock_ms, here, city=city, traits=traits):
            yield piece
            clock_ms, here = piece.end_ms, piece.there


def _stay(
    draw: Draw, leg: Leg, clock_ms: float, here: Point, *, city: City, traits: Traits
) -> Iterator[Piece]:
    """Moving about a spot until the party departs; a stroll if there is the time for one."""
    far_m = draw.between(*STROLL_M)
    stroll_ms = 1000 * (2 * (far_m + 2 * SPOT_M) / STROLL_PACE_MS + LOOK_S)
    if draw.chance(traits.stray_share) and clock_ms + stroll_ms < leg.depart_ms:
        course = draw.between(0, 2 * math.pi)
        away = (leg.origin[0] + far_m * math.sin(course), leg.origin[1] + far_m * math.cos(course))
        back = _beside(draw, city, leg.origin, SPOT_M)
        out = _walk(clock_ms, here, city.held(away, INNER_EDGE_M), STROLL_PACE_MS)
        look = Piece(out.end_ms, out.end_ms + 1000 * LOOK_S, out.there, out.there, Mode.WALK)
        home = _walk(look.end_ms, look.there, back, STROLL_PACE_MS)
        yield from (out, look, home)
        clock_ms, here = home.end_ms, back
    while clock_ms < leg.depart_ms:
        rest_ms = min(leg.depart_ms, clock_ms + 1000 * draw.between(*REST_S))
        yield Piece(clock_ms, rest_ms, here, here, Mode.WALK)
        piece = _walk(rest_ms, here, _beside(draw, city, leg.origin, SPOT_M), draw.between(*STROLL_MS))
        if piece.end_ms >= leg.depart_ms:
            return
        yield piece
        clock_ms, here = piece.end_ms, piece.there


def _go(draw: Draw, leg: Leg, clock_ms: float, here: Point, *, city: City, traits: Traits) -> Iterator[Piece]:
    """The way of a leg, from where the member is to near its goal."""
    hops: tuple[Hop, ...] = leg.hops
    if leg.mode is Mode.WALK and draw.chance(traits.stray_share):
        hops = way(draw, city, leg.origin, leg.goal, leg.mode)
    aside = (draw.between(-BESIDE_M, BESIDE_M), draw.between(-BESIDE_M, BESIDE_M))
    pace = min(TOP_MS[Mode.WALK], leg.pace_ms * draw.between(SLOWEST, FASTEST))
    if leg.mode is not Mode.WALK:
        ride_ms = leg.depart_ms + 1000 * BOARD_S
        if draw.chance(traits.missed_share):
            ride_ms += 1000 * draw.between(*HEADWAY_S)
        door = _walk(clock_ms, here, _moved(city, leg.origin, aside), pace)
        yield door
        clock_ms, here = max(door.end_ms, ride_ms), door.there
        yield Piece(door.end_ms, clock_ms, here, here, Mode.WALK)
    for hop in hops:
        there = _moved(city, hop.point, aside)
        if leg.mode is Mode.WALK:
            piece = _walk(clock_ms, here, there, pace)
        else:
            arrives_ms = clock_ms + 1000 * EASE * math.dist(here, there) / hop.top_ms
            piece = Piece(clock_ms, arrives_ms, here, there, leg.mode, eased=True)
        yield piece
        clock_ms, here = piece.end_ms, there
        if hop.dwell_s:
            yield Piece(clock_ms, clock_ms + 1000 * hop.dwell_s, here, here, leg.mode)
            clock_ms += 1000 * hop.dwell_s


def _walk(clock_ms: float, here: Point, there: Point, pace_ms: float) -> Piece:
    return Piece(clock_ms, clock_ms + 1000 * math.dist(here, there) / pace_ms, here, there, Mode.WALK)


def _beside(draw: Draw, city: City, point: Point, within_m: float) -> Point:
    """A point in the circle around `point`, evenly over its area."""
    radius, course = within_m * math.sqrt(draw.between(0, 1)), draw.between(0, 2 * math.pi)
    return _moved(city, point, (radius * math.sin(course), radius * math.cos(course)))


def _moved(city: City, point: Point, aside: Point) -> Point:
    return city.held((point[0] + aside[0], point[1] + aside[1]), INNER_EDGE_M)
