"""The masking call: what each precision lets through, that the fix dies in it, and how rows are read back."""

from __future__ import annotations

import gc
import math
import types
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import server.grid
import server.masking
import server.position
import server.rough
from protocol.limits import BEAT_MS
from protocol.messages import Fix
from protocol.precision import Precision
from server.grid import METRES_PER_DEGREE, SIDES
from server.masking import DAY_MS, LATE, MaskKey, MaskState, Position, UserMasks, day_start, mask, remask

KEY = MaskKey(bytes(range(32)))
START = 1_750_000_020_000
DAY = day_start(START)
EXACT, ROUGH, PRIVATE = Precision
sides = st.sampled_from(SIDES)
places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def fix(at: int = START, lat: float = 48.1, lon: float = 11.5, **more: float | None) -> Fix:
    return Fix(seq=1, at=at, lat=lat, lon=lon, **more)


def position(answer: object) -> Position:
    assert isinstance(answer, Position)
    return answer


# --- one fix --------------------------------------------------------------------------------------


@given(places, st.integers(0, 2**52))
def test_exact_is_the_position_as_reported(place: tuple[float, float], at: int) -> None:
    reported = Fix(seq=1, at=at, lat=place[0], lon=place[1], acc=4.5, spd=1.5, hdg=359.0, alt=9.0, bat=0.3)
    assert mask(EXACT, UserMasks(KEY, 1), 500, reported) == Position(at, *place, 4.5, 1.5, 359.0, EXACT)


@pytest.mark.parametrize("unknown", [-1.0, -0.001, math.nan, math.inf, -math.inf, None])
def test_what_phones_send_for_unknown_is_unknown(unknown: float | None) -> None:
    answer = position(mask(EXACT, UserMasks(KEY, 1), 500, fix(acc=unknown, spd=unknown, hdg=unknown)))
    assert (answer.acc, answer.spd, answer.hdg) == (None, None, None)


def test_a_heading_has_360_degrees() -> None:
    masks = UserMasks(KEY, 1)
    assert position(mask(EXACT, masks, 500, fix(hdg=360.0))).hdg == 360.0
    assert position(mask(EXACT, masks, 500, fix(hdg=360.5))).hdg is None


@given(places)
def test_private_is_nothing(place: tuple[float, float]) -> None:
    assert mask(PRIVATE, UserMasks(KEY, 1), 500, fix(START, *place)) is None


@pytest.mark.parametrize("precision", ["exact", "rough", "", None])
def test_what_is_no_precision_is_taken_as_private(precision: object) -> None:
    assert mask(precision, UserMasks(KEY, 1), 500, fix()) is None  # type: ignore[arg-type]


def test_a_rough_fix_from_before_everything_is_late() -> None:
    masks = UserMasks(KEY, 1)
    assert position(mask(ROUGH, masks, 500, fix())).precision is ROUGH
    assert mask(ROUGH, masks, 500, fix(at=START - 1)) is LATE


def test_a_side_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="one of"):
        mask(ROUGH, UserMasks(KEY, 1), 300, fix())


@given(places, sides)
def test_every_session_of_a_person_sees_the_same(place: tuple[float, float], side: int) -> None:
    masks = UserMasks(KEY, 5)
    one = mask(ROUGH, masks, side, fix(START, *place))
    assert mask(ROUGH, masks, side, fix(START, *place)) is one
    assert masks.rough(side) is masks.rough(side)


@given(st.tuples(st.floats(-89, 89), st.floats(-180, 180)), st.integers(0, 2**40))
def test_two_people_at_one_place_are_shown_at_two(place: tuple[float, float], user: int) -> None:
    one, other = (position(mask(ROUGH, UserMasks(KEY, u), 500, fix(START, *place))) for u in (user, user + 1))
    assert one.lat != other.lat


def test_no_coordinate_and_no_secret_is_in_a_repr() -> None:
    masks = UserMasks(KEY, 1)
    answer = mask(ROUGH, masks, 500, fix())
    exact = mask(EXACT, masks, 500, fix())
    for text in (repr(answer), repr(exact), repr(masks), repr(masks.rough(500)), repr(KEY)):
        assert "48." not in text
        assert "11." not in text
        assert "lat" not in text


