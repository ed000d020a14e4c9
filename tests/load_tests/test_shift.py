"""The shift keeps windows and parties together, and sends nothing before its time."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from load_tests.readings import Reading
from load_tests.shift import (
    COMMON_SPAN_MS,
    DAY_MS,
    MAX_BACK_MS,
    PLAUSIBLE_MS,
    due_s,
    shifts,
    started_at,
    timing,
)
from protocol.limits import WINDOW_MS

NOW = 1_760_000_000_000
MIDDLE = 1_460_000_000_000


def reading(at: int, recv: int | None = None) -> Reading:
    return Reading(at, 37.5, 127.0, recv=recv)


def spread(days: int) -> st.SearchStrategy[int]:
    return st.integers(MIDDLE - days * DAY_MS, MIDDLE + days * DAY_MS)


def track(days: int) -> st.SearchStrategy[list[Reading]]:
    return st.lists(
        st.builds(reading, st.one_of(spread(days), st.just(0)), st.one_of(st.none(), spread(days))),
        min_size=1,
        max_size=12,
    )


parties = st.lists(st.one_of(track(1), track(3), track(200)), min_size=1, max_size=4)
speeds = st.one_of(st.none(), st.floats(0.1, 1e4))


def plausible(readings: list[Reading]) -> list[bool]:
    middle = sorted(one.at for one in readings)[(len(readings) - 1) // 2]
    return [abs(one.at - middle) <= PLAUSIBLE_MS for one in readings]


@given(parties, speeds)
def test_a_shift_is_a_multiple_of_a_window(party: list[list[Reading]], speed: float | None) -> None:
    for shift in shifts([timing(one) for one in party], NOW, speed, to_now=True):
        assert shift.delta_ms % WINDOW_MS == 0


@given(parties, speeds)
def test_no_plausible_fix_is_in_the_future_when_it_is_sent(
    party: list[list[Reading]], speed: float | None
) -> None:
    timings = [timing(one) for one in party]
    moved = shifts(timings, NOW, speed, to_now=True)
    for readings, one, shift in zip(party, timings, moved, strict=True):
        for index, usable in enumerate(plausible(readings)):
            sent = NOW + (1000 * due_s(one, index, shift.origin, speed) if speed else 0)
            if usable:
                assert readings[index].at + shift.delta_ms <= sent + 1  # a millisecond of rounding


@given(parties)
def test_a_party_of_one_week_keeps_together_and_a_longer_one_ends_now(party: list[list[Reading]]) -> None:
    timings = [timing(one) for one in party]
    moved = shifts(timings, NOW, None, to_now=True)
    span = max(one.last for one in timings) - min(one.first for one in timings)
    if span <= COMMON_SPAN_MS:
        assert len({shift.delta_ms for shift in moved}) == 1
    else:
        for one, shift in zip(timings, moved, strict=True):
            assert 0 <= NOW - (one.last + shift.delta_ms) < WINDOW_MS


@given(parties, speeds)
def test_without_the_wish_nothing_is_moved(party: list[list[Reading]], speed: float | None) -> None:
    moved = shifts([timing(one) for one in party], NOW, speed, to_now=False)
    assert {shift.delta_ms for shift in moved} == {0}


@given(parties, speeds, st.booleans())
def test_the_session_starts_on_a_window_within_what_the_wire_allows(
    party: list[list[Reading]], speed: float | None, to_now: bool
) -> None:
    timings = [timing(one) for one in party]
    deltas = [shift.delta_ms for shift in shifts(timings, NOW, speed, to_now=to_now)]
    begin = started_at(timings, deltas, NOW)
    assert begin % WINDOW_MS == 0
    assert NOW - 7 * DAY_MS < NOW - MAX_BACK_MS <= begin <= NOW
    earliest = min(one.earliest + delta for one, delta in zip(timings, deltas, strict=True))
    assume(earliest >= NOW - MAX_BACK_MS + WINDOW_MS)
    assert begin <= earliest


@given(parties)
def test_the_order_of_the_source_is_the_order_of_sending(party: list[list[Reading]]) -> None:
    for readings in party:
        clocks = timing(readings).clocks
        assert list(clocks) == sorted(clocks)
        assert len(clocks) == len(readings)


def test_one_fix_of_1970_moves_nothing() -> None:
    usual = [reading(MIDDLE + step * 1000) for step in range(5)]
    odd = [*usual[:2], reading(0), *usual[2:]]
    assert timing(odd).earliest == timing(usual).earliest
    assert shifts([timing(odd)], NOW, None, to_now=True) == shifts([timing(usual)], NOW, None, to_now=True)


def test_a_late_fix_is_sent_when_the_phone_stored_it() -> None:
    late = timing([reading(MIDDLE), reading(MIDDLE + 1000, recv=MIDDLE + 60_000)])
    assert due_s(late, 1, late.first, 2.0) == 30.0
