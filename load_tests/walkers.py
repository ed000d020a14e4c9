"""People who walk in the middle of Seoul, one position a second. Pure: the same seed, the same walk.

They follow a few places between Gyeongbokgung, Insadong and Cheonggyecheon, turn no faster than people
do, rest now and then, and their phones are wrong by a few metres in a way that drifts: a first-order
autoregressive error, as of a receiver among buildings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

# Typed from a map by hand; good to about twenty metres.
PLACES: dict[str, tuple[float, float]] = {
    "gwanghwamun gate": (37.5759, 126.9769),
    "gwanghwamun square": (37.5725, 126.9769),
    "palace east corner": (37.5760, 126.9800),
    "national museum road": (37.5795, 126.9801),
    "anguk station": (37.5766, 126.9855),
    "insadong north": (37.5757, 126.9842),
    "insadong middle": (37.5741, 126.9857),
    "insadong south": (37.5721, 126.9871),
    "jonggak": (37.5702, 126.9830),
    "tapgol park": (37.5710, 126.9881),
    "cheonggye plaza": (37.5691, 126.9778),
    "gwangtonggyo": (37.5689, 126.9813),
    "samilgyo": (37.5686, 126.9873),
    "sewoon bridge": (37.5689, 126.9951),
}
WAYS: tuple[tuple[str, str], ...] = (
    ("gwanghwamun gate", "gwanghwamun square"),
    ("gwanghwamun square", "cheonggye plaza"),
    ("gwanghwamun gate", "palace east corner"),
    ("palace east corner", "national museum road"),
    ("palace east corner", "insadong north"),
    ("insadong north", "anguk station"),
    ("insadong north", "insadong middle"),
    ("insadong middle", "insadong south"),
    ("insadong south", "tapgol park"),
    ("tapgol park", "jonggak"),
    ("tapgol park", "samilgyo"),
    ("jonggak", "gwangtonggyo"),
    ("cheonggye plaza", "gwangtonggyo"),
    ("gwangtonggyo", "samilgyo"),
    ("samilgyo", "sewoon bridge"),
)

SLOWEST_MS, FASTEST_MS = 1.1, 1.6
"""Walking speeds, metres per second."""
TURN_DEG = 40.0
"""The most that a walker turns in a second: at 1.6 m/s a circle of 2.3 m, well inside `ARRIVED_M`."""
ARRIVED_M = 8.0
REST_CHANCE = 0.4
REST_S = (5, 40)
ERROR_M = 3.0
"""Standard deviation of each axis of the error, metres."""
ERROR_KEEPS = 0.97
"""What is left of the error after a second."""
MAX_ERROR_M = 8.0
MAX_DRIFT_M = 1.0
"""The most that chance adds to an axis of the error in a second."""
METRES_PER_DEGREE = math.radians(6_371_008.8)
"""Of latitude, on a sphere of the Earth's mean radius (IUGG)."""

MAX_STEP_M = FASTEST_MS + math.sqrt(2) * (MAX_DRIFT_M + (1 - ERROR_KEEPS) * MAX_ERROR_M)
"""The most that a reported position moves in a second: the walk, and the drift of both axes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the phone reports: degrees, metres, metres per second, degrees from north."""

    lat: float
    lon: float
    acc: float
    spd: float
    hdg: float


def walk(seed: int) -> Iterator[Step]:
    """The steps of one walker, one a second, without end."""
    random = Random(seed)
    here = random.choice(sorted(PLACES))
    lat, lon = PLACES[here]
    goal = _next_place(random, here, None)
    heading = _bearing(lat, lon, *PLACES[goal])
    pace = random.uniform(SLOWEST_MS, FASTEST_MS)
    rest, north_m, east_m = 0, random.gauss(0, ERROR_M / 2), random.gauss(0, ERROR_M / 2)
    while True:
        north_m, east_m = _drift(random, north_m), _drift(random, east_m)
        shown_lat, shown_lon = _moved(lat, lon, north_m, east_m)
        speed = pace if rest == 0 else 0.0
        yield Step(
            shown_lat, shown_lon, round(random.uniform(4, 12), 1), round(speed, 2), round(heading, 1) % 360
        )
        if rest > 0:
            rest -= 1
            continue
        if _distance(lat, lon, *PLACES[goal]) <= ARRIVED_M:
            here, goal = goal, _next_place(random, goal, here)
            rest = random.randint(*REST_S) if random.random() < REST_CHANCE else 0
        heading = _turned(heading, _bearing(lat, lon, *PLACES[goal]))
        course = math.radians(heading)
        lat, lon = _moved(lat, lon, pace * math.cos(course), pace * math.sin(course))


def _next_place(random: Random, here: str, before: str | None) -> str:
    beside = [b if a == here else a for a, b in WAYS if here in (a, b)]
    onward = [place for place in beside if place != before]
    return random.choice(onward or beside)


def _drift(random: Random, error_m: float) -> float:
    fresh = random.gauss(0, ERROR_M * math.sqrt(1 - ERROR_KEEPS**2))
    drifted = ERROR_KEEPS * error_m + max(-MAX_DRIFT_M, min(MAX_DRIFT_M, fresh))
    return max(-MAX_ERROR_M, min(MAX_ERROR_M, drifted))


def _moved(lat: float, lon: float, north_m: float, east_m: float) -> tuple[float, float]:
    wide = METRES_PER_DEGREE * math.cos(math.radians(lat))
    return lat + north_m / METRES_PER_DEGREE, lon + east_m / wide


def _offset(lat: float, lon: float, to_lat: float, to_lon: float) -> tuple[float, float]:
    """Metres north and east, on the plane that touches the first place."""
    wide = METRES_PER_DEGREE * math.cos(math.radians(lat))
    return (to_lat - lat) * METRES_PER_DEGREE, (to_lon - lon) * wide


def _distance(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    return math.hypot(*_offset(lat, lon, to_lat, to_lon))


def _bearing(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    north_m, east_m = _offset(lat, lon, to_lat, to_lon)
    return math.degrees(math.atan2(east_m, north_m)) % 360


def _turned(heading: float, wanted: float) -> float:
    """`heading`, turned towards `wanted` by the shorter side, by no more than `TURN_DEG`."""
    turn = (wanted - heading + 180) % 360 - 180
    return (heading + max(-TURN_DEG, min(TURN_DEG, turn))) % 360
