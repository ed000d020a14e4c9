"""What an attacker who sees everything public of a rough member still gets wrong, in metres.

Public is: the shown centre, its beat, and the beat of each change; the rule itself; and, because a centre
tells its edges, the person's grid. Each attack below has the grid, and further what its name says. The
cell is 1 km, the medians are over 30 to 120 people with their own grids and shifts. A control shows that
the same averaging finds people whose thresholds are drawn anew for each crossing, so it is no attack
that would fail against anything.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import fmean, median

import pytest

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


def seen(masks: UserMasks, fix: Fix) -> Position:
    answer = mask(Precision.ROUGH, masks, SIDE, fix)
    assert isinstance(answer, Position)
    return answer


def metres(a: Place, b: Place) -> float:
    """Distance on the plane; the places are a few kilometres apart at most."""
    east = (a[1] - b[1] + 180) % 360 - 180
    return math.hypot(a[0] - b[0], east * math.cos(math.radians(a[0]))) * METRES_PER_DEGREE


def mean_place(shown: Iterable[Position]) -> Place:
    rows = list(shown)
    return fmean(row.lat for row in rows), fmean(row.lon for row in rows)


# --- somebody stays -------------------------------------------------------------------------------


@pytest.mark.slow
def test_thirty_days_at_one_place_averaged() -> None:
    errors: dict[str, list[float]] = {"the mean": [], "the most shown": []}
    for user in range(PEOPLE):
        home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
        rows = [seen(masks, reading(EIGHT + i * 300_000, home, noise)) for i in range(30 * 288)]
        errors["the mean"].append(metres(home, mean_place(rows)))
        best = Counter((row.lat, row.lon) for row in rows).most_common(1)[0][0]
        errors["the most shown"].append(metres(home, best))
    for how, values in errors.items():
        assert median(values) >= 300, f"by {how} the attacker errs by {median(values):.0f} m"
        worst = sorted(values)[PEOPLE // 20]
        assert worst >= 80, f"by {how}: one in twenty is found to {worst:.0f} m"


def joins(user: int, number: int) -> list[Position]:
    """What so many joins from home show, each on a gateway that remembers nothing."""
    home, noise = home_of(user), random.Random(user)
    return [seen(UserMasks(KEY, user), reading(EIGHT + i * 3_600_000, home, noise)) for i in range(number)]


def test_a_hundred_joins_are_no_better_than_one() -> None:
    one = median(metres(home_of(u), mean_place(joins(u, 1))) for u in range(PEOPLE))
    many = median(metres(home_of(u), mean_place(joins(u, 100))) for u in range(PEOPLE))
    assert many >= 300, f"100 joins leave {many:.0f} m"
    assert many >= 0.95 * one, f"100 joins leave {many:.0f} m, one leaves {one:.0f} m"


def test_thirty_two_viewers_together_are_no_better_than_one() -> None:
    # The worst case: each on a gateway of its own, which saw another part of the way home.
    single, together = [], []
    for user in range(PEOPLE):
        home, noise = home_of(user), random.Random(user)
        shown = []
        for viewer in range(32):
            masks, came_m = UserMasks(KEY, user), viewer * 100
            for i in range(90):  # five minutes on the way at most, then ten at home
                way = max(came_m - i * STEP_MS / 1000 * 8 * WALK_M_S, 0)
                row = seen(masks, reading(EIGHT + i * STEP_MS, north_of(home, way), noise))
            shown.append(row)
        single.append(metres(home, mean_place(shown[:1])))
        together.append(metres(home, mean_place(shown)))
    one, all_of_them = median(single), median(together)
    assert all_of_them >= 300, f"32 viewers together leave {all_of_them:.0f} m"
    assert all_of_them >= 0.9 * one, f"32 viewers leave {all_of_them:.0f} m, one leaves {one:.0f} m"


def test_a_home_on_the_very_line_is_not_found_by_flapping_joins() -> None:
    # GPS noise at a line shows two cells, and so tells that the line is at home. Where is the line?
    errors = []
    for user in range(PEOPLE):
        home = home_of(user)
        low, high = 0.0, 1.1 * SIDE
        first = seen(UserMasks(KEY, user), Fix(seq=1, at=EIGHT, lat=home[0], lon=home[1])).lat
        while high - low > 0.1:
            middle = (low + high) / 2
            there = north_of(home, middle)
            row = seen(UserMasks(KEY, user), Fix(seq=1, at=EIGHT, lat=there[0], lon=there[1]))
            low, high = (middle, high) if row.lat == first else (low, middle)
        truth = home[0] + low / METRES_PER_DEGREE
        edge = first + SIDE / 2 / METRES_PER_DEGREE
        errors.append(abs(truth - edge) * METRES_PER_DEGREE)
    assert median(errors) >= 150, f"north-south the attacker errs by {median(errors):.0f} m"


# --- somebody walks -------------------------------------------------------------------------------


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
    each_change: Callable[[RoughMask], None] = lambda rough: None,
) -> list[Change]:
    """A straight walk at an even speed: the attacker's best case."""
    changes: list[Change] = []
    before: Position | None = None
    for i in range(int(km * 1000 / WALK_M_S * 1000 / STEP_MS)):
        place = north_of(start, i * STEP_MS / 1000 * WALK_M_S)
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


