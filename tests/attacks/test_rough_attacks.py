"""What an attacker who sees everything public of a rough member still gets wrong, in metres.

Public is: the shown centre, its beat, and the beat of each change; the rule itself; and, because a centre
tells its edges, the person's grid. Each attack below has the grid, and further what its name says. The
cell is 1 km, the medians are over 30 to 120 people with their own grids and shifts. A control shows that
the same averaging finds people whose thresholds are drawn anew for each crossing, so it is no attack
that would fail against anything.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean, median

import pytest

from protocol.messages import Fix
from server.grid import METRES_PER_DEGREE
from server.masking import UserMasks
from server.rough import HOLD, SHIFT, RoughMask
from tests.attacks.conftest import Security
from tests.attacks.people import (
    DAY_MS,
    EIGHT,
    KEY,
    MEAN_WAIT_S,
    PEOPLE,
    SIDE,
    STEP_MS,
    WALK_M_S,
    best_guess_lat,
    commute,
    home_of,
    joins,
    mean_place,
    metres,
    north_of,
    reading,
    seen,
    walk_north,
)

# --- somebody stays -------------------------------------------------------------------------------


@pytest.mark.slow
def test_thirty_days_at_one_place_averaged(security: Security) -> None:
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
    security.stands(min(map(median, errors.values())), at_least=300)


def test_a_hundred_joins_are_no_better_than_one(security: Security) -> None:
    one = median(metres(home_of(u), mean_place(joins(u, 1))) for u in range(PEOPLE))
    many = median(metres(home_of(u), mean_place(joins(u, 100))) for u in range(PEOPLE))
    assert many >= 0.95 * one, f"100 joins leave {many:.0f} m, one leaves {one:.0f} m"
    security.stands(many, at_least=300)


def test_thirty_two_viewers_together_are_no_better_than_one(security: Security) -> None:
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
    assert all_of_them >= 0.9 * one, f"32 viewers leave {all_of_them:.0f} m, one leaves {one:.0f} m"
    security.stands(all_of_them, at_least=300)


def test_a_home_on_the_very_line_is_not_found_by_flapping_joins(security: Security) -> None:
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
    security.stands(median(errors), at_least=150)


# --- somebody walks -------------------------------------------------------------------------------


def test_watching_one_change_on_a_walk(security: Security) -> None:
    along, plane = [], []
    for user in range(PEOPLE):
        noise = random.Random(user)
        for change in walk_north(UserMasks(KEY, user), home_of(user), EIGHT, noise, km=2.5)[:1]:
            guess = best_guess_lat(change)
            along.append(abs(guess - change.truth[0]) * METRES_PER_DEGREE)
            plane.append(metres((guess, change.lon), change.truth))
    assert len(along) >= PEOPLE * 0.95
    assert median(along) >= 150, f"grid and speed known: {median(along):.0f} m along the way"
    security.stands(median(plane), at_least=250)


def test_all_changes_of_one_walk_averaged(security: Security) -> None:
    errors = [commute(user, lambda rough: None, 1) for user in range(PEOPLE)]
    security.stands(median(errors), at_least=150)


def test_thirty_days_of_the_same_walk_averaged(security: Security) -> None:
    errors = [commute(user, lambda rough: None, 30) for user in range(0, PEOPLE, 4)]
    security.stands(median(errors), at_least=150)


def drawn_anew(source: random.Random) -> Callable[[RoughMask], None]:
    """The control: a threshold drawn for each crossing instead of one shift a person."""

    def draw(rough: RoughMask) -> None:
        rough._shift_m = (source.uniform(-SHIFT, SHIFT) * SIDE, rough._shift_m[1])

    return draw


def test_the_same_attack_finds_whose_thresholds_are_drawn_anew() -> None:
    errors = [commute(user, drawn_anew(random.Random(user)), 30) for user in range(0, PEOPLE, 4)]
    assert median(errors) < 60, f"the control stands at {median(errors):.0f} m: the attack is too weak"


def test_walks_both_ways_tell_no_more_than_one_way(security: Security) -> None:
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
    security.stands(median(errors), at_least=150)


def test_who_has_learned_the_shift_has_the_delay_before_them(security: Security) -> None:
    """The grid, the speed and the person's shift are known, as after exact days of the same person."""
    errors = []
    for user in range(PEOPLE):
        noise, masks = random.Random(user), UserMasks(KEY, user)
        for change in walk_north(masks, home_of(user), EIGHT, noise, km=6.0):
            guess = best_guess_lat(change) + masks.rough(SIDE)._shift_m[0] / METRES_PER_DEGREE
            errors.append(abs(guess - change.truth[0]) * METRES_PER_DEGREE)
    security.stands(median(errors), at_least=90)


def test_exact_until_a_moment_ago_then_rough(security: Security) -> None:
    """The session was exact, is tightened on the way, and the attacker learns from the first change."""
    errors = []
    for user in range(PEOPLE):
        noise, masks = random.Random(user), UserMasks(KEY, user)
        speed = WALK_M_S * noise.uniform(0.8, 1.2)  # known; one for all would be in step with beats and edges
        changes = walk_north(masks, home_of(user), EIGHT, noise, km=6.0, speed=speed)
        for known, later in pairwise(changes):
            learned = known.truth[0] - best_guess_lat(known, speed)
            guess = best_guess_lat(later, speed) + learned
            errors.append(abs(guess - later.truth[0]) * METRES_PER_DEGREE)
    security.stands(median(errors), at_least=100)
