"""What becomes of a host's tightenings is put together over workers and seconds."""

from __future__ import annotations

from load_tests.run.counting import Counter
from load_tests.run.notes import Account, Audited, Tightenings
from load_tests.run.running import tightenings


def test_they_are_counted_and_timed() -> None:
    counter = Counter()
    counter.tally.tightenings += 3
    counter.returned(80)
    counter.returned(2_400)
    tally = counter.end(1, Account(), connected=0, wanted=0)
    found = tightenings([tally], Audited(finer=2))
    assert (found.asked, found.returned, found.finer) == (3, 2, 2)
    assert found.p50_ms is not None
    assert found.max_ms is not None
    assert abs(found.p50_ms - 80) < 8
    assert abs(found.max_ms - 2_400) < 240
    assert tightenings([], Audited()) == Tightenings()
