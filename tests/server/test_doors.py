"""The books: whatever comes and goes, no address has more than its share, and no book grows without bound."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import doors as doors_module
from server.addresses import Addresses
from server.doors import HTTP_RESERVE, SLACK, Doors, Entry
from server.metrics import Stats
from tests.server.parties import Clock


def make(clock: Clock | None = None, **more: int) -> Doors:
    limits = {"per_address": 3, "total": 1_000, "joins_per_s": 2, "joins_burst": 5} | more
    return Doors(addresses=Addresses(), clock=clock or Clock(), stats=Stats(), **limits)


def test_an_address_has_its_share_and_the_next_is_told_why() -> None:
    doors = make()
    assert [doors.enter("a") for _ in range(4)] == [Entry.OPEN] * 3 + [Entry.CROWDED]
    assert doors.enter("b") is Entry.OPEN
    doors.leave("a")
    doors.leave("a")
    assert doors.enter("a") is Entry.OPEN


def test_far_beyond_it_nobody_is_told_anything() -> None:
    doors = make()
    entries = Counter(doors.enter("a") for _ in range(1_000))
    assert entries == {Entry.OPEN: 3, Entry.CROWDED: SLACK, Entry.SHUT: 1_000 - 3 - SLACK}
    assert doors.open == 3 + SLACK


def test_all_together_have_a_bound() -> None:
    doors = make(total=10)
    entries = Counter(doors.enter(str(number)) for number in range(1_000))
    assert entries[Entry.OPEN] == 10 + HTTP_RESERVE
    assert entries[Entry.BUSY] == SLACK
    assert entries[Entry.SHUT] == 1_000 - 10 - HTTP_RESERVE - SLACK


def test_who_comes_through_a_proxy_counts_once_he_says_who_he_is() -> None:
    doors = make()
    for _ in range(4):
        assert doors.enter(None) is Entry.OPEN
    assert [doors.move(None, "a") for _ in range(4)] == [Entry.OPEN] * 3 + [Entry.CROWDED]
    doors.leave("a")
    assert doors.open == 3


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.booleans()), max_size=300))
def test_the_book_of_connections_ends_with_them(steps: list[tuple[str | None, bool]]) -> None:
    doors = make()
    there: list[str | None] = []
    for key, comes in steps:
        if comes and doors.enter(key) is not Entry.SHUT:
            there.append(key)
        elif not comes and there:
            doors.leave(there.pop())
        assert doors.open == len(there)
    for key in there:
        doors.leave(key)
    assert (doors.open, doors._by_address) == (0, {})


def test_joins_have_a_burst_and_a_rate_and_a_refused_one_costs_nothing() -> None:
    clock = Clock()
    doors = make(clock)
    assert [doors.join("a") for _ in range(5)] == [0.0] * 5
    assert [doors.join("a") for _ in range(50)] == [0.5] * 50
    assert doors.wait("a") == 0.5
    assert doors.join("b") == 0.0
    clock.now_ms += 500
    assert doors.wait("a") == 0.0
    assert doors.join("a") == 0.0
    assert doors.join("a") == 0.5
    assert [doors.join(None) for _ in range(100)] == [0.0] * 100
    assert doors.wait("never seen") == 0.0


def test_the_book_of_joins_is_bounded_and_says_whom_it_forgot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors_module, "BOOK_BOUND", 10)
    stats = Stats()
    clock = Clock()
    doors = Doors(
        addresses=Addresses(), per_address=1, total=1, joins_per_s=1, joins_burst=1, clock=clock, stats=stats
    )
    for number in range(100):
        doors.join(str(number))
    assert len(doors._joins) == 10
    assert stats.addresses_forgotten == 90
    assert doors.join("99") > 0, "the newest are remembered"
    assert doors.join("0") == 0.0, "who was forgotten begins afresh"
