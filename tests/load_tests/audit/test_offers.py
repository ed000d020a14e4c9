"""Fixes are found by time, place and `seq`, in whatever order they were offered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from load_tests.audit.offers import ACKED, LIVE, REJECTED, Offers, units

fixes = st.lists(st.tuples(st.integers(0, 40), st.floats(-90, 90), st.floats(-180, 180)), max_size=30)


@given(fixes)
def test_every_fix_is_found(offered: list[tuple[int, float, float]]) -> None:
    offers = Offers()
    for seq, (at, lat, lon) in enumerate(offered, 1):
        offers.add(seq, at, lat, lon, 1_000 + seq, live=bool(seq % 2))
    assert list(offers.at) == sorted(at for at, _, _ in offered)
    for seq, (at, lat, lon) in enumerate(offered, 1):
        assert offers.at[offers.at_place(at, lat, lon)] == at
        index = offers.of_seq(seq)
        assert (offers.at[index], offers.lat[index], offers.lon[index]) == (at, units(lat), units(lon))
        assert (offers.sent[index], bool(offers.marks[index] & LIVE)) == (1_000 + seq, bool(seq % 2))
        assert offers.near(at, at + 1, lat, lon)
        assert offers.at[offers.first(at, at + 1)] == at


def test_what_was_not_offered_is_not_found() -> None:
    offers = Offers()
    offers.add(1, 100, 37.0, 127.0, 100, live=True)
    assert offers.at_place(99, 37.0, 127.0) == -1
    assert offers.at_place(100, 37.000001, 127.0) == -2
    assert (offers.of_seq(2), offers.first(101, 200), offers.unsettled(99)) == (-1, -1, -2)
    assert not offers.near(0, 200, 37.0, 127.000001)


def test_fixes_of_one_time_are_settled_one_by_one() -> None:
    offers = Offers()
    for seq in (1, 2, 3):
        offers.add(seq, 100, 37.0 + seq, 127.0, 100, live=True)
    offers.marks[0] |= REJECTED
    for _ in range(2):
        index = offers.unsettled(100)
        assert index > 0
        offers.marks[index] |= ACKED
    assert offers.unsettled(100) == 0, "then the rejected one"
    offers.marks[0] |= ACKED
    assert offers.unsettled(100) == -1


def test_a_place_that_is_none_is_kept_as_another_that_is_none() -> None:
    offers = Offers()
    offers.add(2**40, 100, 1e300, -1e300, 100, live=True)
    assert offers.at_place(100, 1e300, -1e300) == 0
