"""The gateway's clock never falls, follows steps forward, and makes up for steps back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.clock import SteadyClock

HOUR_MS = 3_600_000


class Times:
    """A wall clock that can be set, and a monotonic one that cannot."""

    def __init__(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self.monotonic_ms = 0

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.monotonic_ms += ms


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-HOUR_MS, HOUR_MS)), max_size=50))
def test_it_never_falls(steps: list[tuple[int, int]]) -> None:
    times = Times(10 * HOUR_MS)
    clock = SteadyClock(lambda: times.wall_ms, lambda: times.monotonic_ms)
    last = clock()
    for passed, step in steps:
        times.pass_ms(passed)
        times.wall_ms += step
        now = clock()
        assert now >= max(last, times.wall_ms)
        last = now


def test_a_step_forward_is_followed_at_once() -> None:
    times = Times(0)
    clock = SteadyClock(lambda: times.wall_ms, lambda: times.monotonic_ms)
    times.wall_ms += HOUR_MS
    assert clock() == HOUR_MS


@given(st.integers(1, 400))
def test_after_a_step_back_time_goes_on_and_the_wall_clock_catches_up(turn_ms: int) -> None:
    times = Times(10 * HOUR_MS)
    clock = SteadyClock(lambda: times.wall_ms, lambda: times.monotonic_ms)
    before = clock()
    times.wall_ms -= 10_000
    for _ in range(4_000 // turn_ms):
        times.pass_ms(turn_ms)
        clock()
    gone = times.monotonic_ms
    assert before + (gone - turn_ms) * 0.85 - 20 <= clock() <= before + gone
    times.pass_ms(200_000)
    clock()
    assert clock() == times.wall_ms
