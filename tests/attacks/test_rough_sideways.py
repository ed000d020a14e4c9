"""Ways round the mask: several parties, guests, restarts, presence, reading back, switches, real recordings.

As in `test_rough_attacks.py` the attacker has all that is public, and further what the name says.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from statistics import fmean, median

import pytest

from protocol.limits import BEAT_MS
from protocol.messages import Fix, Role
from protocol.options import Options
from protocol.precision import Precision
from server.grid import METRES_PER_DEGREE, SIDES
from server.masking import LATE, Position, UserMasks, mask, remask
from server.rough import HOLD, SHIFT
from server.session import Member, Session
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
    Change,
    Place,
    best_guess_lat,
    home_of,
    mean_place,
    metres,
    north_of,
    reading,
    seen,
    walk_north,
)
from tests.e2e.replaying import recording

# --- several parties with the same person ---------------------------------------------------------


@pytest.mark.parametrize("side", [side for side in SIDES if side != SIDE])
def test_a_day_at_one_place_at_another_size(side: int, security: Security) -> None:
    errors = []
    for user in range(PEOPLE):
        home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
        rows = [seen(masks, reading(EIGHT + i * 300_000, home, noise), side) for i in range(288)]
        errors.append(metres(home, mean_place(rows)))
    security.stands(median(errors), at_least=0.3 * side)


def likely(offset: float, side: int) -> float:
    """How likely a place is, so many metres from the centre of a cell that is shown: cell and shift overlap."""
    half, shift = side / 2, SHIFT * side
    return max(0.0, min(half, offset + shift) - max(-half, offset - shift))


def likeliest_lat(rows: Iterable[tuple[int, Position]]) -> float:
    """The mean of what is possible north-south, given what each party shows."""
    shown = sorted(rows, key=lambda row: row[0])
    side, finest = shown[0][0], shown[0][1].lat
    steps = [finest + i * side / 50 / METRES_PER_DEGREE for i in range(-50, 51)]
    weights = [
        math.prod(likely((lat - row.lat) * METRES_PER_DEGREE, side) for side, row in shown) for lat in steps
    ]
    return sum(lat * w for lat, w in zip(steps, weights, strict=True)) / sum(weights)


def test_parties_of_all_five_sizes_tell_what_the_finest_tells(security: Security) -> None:
    finest, pair, together = [], [], []
    for user in range(PEOPLE):
        home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
        rows = [(side, seen(masks, reading(EIGHT, home, noise), side)) for side in SIDES]
        for errors, some in ((finest, rows[:1]), (pair, [rows[0], rows[-1]]), (together, rows)):
            errors.append(abs(likeliest_lat(some) - home[0]) * METRES_PER_DEGREE)
    assert median(pair) >= 0.9 * median(finest), f"250 m and 4 km: {median(pair):.0f} m"
    assert median(together) >= 0.8 * median(finest), f"{median(together):.0f} m, not {median(finest):.0f} m"
    security.learns(median(together))


def test_who_watches_for_ever(security: Security) -> None:
    """All that a mask ever shows is a function of place less shift. Suppose that this is known exactly."""
    errors = []
    for user in range(PEOPLE):
        north, east = UserMasks(KEY, user).rough(SIDE)._shift_m
        errors.append(math.hypot(north, east))
    security.stands(median(errors), at_least=250)


def test_who_watches_parties_of_all_five_sizes_for_ever(security: Security) -> None:
    """The same at every size: five differences, each within its own shift of the place."""
    finest, together = [], []
    for user in range(PEOPLE):
        masks, guess = UserMasks(KEY, user), []
        for axis in (0, 1):
            reach = [(masks.rough(side)._shift_m[axis], SHIFT * side) for side in SIDES]
            low, high = max(-s - r for s, r in reach), min(-s + r for s, r in reach)
            guess.append((low + high) / 2)
        finest.append(math.hypot(*masks.rough(SIDES[0])._shift_m))
        together.append(math.hypot(*guess))
    assert together == pytest.approx(finest), "a coarser party told something that the finest did not"
    security.stands(median(together), at_least=0.25 * SIDES[0])


def test_shifts_are_uniform_at_every_size() -> None:
    """The steps from size to size leave no hole and no heap: quarters of the reach are equally full."""
    for side in SIDES:
        shifts = [shift / (SHIFT * side) for user in range(4000) for shift in KEY.shift(user, side)]
        assert all(-1 <= shift < 1 for shift in shifts)
        quarters = Counter(int((shift + 1) * 2) for shift in shifts)
        assert all(1850 <= quarters[quarter] <= 2150 for quarter in range(4)), quarters


def test_a_guest_whose_phone_forgets_who_it_was(security: Security) -> None:
    """Not defended: who shows no living member token is a new person, and a hundred masks average out."""
    errors = []
    for user in range(PEOPLE):
        home, noise = home_of(user), random.Random(user)
        rows = [seen(UserMasks(KEY, 1000 * user + i), reading(EIGHT, home, noise)) for i in range(100)]
        errors.append(metres(home, mean_place(rows)))
    security.learns(median(errors))


# --- viewers who put together what they saw --------------------------------------------------------


def possible_middle(shown: list[float]) -> float:
    """The middle of where the moved place can be along an axis, when each of these cells is held there."""
    return (max(shown) + min(shown)) / 2


@pytest.mark.slow
def test_coming_home_from_every_side_and_intersecting_what_is_held(security: Security) -> None:
    """A cell that is held depends on the way: 32 ways home, and home lies in every cell that was shown there.

    The same for 32 viewers on gateways that know nothing of each other, each of which saw one of the ways.
    """
    errors = []
    for user in range(PEOPLE):
        home, noise, shown = home_of(user), random.Random(user), []
        for way in range(32):
            masks, angle, far_m = UserMasks(KEY, user), way * math.tau / 32, 300 + way % 4 * 300
            for i in range(60):
                left_m = max(far_m - i * 100, 0)
                at_lat = home[0] + left_m * math.sin(angle) / METRES_PER_DEGREE
                scale = METRES_PER_DEGREE * math.cos(math.radians(home[0]))
                there = at_lat, home[1] + left_m * math.cos(angle) / scale
                row = seen(masks, reading(EIGHT + way * DAY_MS + i * 15_000, there, noise))
            shown.append(row)
        lat = possible_middle([row.lat for row in shown])
        lon = possible_middle([row.lon for row in shown])
        errors.append(metres(home, (lat, lon)))
    security.stands(median(errors), at_least=250)


# --- restarts ----------------------------------------------------------------------------------------


def first_change(user: int, *, restarts: bool, remembers: bool) -> tuple[Change | None, list[Position]]:
    """A walk north on a gateway that is restarted each minute."""
    home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
    rows: list[Position] = []
    change = None
    for i in range(300):
        if restarts and i % 6 == 0:
            state, masks = masks.state(), UserMasks(KEY, user)
            if remembers:
                masks.restore(state)
        place = north_of(home, i * STEP_MS / 1000 * WALK_M_S)
        row = seen(masks, reading(EIGHT + i * STEP_MS, place, noise))
        if change is None and rows and row.lat > rows[-1].lat + 0.5 * SIDE / METRES_PER_DEGREE:
            edge = rows[-1].lat + SIDE / 2 / METRES_PER_DEGREE
            change = Change(row.at, edge, row.lon, 1, place)
        rows.append(row)
    return change, rows


def test_a_gateway_that_is_restarted_each_minute_goes_on_with_the_cell() -> None:
    for user in range(0, PEOPLE, 8):
        _, rows = first_change(user, restarts=True, remembers=True)
        lats = [row.lat for row in rows]
        assert lats == sorted(lats), "it went back to a cell that was left"
        _, others = first_change(user, restarts=False, remembers=True)
        assert rows[0] == others[0]


def test_a_gateway_that_forgets_everything_each_minute(security: Security) -> None:
    """Redis is empty each time: no hold and no delay are left, the shift is."""
    errors = []
    for user in range(PEOPLE):
        change, _ = first_change(user, restarts=True, remembers=False)
        if change is not None:
            guess = change.edge_lat + WALK_M_S * BEAT_MS / 2000 / METRES_PER_DEGREE
            errors.append(abs(guess - change.truth[0]) * METRES_PER_DEGREE)
    assert len(errors) > 0.9 * PEOPLE
    security.stands(median(errors), at_least=150)


# --- exact for a while ---------------------------------------------------------------------------------


def shift_learned(user: int, switches: int) -> float:
    """North-south, by who sees the exact place at so many changes of the cell: exact and rough in turn."""
    noise, masks, learned = random.Random(user), UserMasks(KEY, user), []
    start = home_of(user + 1000)
    for n in range(switches):
        for change in walk_north(masks, start, EIGHT - (switches - n) * DAY_MS, noise, km=2.5)[:1]:
            learned.append(change.truth[0] - best_guess_lat(change))
    return fmean(learned)


@pytest.mark.slow
def test_twenty_switches_between_exact_and_rough_then_rough_for_good(security: Security) -> None:
    errors = []
    for user in range(PEOPLE):
        learned = shift_learned(user, 20)
        for change in walk_north(UserMasks(KEY, user), home_of(user), EIGHT, random.Random(-user), km=6.0):
            errors.append(abs(best_guess_lat(change) + learned - change.truth[0]) * METRES_PER_DEGREE)
    security.stands(median(errors), at_least=90)


def test_twenty_switches_then_a_stay(security: Security) -> None:
    """Who knows the shift knows the cell's real edges; the stay may be anywhere between them."""
    errors = []
    for user in range(PEOPLE):
        home, noise, masks = home_of(user), random.Random(user), UserMasks(KEY, user)
        lat, lon = mean_place(seen(masks, reading(EIGHT + i * 300_000, home, noise)) for i in range(288))
        north, east = masks.rough(SIDE)._shift_m
        guess = lat + north / METRES_PER_DEGREE, lon + east / METRES_PER_DEGREE / math.cos(math.radians(lat))
        errors.append(metres(home, guess))
    security.stands(median(errors), at_least=300)


