"""People whose places are attacked, and what an attacker sees of them. Seeded; the cell is 1 km unless said.

Public is: the shown centre, its beat, and the beat of each change; the rule itself; and, because a centre
tells its edges, the person's grid.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from statistics import fmean

from protocol.limits import BEAT_MS
from protocol.messages import Fix
from protocol.precision import Precision
from server.grid import METRES_PER_DEGREE
from server.masking import MaskKey, Position, UserMasks, mask
from server.rough import HOLD, MAX_DELAY_MS, SHIFT, RoughMask

KEY = MaskKey(bytes(range(32)))
SIDE = 1000
PEOPLE = 120
DAY_MS = 86_400_000
EIGHT = 1_749_974_400_000 + 8 * 3_600_000
"""Eight o'clock of some day."""
NOISE_M = 10.0
WALK_M_S = 1.4
STEP_MS = 10_000

Place = tuple[float, float]


def north_of(place: Place, metres: float) -> Place:
    return place[0] + metres / METRES_PER_DEGREE, place[1]


def home_of(user: int) -> Place:
    where = random.Random(user)
    return where.uniform(-60, 60), where.uniform(-180, 179)


def reading(at: int, place: Place, noise: random.Random) -> Fix:
    lat = place[0] + noise.gauss(0, NOISE_M) / METRES_PER_DEGREE
    east = noise.gauss(0, NOISE_M) / METRES_PER_DEGREE / math.cos(math.radians(lat))
    return Fix(seq=1, at=at, lat=lat, lon=place[1] + east)


def seen(masks: UserMasks, fix: Fix, side: int = SIDE) -> Position:
    answer = mask(Precision.ROUGH, masks, side, fix)
    assert isinstance(answer, Position)
    return answer


def metres(a: Place, b: Place) -> float:
    """Distance on the plane; the places are a few kilometres apart at most."""
    east = (a[1] - b[1] + 180) % 360 - 180
    return math.hypot(a[0] - b[0], east * math.cos(math.radians(a[0]))) * METRES_PER_DEGREE


def mean_place(shown: Iterable[Position]) -> Place:
    rows = list(shown)
    return fmean(row.lat for row in rows), fmean(row.lon for row in rows)


def joins(user: int, number: int) -> list[Position]:
    """What so many joins from home show, each on a gateway that remembers nothing."""
    home, noise = home_of(user), random.Random(user)
    return [seen(UserMasks(KEY, user), reading(EIGHT + i * 3_600_000, home, noise)) for i in range(number)]


class Change:
    """A change of the shown cell on a walk north, as the attacker sees it, and the truth beside it."""

    def __init__(self, at: int, edge_lat: float, lon: float, cells: int, truth: Place) -> None:
        self.at = at
        self.edge_lat = edge_lat
        """The edge between the cell before and its neighbour on the way."""
        self.lon = lon
        self.cells = cells
        self.truth = truth


def walk_north(
    masks: UserMasks,
    start: Place,
    at: int,
    noise: random.Random,
    *,
    km: float = 6.0,
    speed: float = WALK_M_S,
    each_change: Callable[[RoughMask], None] = lambda rough: None,
) -> list[Change]:
    """A straight walk at an even speed: the attacker's best case."""
    changes: list[Change] = []
    before: Position | None = None
    for i in range(int(km * 1000 / speed * 1000 / STEP_MS)):
        place = north_of(start, i * STEP_MS / 1000 * speed)
        row = seen(masks, reading(at + i * STEP_MS, place, noise))
        if before is not None and row.lat != before.lat:
            cells = round((row.lat - before.lat) * METRES_PER_DEGREE / SIDE)
            edge = before.lat + SIDE / 2 / METRES_PER_DEGREE
            changes.append(Change(row.at, edge, row.lon, cells, place))
            each_change(masks.rough(SIDE))
        before = row
    return changes


MEAN_WAIT_S = (MAX_DELAY_MS + BEAT_MS) / 2 / 1000
"""Mean time from the start of a crossing to the beat that shows it."""


def best_guess_lat(change: Change, speed: float = WALK_M_S) -> float:
    """The mean place at a change for who knows the rule, the edge and the speed."""
    return change.edge_lat + (HOLD * SIDE + speed * MEAN_WAIT_S) / METRES_PER_DEGREE


def commute(user: int, each_change: Callable[[RoughMask], None], days: int) -> float:
    """The error north-south of who averages the same walk at the same hour over so many days."""
    home, noise, guesses = home_of(user), random.Random(user), []
    masks = UserMasks(KEY, user)
    for day in range(days):
        leaves = EIGHT + day * DAY_MS
        for change in walk_north(masks, home, leaves, noise, km=4.0, each_change=each_change):
            gone_m = WALK_M_S * (change.at - leaves) / 1000
            guesses.append(best_guess_lat(change) - gone_m / METRES_PER_DEGREE)
    return abs(fmean(guesses) - home[0]) * METRES_PER_DEGREE


def drawn_anew(source: random.Random) -> Callable[[RoughMask], None]:
    """The control: a threshold drawn for each crossing instead of one shift a person."""

    def draw(rough: RoughMask) -> None:
        rough._shift_m = (source.uniform(-SHIFT, SHIFT) * SIDE, rough._shift_m[1])

    return draw
