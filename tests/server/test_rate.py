"""The rate: never more than the burst and what has come in since, and no loss: only waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.rate import TokenBucket

RATE, BURST = 50.0, 5_000


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(1, 500)), max_size=60))
def test_in_no_span_of_time_more_than_burst_and_rate(steps: list[tuple[int, int]]) -> None:
    """Of any two moments: the fixes between them, but the frame that made it wait, fit the law."""
    now_ms, free_ms = 0, 0.0
    bucket = TokenBucket(rate_s=RATE, burst=BURST, now_ms=0)
    taken: list[tuple[int, int]] = []
    for wait_ms, fixes in steps:
        now_ms = int(max(now_ms + wait_ms, free_ms + 1))
        free_ms = now_ms + bucket.spend(fixes, now_ms) * 1000
        taken.append((now_ms, fixes))
    for first in range(len(taken)):
        total = 0
        for when, fixes in taken[first:]:
            assert total <= BURST + RATE * (when - taken[first][0]) / 1000 + 1e-6
            total += fixes


def test_a_long_silence_saves_up_one_burst_and_no_more() -> None:
    bucket = TokenBucket(rate_s=RATE, burst=BURST, now_ms=0)
    assert bucket.spend(BURST, 3_600_000) == 0.0
    assert bucket.spend(1, 3_600_000) > 0.0


def test_the_wait_is_as_long_as_the_debt() -> None:
    bucket = TokenBucket(rate_s=10.0, burst=10, now_ms=0)
    assert bucket.spend(20, 0) == 1.0
    assert bucket.spend(0, 1000) == 0.0