@pytest.mark.slow
def test_a_colleague_who_knows_work_and_times(security: Security) -> None:
    """Not defended: a colleague who knows the office, the way, the speed and when you leave each end of it.

    The walks from the office teach the shift, with no exact position at all; those from home find home.
    """
    errors = []
    for user in range(0, PEOPLE, 4):
        office = home_of(user + 1000)
        shift = office[0] - fmean(live(user, 30, office))
        errors.append(
            abs(fmean(live(user, 30, home_of(user))) + shift - home_of(user)[0]) * METRES_PER_DEGREE
        )
    security.learns(median(errors))


def live(user: int, days: int, start: Place) -> list[float]:
    """Latitudes of the start, guessed from so many walks north at a known hour and speed; a guess a change."""
    noise, guesses, masks = random.Random(user), [], UserMasks(KEY, user)
    for day in range(days):
        leaves = EIGHT + day * DAY_MS
        for change in walk_north(masks, start, leaves, noise, km=4.0):
            gone_m = WALK_M_S * (change.at - leaves) / 1000
            guesses.append(best_guess_lat(change) - gone_m / METRES_PER_DEGREE)
    return guesses


# --- timing and presence -----------------------------------------------------------------------------


def test_presence_tells_when_somebody_set_out_and_arrived(security: Security) -> None:
    """A phone that sends while it moves is `stale` at rest: where did the walk end?"""
    errors = []
    for user in range(PEOPLE):
        noise, masks, km = random.Random(user), UserMasks(KEY, user), 3.0 + user / PEOPLE
        start, arrives = home_of(user), EIGHT + int(km * 1000 / WALK_M_S * 1000)
        changes = walk_north(masks, start, EIGHT, noise, km=km)
        rest = [best_guess_lat(c) + WALK_M_S * (arrives - c.at) / 1000 / METRES_PER_DEGREE for c in changes]
        errors.append(abs(fmean(rest) - north_of(start, km * 1000)[0]) * METRES_PER_DEGREE)
    security.stands(median(errors), at_least=150)


