"""The bounds hold the truth, whatever the ways take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from load_tests.audit.server_clock import FORGET_MS, ServerClock

ways = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1)


def test_at_first_nothing_is_known() -> None:
    clock = ServerClock()
    assert (clock.least, clock.most) == (None, None)


@given(st.integers(-(10**9), 10**9), ways)
def test_the_truth_lies_between(ahead: int, ways: list[tuple[int, int]]) -> None:
    clock, now = ServerClock(), 10**12
    for there, back in ways:
        clock.made_before(now + there + ahead, now + there + back)
        clock.made_after(now + there + ahead, now)
        now += 7_000
        assert clock.least is not None
        assert clock.most is not None
        assert clock.least <= ahead <= clock.most


def test_old_bounds_are_forgotten() -> None:
    clock = ServerClock()
    for minute in range(3):
        now = (100 + minute) * FORGET_MS
        ahead = 1_000 if minute == 0 else 5_000
        clock.made_before(now + ahead, now)
        clock.made_after(now + ahead, now)
    assert (clock.least, clock.most) == (5_000, 5_000)