# --- the fix dies (G5) ----------------------------------------------------------------------------

MODULES = (server.masking, server.rough, server.grid, server.position)


def reachable(*roots: object) -> Iterator[object]:
    """Every object that can be reached, the modules' own globals, closures and caches included."""
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        one = todo.pop()
        if id(one) in seen or (isinstance(one, types.ModuleType) and one not in MODULES):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, types.FunctionType):
            todo += [one.__dict__, one.__defaults__, one.__kwdefaults__, one.__closure__]
            continue
        todo += gc.get_referents(one)
        if isinstance(one, msgspec.Struct):  # those without gc do not tell what they hold
            todo += msgspec.structs.astuple(one)


@settings(max_examples=40)
@given(places, st.lists(places, max_size=5), sides)
def test_no_object_keeps_the_fix(
    first: tuple[float, float], others: list[tuple[float, float]], side: int
) -> None:
    masks = UserMasks(KEY, 1)
    # Numbers that were there before (0.0, 90.0, the smallest float) are constants of the code as well.
    before = {one for one in reachable(masks, *MODULES) if isinstance(one, float)}
    fixes = [fix(START + i * 45_000, *place) for i, place in enumerate([first, *others])]
    answers = [mask(ROUGH, masks, side, one) for one in fixes] + [mask(PRIVATE, masks, side, fixes[0])]
    raw = {number for one in fixes for number in (one.lat, one.lon)} - before - {90.0, -90.0, -180.0}
    kept = list(reachable(masks, answers, *MODULES))
    assert not raw & {one for one in kept if isinstance(one, float)}
    texts = [one.encode() if isinstance(one, str) else one for one in kept if isinstance(one, (str, bytes))]
    digits = [repr(number).encode() for number in raw if len(repr(number)) > 8]
    assert not any(number in text for number in digits for text in texts)
    assert not any(isinstance(one, Fix) for one in kept)


@given(places, st.lists(st.tuples(st.floats(0, 0.1), st.floats(0, 0.1)), min_size=20, max_size=20), sides)
def test_what_is_kept_is_the_same_for_two_fixes_of_one_cell(
    place: tuple[float, float], jitter: list[tuple[float, float]], side: int
) -> None:
    # Not only is the fix nowhere: nothing that was computed from it is, but for the cell.
    kept = []
    for share in (0.0, 1.0):
        masks = UserMasks(KEY, 1)
        for i, (north, east) in enumerate(jitter):
            lat = max(-90.0, min(90.0, place[0] + share * i / 20 * north * side / METRES_PER_DEGREE))
            lon = max(-180.0, min(180.0, place[1] + share * i / 20 * east * side / METRES_PER_DEGREE))
            mask(ROUGH, masks, side, fix(START + i * 20_000, lat, lon))
        values = [one for one in reachable(masks) if isinstance(one, (int, float, str, bytes))]
        kept.append(sorted(values, key=lambda one: (type(one).__name__, one)))
    assert kept[0] == kept[1]


def test_the_walk_of_the_object_graph_would_find_a_kept_fix() -> None:
    masks = UserMasks(KEY, 1)
    kept = fix(lat=48.123456789)
    masks._rough[0] = kept  # type: ignore[assignment]
    assert 48.123456789 in [one for one in reachable(masks) if isinstance(one, float)]


# --- restart --------------------------------------------------------------------------------------


def test_a_users_masks_go_on_after_a_restart() -> None:
    before, after = UserMasks(KEY, 1), UserMasks(KEY, 1)
    answers = [mask(ROUGH, before, side, fix()) for side in SIDES]
    packed = msgspec.msgpack.encode(before.state())
    assert len(packed) < 300
    after.restore(msgspec.msgpack.decode(packed, type=MaskState))
    assert [mask(ROUGH, after, side, fix(lat=-20.0)) for side in SIDES] == answers


def test_a_bad_state_is_refused_in_words() -> None:
    state = UserMasks(KEY, 1).rough(500).state()
    with pytest.raises(ValueError, match="one of"):
        UserMasks(KEY, 1).restore(MaskState([msgspec.structs.replace(state, side=7)]))


