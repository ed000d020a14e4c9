"""The lease: it is believed for a shorter time than Redis keeps it, and only a renewal moves its end (G3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.lease import LEASE_MS, MARGIN_MS, RENEW_MS, Lease
from tests.server.parties import Clock


def test_nobody_has_it_from_the_start() -> None:
    assert not Lease(Clock(0)).held()


def test_it_ends_a_margin_before_the_key_expires() -> None:
    clock = Clock(10_000)
    lease = Lease(clock)
    lease.renewed(lease.now())
    clock.now_ms += LEASE_MS - MARGIN_MS - 1
    assert lease.held()
    clock.now_ms += 1
    assert not lease.held()


def test_several_renewals_may_fail_before_it_ends() -> None:
    assert LEASE_MS - MARGIN_MS > 3 * RENEW_MS


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), max_size=30))
def test_it_is_never_believed_longer_than_redis_keeps_it(renewals: list[tuple[int, int]]) -> None:
    clock = Clock(1)
    lease = Lease(clock)
    expires_ms = 0  # by the earliest that Redis may have counted from: the moment of asking
    for pause_ms, answer_ms in renewals:
        clock.now_ms += pause_ms
        asked = lease.now()
        clock.now_ms += answer_ms
        if answer_ms < LEASE_MS:
            lease.renewed(asked)
            expires_ms = max(expires_ms, asked + LEASE_MS)
        assert not lease.held() or clock.now_ms < expires_ms


def test_an_answer_that_comes_late_gives_only_what_is_left() -> None:
    clock = Clock(1)
    lease = Lease(clock)
    asked = lease.now()
    clock.now_ms += LEASE_MS
    lease.renewed(asked)
    assert not lease.held()
