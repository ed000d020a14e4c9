"""Rough positions: what is shown, when it changes, what is answered again, and what a restart keeps."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.limits import BEAT_MS
from protocol.messages import Fix
from protocol.precision import Precision
from server.grid import METRES_PER_DEGREE, SIDES, Cell
from server.position import LATE, Position
from server.rough import GAP_MS, HISTORY, MAX_DELAY_MS, MaskKey, RoughMask, RoughState, ShownCell

KEY = MaskKey(bytes(range(32)))
START = 1_750_000_020_000  # a beat
sides = st.sampled_from(SIDES)
users = st.integers(0, 2**63 - 1)
moves = st.tuples(st.integers(1, 400_000), st.floats(-1500, 1500), st.floats(-1500, 1500))
homes = st.tuples(st.floats(-79, 79), st.floats(-180, 180))


def new_mask(user: int, side: int) -> RoughMask:
    return RoughMask(KEY, user, KEY.grid(user), side)


def fix(at: int, lat: float, lon: float) -> Fix:
    return Fix(seq=1, at=at, lat=lat, lon=lon)


def track(home: tuple[float, float], steps: list[tuple[int, float, float]], at: int = START) -> list[Fix]:
    """A walk in steps of (milliseconds, metres north, metres east)."""
    lat, lon = home
    fixes = [fix(at, lat, lon)]
    for ms, north, east in steps:
        at += ms
        lat = max(-89.9, min(89.9, lat + north / METRES_PER_DEGREE))
        lon = (lon + east / METRES_PER_DEGREE / math.cos(math.radians(lat)) + 180) % 360 - 180
        fixes.append(fix(at, lat, lon))
    return fixes


def shown(answer: object) -> Position:
    assert isinstance(answer, Position)
    return answer


walks = st.builds(track, homes, st.lists(moves, max_size=60))


@given(users, sides, walks)
def test_the_same_fixes_get_the_same_answers(user: int, side: int, walk: list[Fix]) -> None:
    one, other = new_mask(user, side), new_mask(user, side)
    assert [one.show(f) for f in walk] == [other.show(f) for f in walk]


@given(users, sides, walks, st.randoms(use_true_random=False))
def test_fixes_sent_again_in_any_order_get_the_same_answers_and_change_nothing(
    user: int, side: int, walk: list[Fix], shuffled: random.Random
) -> None:
    undisturbed, mask = new_mask(user, side), new_mask(user, side)
    answers: list[object] = []
    for number, one in enumerate(walk):
        answers.append(mask.show(one))
        assert answers[-1] == undisturbed.show(one)
        again = shuffled.sample(range(number + 1), k=min(3, number + 1))
        assert [mask.show(walk[i]) for i in again] == [answers[i] for i in again]
    everything = list(range(len(walk)))
    shuffled.shuffle(everything)
    assert [mask.show(walk[i]) for i in everything] == [answers[i] for i in everything]


@given(users, sides, st.lists(st.tuples(st.integers(0, 20 * BEAT_MS), *(st.floats(-0.1, 0.1),) * 2)))
def test_within_a_beat_one_cell_is_shown_whatever_the_order(
    user: int, side: int, readings: list[tuple[int, float, float]]
) -> None:
    mask = new_mask(user, side)
    of_beat: dict[int, object] = {}
    for ms, lat, lon in readings:
        answer = mask.show(fix(START + ms, lat, lon))
        if answer is not LATE:
            beat = START + ms - ms % BEAT_MS
            assert shown(answer).at == beat
            assert of_beat.setdefault(beat, answer) == answer


@given(users, sides, walks, homes)
def test_who_stays_is_at_most_half_a_side_past_the_shown_cell_after_delay_and_beat(
    user: int, side: int, walk: list[Fix], place: tuple[float, float]
) -> None:
    mask = new_mask(user, side)
    for one in walk:
        mask.show(one)
    arrived = walk[-1].at + 1
    for ms in range(0, MAX_DELAY_MS + BEAT_MS + 1, 20_000):
        mask.show(fix(arrived + ms, *place))
    answer = shown(mask.show(fix(arrived + MAX_DELAY_MS + BEAT_MS, *place)))
    grid = KEY.grid(user)
    cell = grid.cell(answer.lat, answer.lon, side)
    # The metre is the band's scale, which differs by under 1 % between two bands.
    assert grid.metres_outside(cell, *place) <= side / 2 * 1.01


@given(
    users, sides, homes, st.lists(st.tuples(st.integers(1, 90_000), *(st.floats(-1, 1),) * 2), max_size=50)
)
def test_noise_smaller_than_an_eighth_of_a_side_never_flaps(
    user: int, side: int, home: tuple[float, float], noise: list[tuple[int, float, float]]
) -> None:
    # The first fix decides; what then stays within 1/8 of a side of it keeps the cell for ever.
    mask = new_mask(user, side)
    first = shown(mask.show(fix(START, *home)))
    at = START
    for ms, north, east in noise:
        at += ms
        lat = home[0] + north * side / 8 * 0.99 / METRES_PER_DEGREE
        lon = home[1] + east * side / 8 * 0.99 / METRES_PER_DEGREE / math.cos(math.radians(abs(lat)))
        answer = shown(mask.show(fix(at, lat, (lon + 180) % 360 - 180)))
        assert (answer.lat, answer.lon) == (first.lat, first.lon)


@given(users, sides, st.floats(-70, 70), st.floats(-0.3, 0.3), st.lists(moves, max_size=40))
def test_all_that_is_shown_is_a_function_of_place_minus_shift(
    user: int, side: int, lat: float, share: float, steps: list[tuple[int, float, float]]
) -> None:
    # Hence no averaging of whatever is shown can do better than the shift is unknown.
    mask, other = new_mask(user, side), new_mask(user, side)
    north, east = mask._shift_m
    further = share * side
    other._shift_m = (north + further, east)
    walk = track((lat, 10.0), [(ms, round(y), 0.0) for ms, y, _ in steps])
    moved = [fix(f.at, f.lat + further / METRES_PER_DEGREE, f.lon) for f in walk]
    assert [mask.show(f) for f in walk] == [other.show(f) for f in moved]


def test_nothing_but_the_cell_leaves() -> None:
    mask, other = new_mask(1, 1000), new_mask(1, 1000)
    here = Fix(seq=1, at=START + 5, lat=48.1, lon=11.5, acc=3.0, spd=1.0, hdg=9.0, alt=500.0, bat=0.5)
    there = Fix(seq=9, at=START + 59_999, lat=48.1002, lon=11.5003, acc=900.0)
    one, two = shown(mask.show(here)), shown(other.show(there))
    assert msgspec.msgpack.encode(one) == msgspec.msgpack.encode(two)
    assert (one.at, one.spd, one.hdg, one.precision) == (START, None, None, Precision.ROUGH)


@pytest.mark.parametrize("side", SIDES)
def test_the_accuracy_is_at_least_the_half_diagonal(side: int) -> None:
    accuracy = shown(new_mask(1, side).show(fix(START, 1.0, 2.0))).acc
    assert accuracy is not None
    assert side * math.sqrt(2) / 2 <= accuracy < side * math.sqrt(2) / 2 + 1


@given(
    users, sides, st.lists(st.tuples(st.integers(), st.floats(-90, 90), st.floats(-180, 180)), max_size=30)
)
def test_no_fix_in_range_makes_it_raise_and_every_answer_is_a_place(
    user: int, side: int, readings: list[tuple[int, float, float]]
) -> None:
    mask = new_mask(user, side)
    for at, lat, lon in readings:
        answer = mask.show(fix(max(-(2**53), min(2**53, at)), lat, lon))
        if answer is not LATE:
            assert -90 <= shown(answer).lat <= 90
            assert -180 <= shown(answer).lon < 180


def changes(mask: RoughMask, number: int) -> list[tuple[Fix, Position]]:
    """Makes the shown cell change at each of so many fixes."""
    fixes = [fix(START + i * GAP_MS, i * 0.1 % 60, 5.0) for i in range(number)]
    return [(one, shown(mask.show(one))) for one in fixes]


def test_the_history_is_bounded_and_what_is_older_is_late() -> None:
    mask = new_mask(3, 500)
    answers = changes(mask, HISTORY + 10)
    assert len(mask.state().shown) == HISTORY
    assert [mask.show(one) for one, _ in answers[:10]] == [LATE] * 10
    assert [mask.show(one) for one, _ in answers[10:]] == [answer for _, answer in answers[10:]]


def test_what_was_before_the_first_fix_is_late() -> None:
    mask = new_mask(3, 500)
    mask.show(fix(START, 1.0, 1.0))
    assert mask.show(fix(START - 1, 1.0, 1.0)) is LATE


def test_a_late_fix_gets_the_cell_of_its_time_and_its_place_does_not_matter() -> None:
    mask = new_mask(3, 500)
    (_, first), (_, _second) = changes(mask, 2)
    late = shown(mask.show(fix(START + 2 * BEAT_MS, -33.0, 151.0)))
    assert (late.at, late.lat, late.lon) == (START + 2 * BEAT_MS, first.lat, first.lon)


def test_a_crossing_ends_with_the_return() -> None:
    mask = new_mask(3, 500)
    first = shown(mask.show(fix(START, 10.0, 10.0)))
    for minute in range(1, 120):  # every other fix is far away, and every other one at home
        mask.show(fix(START + minute * BEAT_MS, 10.0, 10.0))
        mask.show(fix(START + minute * BEAT_MS + 30_000, 10.1, 10.0))
    assert shown(mask.show(fix(START + 120 * BEAT_MS, 10.0, 10.0))).lat == first.lat


def test_delays_differ_between_crossings_and_fill_their_range() -> None:
    delays = set()
    for user in range(200):
        mask = new_mask(user, 500)
        first = shown(mask.show(fix(START, 10.0, 10.0)))
        for minute in range(1, 10):
            if shown(mask.show(fix(START + minute * BEAT_MS, 10.1, 10.0))).lat != first.lat:
                delays.add(minute)
                break
    assert delays == {2, 3, 4, 5, 6}


def test_shifts_of_two_users_and_two_sides_are_unrelated_and_fill_their_range() -> None:
    masks = [new_mask(user, side) for user in range(500) for side in SIDES]
    shares = [part / mask.side for mask in masks for part in mask._shift_m]
    assert len(set(shares)) == len(shares)
    assert -0.375 <= min(shares) < -0.37
    assert 0.37 < max(shares) <= 0.375
    assert abs(sum(shares) / len(shares)) < 0.02


@pytest.mark.parametrize("side", [0, 499, -500, 8000])
def test_a_side_that_is_none_is_refused_in_words(side: int) -> None:
    with pytest.raises(ValueError, match="one of"):
        new_mask(1, side)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_short_secret_is_refused_and_no_secret_is_printed(secret: bytes) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        MaskKey(secret)
    assert "0" not in repr(MaskKey(bytes(32)))


# --- restart ------------------------------------------------------------------------------------


@given(users, sides, walks)
def test_a_restarted_mask_answers_what_was_shown_and_shows_the_same_cell_on(
    user: int, side: int, walk: list[Fix]
) -> None:
    before, after = new_mask(user, side), new_mask(user, side)
    answers = [before.show(one) for one in walk]
    packed = msgspec.msgpack.encode(before.state())
    after.restore(msgspec.msgpack.decode(packed, type=RoughState))
    assert after.state() == before.state()
    assert [after.show(one) for one in reversed(walk)] == answers[::-1]
    newest = shown(answers[-1])
    far = shown(after.show(fix(newest.at + BEAT_MS, -walk[-1].lat, walk[-1].lon)))
    assert (far.lat, far.lon) == (newest.lat, newest.lon)  # no fresh draw: a change takes its delay


@settings(max_examples=30)
@given(users, sides, walks)
def test_a_state_holds_whole_beats_and_shown_cells_only(user: int, side: int, walk: list[Fix]) -> None:
    mask, grid = new_mask(user, side), KEY.grid(user)
    seen = {(a.lat, a.lon) for a in map(mask.show, walk) if isinstance(a, Position)}
    state = mask.state()
    assert {grid.centre(grid.cell(*place, side)) for place in seen} >= {
        grid.centre(Cell(side, c.row, c.col)) for c in state.shown
    }
    assert all(number % BEAT_MS == 0 for number in (state.beat, *(c.beat for c in state.shown)))
    assert state.__struct_fields__ == ("side", "beat", "shown")


def test_an_older_state_does_not_replace_what_was_shown_since() -> None:
    mask, other = new_mask(1, 500), new_mask(1, 500)
    changes(other, 3)
    older = other.state()
    later = older.beat + 10 * 3_600_000
    answer = mask.show(fix(later, 1.0, 1.0))
    mask.restore(older)
    mask.restore(new_mask(1, 500).state())
    assert mask.show(fix(later, 1.0, 1.0)) is answer


def test_a_newer_state_of_another_gateway_is_gone_on_from() -> None:
    mask, other = new_mask(1, 500), new_mask(1, 500)
    mask.show(fix(START, 1.0, 1.0))
    changes(other, 3)
    newer = other.state()
    mask.restore(newer)
    assert mask.state() == newer
    here = mask.show(fix(newer.beat + 1_000, 1.0, 1.0))
    assert isinstance(here, Position)
    last = newer.shown[-1]
    assert (here.lat, here.lon) == KEY.grid(1).centre(Cell(500, last.row, last.col)), "its beat is answered"


@pytest.mark.parametrize(
    "state",
    [
        RoughState(1000, START, [ShownCell(START, 1, 1)]),
        RoughState(500, START, [ShownCell(START, 1, 1), ShownCell(START, 1, 2)]),
        RoughState(500, START, [ShownCell(START + 1, 1, 1)]),
        RoughState(500, START - BEAT_MS, [ShownCell(START, 1, 1)]),
        RoughState(500, START + 1, [ShownCell(START, 1, 1)]),
        RoughState(500, START, [ShownCell(START, 2**60, 1)]),
        RoughState(500, START, [ShownCell(START + i * BEAT_MS, 1, 1) for i in range(-HISTORY, 1)]),
    ],
)
def test_a_bad_state_is_refused_and_harms_nothing(state: RoughState) -> None:
    mask = new_mask(1, 500)
    with pytest.raises(ValueError, match="start it without one"):
        mask.restore(state)
    assert isinstance(mask.show(fix(START, 1.0, 1.0)), Position)
