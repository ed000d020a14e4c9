"""Spells come at their rates, never overlap and end with the membership; the host is there throughout."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from load_tests.crowd.life import Kind, Membership, membership, spells
from load_tests.crowd.traits import Traits

BUSY = Traits(tunnels_per_hour=60, sleeps_per_hour=60, kills_per_hour=60, late_joiner_share=1, leaver_share=1)


@given(st.integers(), st.integers(0, 20), st.integers(0, 3_600_000))
def test_spells_lie_in_the_membership_one_after_another(seed: int, member: int, end_ms: int) -> None:
    there = membership(seed, 1, member, end_ms, BUSY)
    assert 0 <= there.join_ms <= there.end_ms <= end_ms
    assert there.leaves == (there.end_ms < end_ms)
    if member == 0:
        assert there == Membership(0, end_ms, False)
    found = list(spells(seed, 1, member, there, BUSY))
    assert all(there.join_ms < one.start_ms < one.end_ms <= there.end_ms for one in found)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(found))


def test_rates_and_shares_are_as_said() -> None:
    traits, hours = Traits(tunnels_per_hour=3, sleeps_per_hour=2, kills_per_hour=1, sleep_s=(10, 20)), 2_000
    found = list(spells(5, 0, 1, Membership(0, hours * 3_600_000, False), traits))
    counts = Counter(one.kind for one in found)
    away_h = sum(one.end_ms - one.start_ms for one in found) / 3_600_000
    for kind, rate in ((Kind.TUNNEL, 3), (Kind.SLEEP, 2), (Kind.KILL, 1)):
        assert abs(counts[kind] / (hours - away_h) / rate - 1) < 0.1
    there = [membership(5, 0, member, 600_000, Traits()) for member in range(1, 4_000)]
    assert abs(sum(one.join_ms > 0 for one in there) / 4_000 - Traits().late_joiner_share) < 0.02
    assert abs(sum(one.leaves for one in there) / 4_000 - Traits().leaver_share) < 0.02


def test_without_rates_nothing_happens() -> None:
    calm = Traits(tunnels_per_hour=0, sleeps_per_hour=0, kills_per_hour=0)
    assert list(spells(1, 1, 1, Membership(0, 10**9, False), calm)) == []