def test_a_beat_shows_once_and_says_nothing_of_how_the_phone_sends() -> None:
    """Fixes each second, or one in half a minute, exact or not, fast or slow: the same bytes."""
    home = home_of(1)
    rows = []
    for step_ms, acc, spd in ((1_000, 3.0, 0.1), (29_000, 90.0, 30.0)):
        masks = UserMasks(KEY, 1)
        rows.append(
            {
                mask(
                    Precision.ROUGH,
                    masks,
                    SIDE,
                    Fix(
                        seq=1,
                        at=EIGHT + at,
                        lat=home[0],
                        lon=home[1],
                        acc=acc,
                        spd=spd,
                        hdg=acc,
                        alt=9,
                        bat=0.5,
                    ),
                )
                for at in range(0, 600_000, step_ms)
            }
        )
    assert rows[0] == rows[1]
    assert len(rows[0]) == 10
    assert {(row.acc, row.spd, row.hdg) for row in rows[0] if isinstance(row, Position)} == {
        (708.0, None, None)
    }


def test_presence_says_nothing_of_when_a_private_member_sends() -> None:
    session = Session(session_id=1, started_at_ms=0, precision=Precision.EXACT, options=Options(), revision=1)
    masks = UserMasks(KEY, 1)
    ana = Member(
        session, number=1, user_id=1, name="Ana", role=Role.MEMBER, own=Precision.PRIVATE,
        privacy=Precision.EXACT, masks=masks,
    )  # fmt: skip
    session.add(ana)
    ana.connection = object()  # type: ignore[assignment]  # somebody is there
    session.sweep(EIGHT)
    for second in range(600):
        if second % 97 == 0:
            ana.heard_ms = EIGHT + second * 1000
        assert session.sweep(EIGHT + second * 1000) == []
    assert mask(Precision.PRIVATE, masks, SIDE, Fix(seq=1, at=EIGHT, lat=1.0, lon=1.0)) is None