# --- reading back ---------------------------------------------------------------------------------


def stored_walk(at: int, rows: int, *, speed: float = 1.4) -> list[Position]:
    """Exact rows of somebody who walks north, one in 5 seconds."""
    step = speed * 5 / METRES_PER_DEGREE
    return [Position(at + i * 5000, 48.1 + i * step, 11.5, 5.0, None, None, EXACT) for i in range(rows)]


def read(
    rows: list[Position], precision: Precision, side: int = 500, complete_from_ms: int = 0, user: int = 1
) -> list[Position]:
    masks = UserMasks(KEY, user)
    return list(remask(rows, precision=precision, masks=masks, side=side, complete_from_ms=complete_from_ms))


def test_exact_reads_back_what_was_stored_and_private_nothing() -> None:
    rows = stored_walk(START, 10)
    assert read(rows, EXACT) == rows
    assert read(rows, PRIVATE) == []


def test_exact_rows_read_back_as_rough_are_what_the_mask_would_have_shown() -> None:
    rows = stored_walk(START, 800)
    masks, shown = UserMasks(KEY, 1), []
    for row in rows:
        answer = position(mask(ROUGH, masks, 500, row))
        if answer not in shown:
            shown.append(answer)
    assert read(rows, ROUGH) == shown
    assert len({row.lat for row in shown}) > 3
    assert all(row.at % BEAT_MS == 0 and row.precision is ROUGH for row in shown)


def test_reading_back_does_not_touch_the_live_mask() -> None:
    masks = UserMasks(KEY, 1)
    mask(ROUGH, masks, 500, fix(at=START + DAY_MS))
    state = masks.state()
    list(remask(stored_walk(START, 50), precision=ROUGH, masks=masks, side=500, complete_from_ms=0))
    assert masks.state() == state


def test_what_a_day_reads_back_as_does_not_depend_on_the_day_before() -> None:
    # A reader asks from where it likes; days start where the clock says.
    yesterday, today = stored_walk(DAY, 900), stored_walk(DAY + DAY_MS, 900)
    both = read(yesterday + today, ROUGH)
    assert [row for row in both if row.at >= DAY + DAY_MS] == read(today, ROUGH)


def test_a_day_of_which_rows_are_hidden_is_left_out() -> None:
    # Else the time-to-live's horizon, moving on, would show the true cell at every moment.
    rows = stored_walk(DAY, 900) + stored_walk(DAY + DAY_MS, 900)
    whole = read(rows, ROUGH)
    for hidden in (1, 500, 899):
        rest = read(rows[hidden:], ROUGH, complete_from_ms=rows[hidden].at)
        assert rest == [row for row in whole if row.at >= DAY + DAY_MS]


@pytest.mark.parametrize("stored", SIDES)
@pytest.mark.parametrize("side", SIDES)
def test_rough_rows_never_read_back_finer_and_never_coarser_than_needed(stored: int, side: int) -> None:
    rows = read(stored_walk(START, 1000), ROUGH, stored)
    again = read(rows, ROUGH, side)
    if stored >= side:
        assert again == rows
    else:
        accuracy = math.ceil(side * math.sqrt(2) / 2)
        assert {row.acc for row in again} == {accuracy}
        grid = KEY.grid(1)
        assert all(grid.centre(grid.cell(row.lat, row.lon, side)) == (row.lat, row.lon) for row in again)
        assert {row.at for row in again} <= {row.at for row in rows}
    assert read(again, ROUGH, side) == again


def test_a_row_that_is_none_of_ours_is_not_shown() -> None:
    row = stored_walk(START, 1)[0]
    odd = [
        msgspec.structs.replace(row, precision=PRIVATE),
        msgspec.structs.replace(row, precision=ROUGH, acc=None),
        msgspec.structs.replace(row, precision=ROUGH, acc=5.0),
    ]
    assert read(odd, ROUGH) == []


def test_reading_back_at_a_side_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="one of"):
        read(stored_walk(START, 1), ROUGH, 300)