def best_guess_lat(change: Change) -> float:
    """The mean place at a change for who knows the rule, the edge and the speed."""
    return change.edge_lat + (HOLD * SIDE + WALK_M_S * MEAN_WAIT_S) / METRES_PER_DEGREE


def test_watching_one_change_on_a_walk() -> None:
    along, plane = [], []
    for user in range(PEOPLE):
        noise = random.Random(user)
        for change in walk_north(UserMasks(KEY, user), home_of(user), EIGHT, noise, km=2.5)[:1]:
            guess = best_guess_lat(change)
            along.append(abs(guess - change.truth[0]) * METRES_PER_DEGREE)
            plane.append(metres((guess, change.lon), change.truth))
    assert len(along) >= PEOPLE * 0.95
    assert median(along) >= 150, f"grid and speed known: {median(along):.0f} m along the way"
    assert median(plane) >= 250, f"grid and speed known: {median(plane):.0f} m on the plane"


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


def test_all_changes_of_one_walk_averaged() -> None:
    errors = [commute(user, lambda rough: None, 1) for user in range(PEOPLE)]
    assert median(errors) >= 150, f"start time, speed and grid known: {median(errors):.0f} m"


def test_thirty_days_of_the_same_walk_averaged() -> None:
    errors = [commute(user, lambda rough: None, 30) for user in range(0, PEOPLE, 4)]
    assert median(errors) >= 150, f"start time, speed and grid known: {median(errors):.0f} m"


def test_the_same_attack_finds_whose_thresholds_are_drawn_anew() -> None:
    errors = [commute(user, drawn_anew(random.Random(user)), 30) for user in range(0, PEOPLE, 4)]
    assert median(errors) < 60, f"the control stands at {median(errors):.0f} m: the attack is too weak"


def test_walks_both_ways_tell_no_more_than_one_way() -> None:
    """North one day, south the next, from the same door: the middle of both is still place less shift."""
    errors = []
    for user in range(0, PEOPLE, 2):
        home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
        both = []
        for way in (1, -1):
            guesses = []
            for day in range(5):
                leaves, before = EIGHT + (2 * day + (way < 0)) * DAY_MS, None
                for i in range(250):
                    place = north_of(home, way * i * STEP_MS / 1000 * WALK_M_S)
                    row = seen(masks, reading(leaves + i * STEP_MS, place, noise))
                    if before is not None and row.lat != before.lat:
                        edge = before.lat + way * SIDE / 2 / METRES_PER_DEGREE
                        gone_m = WALK_M_S * ((row.at - leaves) / 1000 - MEAN_WAIT_S) - HOLD * SIDE
                        guesses.append(edge - way * gone_m / METRES_PER_DEGREE)
                    before = row
            both.append(fmean(guesses))
        errors.append(abs(fmean(both) - home[0]) * METRES_PER_DEGREE)
    assert median(errors) >= 150, f"door time, speed and grid known: {median(errors):.0f} m"


def test_who_has_learned_the_shift_has_the_delay_before_them() -> None:
    """The grid, the speed and the person's shift are known, as after exact days of the same person."""
    errors = []
    for user in range(PEOPLE):
        noise, masks = random.Random(user), UserMasks(KEY, user)
        for change in walk_north(masks, home_of(user), EIGHT, noise, km=6.0):
            guess = best_guess_lat(change) + masks.rough(SIDE)._shift_m[0] / METRES_PER_DEGREE
            errors.append(abs(guess - change.truth[0]) * METRES_PER_DEGREE)
    assert median(errors) >= 90, f"grid, speed and shift known: {median(errors):.0f} m at a change"


def test_exact_until_a_moment_ago_then_rough() -> None:
    """The session was exact, is tightened on the way, and the attacker learns from the first change."""
    errors = []
    for user in range(PEOPLE):
        noise, masks = random.Random(user), UserMasks(KEY, user)
        changes = walk_north(masks, home_of(user), EIGHT, noise, km=6.0)
        for known, later in pairwise(changes):
            learned = known.truth[0] - best_guess_lat(known)
            guess = best_guess_lat(later) + learned
            errors.append(abs(guess - later.truth[0]) * METRES_PER_DEGREE)
    assert median(errors) >= 100, f"one place known exactly: {median(errors):.0f} m at a later change"