# --- reading back ------------------------------------------------------------------------------------


def read_back(user: int, days: int) -> list[float]:
    """Latitudes of home, guessed from tracks of exact walks north that are rough now; a guess a change."""
    home, noise, guesses = home_of(user), random.Random(user), []
    for day in range(days):
        leaves = EIGHT + day * DAY_MS
        fixes = (reading(leaves + i * 1000, north_of(home, i * WALK_M_S), noise) for i in range(0, 2800, 5))
        stored = [Position(f.at, f.lat, f.lon, 5.0, None, None, Precision.EXACT) for f in fixes]
        masks = UserMasks(KEY, user)
        rows = list(remask(stored, precision=Precision.ROUGH, masks=masks, side=SIDE, complete_from_ms=0))
        assert all(row.at % BEAT_MS == 0 and row.acc == 708.0 for row in rows)
        for before, row in pairwise(rows):
            if row.lat > before.lat:
                edge = before.lat + (SIDE / 2 + HOLD * SIDE + WALK_M_S * MEAN_WAIT_S) / METRES_PER_DEGREE
                guesses.append(edge - WALK_M_S * (row.at - leaves) / 1000 / METRES_PER_DEGREE)
    return guesses


@pytest.mark.slow
def test_thirty_days_of_exact_walks_read_back_as_rough(security: Security) -> None:
    """The session was exact and is rough now; the attacker came after that and averages the tracks."""
    users = range(0, PEOPLE, 4)
    errors = [abs(fmean(read_back(user, 30)) - home_of(user)[0]) * METRES_PER_DEGREE for user in users]
    security.stands(median(errors), at_least=150)


def test_tracks_and_watching_live_together(security: Security) -> None:
    """The same walks live in one party and read back in another: two delays of each crossing, one shift."""
    errors = []
    for user in range(0, PEOPLE, 4):
        guesses = read_back(user, 10) + live(user, 10, home_of(user))
        errors.append(abs(fmean(guesses) - home_of(user)[0]) * METRES_PER_DEGREE)
    security.stands(median(errors), at_least=150)


# --- real recordings -----------------------------------------------------------------------------------


def people_of(name: str) -> dict[str, list[tuple[int, float, float]]]:
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for line in gzip.open(recording(name), "rt"):
        fix = json.loads(line)
        if fix["t"] is not None and -90 <= fix["lat"] <= 90 and -180 <= fix["lon"] <= 180:
            at = int(datetime.fromisoformat(fix["t"]).timestamp() * 1000)
            found[fix["person"]].append((at, fix["lat"], fix["lon"]))
    return {person: sorted(fixes) for person, fixes in found.items()}


def errors_along(fixes: list[tuple[int, float, float]], user: int) -> tuple[list[float], list[float]]:
    """How far each place was from the centre shown, and from the line between middles of what was shown."""
    masks, shown = UserMasks(KEY, user), []
    for at, lat, lon in fixes:
        row = mask(Precision.ROUGH, masks, SIDE, Fix(seq=1, at=at, lat=lat, lon=lon))
        if row is not LATE and row is not None:
            assert isinstance(row, Position)
            shown.append((at, (lat, lon), row))
    runs: list[tuple[int, Place]] = []
    first = 0
    for i in range(1, len(shown) + 1):
        if i == len(shown) or (shown[i][2].lat, shown[i][2].lon) != (
            shown[first][2].lat,
            shown[first][2].lon,
        ):
            # In the middle of its showing, less the mean delay, somebody on the way is about at the centre.
            middle = (shown[first][0] + shown[i - 1][0]) // 2 - int(MEAN_WAIT_S * 1000)
            runs.append((middle, (shown[first][2].lat, shown[first][2].lon)))
            first = i
    plain = [metres(place, (row.lat, row.lon)) for _, place, row in shown]
    return plain, [metres(place, between(runs, at)) for at, place, _ in shown]


def between(runs: list[tuple[int, Place]], at: int) -> Place:
    for (t0, a), (t1, b) in pairwise(runs):
        if t0 <= at <= t1:
            part = (at - t0) / max(t1 - t0, 1)
            return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
    return runs[0][1] if at < runs[0][0] else runs[-1][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["helsinki-trafficsense", "whitchurch-multidevice", "vincennes-tracklib"])
def test_a_real_recording_followed(name: str, security: Security) -> None:
    plain, line = [], []
    for n, fixes in enumerate(people_of(f"{name}.ndjson.gz").values()):
        for user in range(5):  # other grids and shifts: one alone may be lucky
            errors = errors_along(fixes[:: max(1, len(fixes) // 3000)], 100 * n + user)
            plain.extend(errors[0])
            line.extend(errors[1])
    security.stands(min(median(plain), median(line)), at_least=300)
