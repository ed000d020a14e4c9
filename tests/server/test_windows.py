"""Windows: the newest position of an open window is the row; nothing that is opened is lost count of."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.limits import WINDOW_MS
from protocol.messages import Reject
from server.windows import GRACE_MS, Window, WindowBook, WindowState
from tests.server.parties import NOW, make_member, make_session, position

times = st.integers(NOW - 60_000, NOW + 60_000)


@given(times)
def test_a_window_starts_at_a_multiple_of_five_seconds(at: int) -> None:
    window = WindowBook().put(make_member(make_session()), position(at), NOW)
    assert window.start % WINDOW_MS == 0
    assert window.start <= at < window.start + WINDOW_MS


@given(st.lists(st.integers(0, WINDOW_MS - 1), min_size=1))
def test_an_open_window_keeps_the_newest(offsets: list[int]) -> None:
    book, member = WindowBook(), make_member(make_session())
    start = NOW - NOW % WINDOW_MS
    for offset in offsets:
        window = book.put(member, position(start + offset), NOW)
    assert window.position.at == start + max(offsets)
    assert book.unsettled == 1


def test_of_two_at_one_moment_the_later_said_wins() -> None:
    book, member = WindowBook(), make_member(make_session())
    book.put(member, position(NOW, lat=1.0), NOW)
    assert book.put(member, position(NOW, lat=2.0), NOW).position.lat == 2.0


def test_a_window_closes_a_second_after_its_end() -> None:
    book, member = WindowBook(), make_member(make_session())
    start = NOW - NOW % WINDOW_MS
    window = book.put(member, position(start), start)
    closes = start + WINDOW_MS + GRACE_MS
    assert book.take_closed(closes - 1) == []
    assert book.take_closed(closes + 250) == [window]
    assert window.state is WindowState.IN_FLIGHT
    assert book.take_closed(closes + 10_000) == []


def test_a_late_window_stays_open_a_second_for_its_companions() -> None:
    book, member = WindowBook(), make_member(make_session())
    book.put(member, position(NOW - 600_000), NOW)
    assert book.take_closed(NOW + GRACE_MS - 1) == []
    assert len(book.take_closed(NOW + GRACE_MS + 250)) == 1


def test_draining_takes_everything_at_once() -> None:
    book, member = WindowBook(), make_member(make_session())
    windows = [book.put(member, position(NOW + n * WINDOW_MS), NOW) for n in range(5)]
    assert book.take_closed(NOW, everything=True) == windows


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(1, 7))
def test_steps_take_every_window_once_the_oldest_first(ages: list[int], most: int) -> None:
    book, member = WindowBook(), make_member(make_session())
    opened = {id(book.put(member, position(NOW - age * WINDOW_MS), NOW + 300 * age)) for age in ages}
    steps = []
    while taken := book.take_closed(NOW + 60_000, most=most):
        steps.append(taken)
    assert {id(window) for step in steps for window in step} == opened
    assert [len(step) for step in steps[:-1]] == [most] * (len(steps) - 1)
    closing = [max(one.start + WINDOW_MS, one.opened_ms) + GRACE_MS for step in steps for one in step]
    assert all(later > earlier - 250 for earlier, later in pairwise(closing)), "within a quarter of a second"


def test_a_fix_for_a_window_in_flight_waits_for_that_row() -> None:
    book, member = WindowBook(), make_member(make_session())
    window = book.put(member, position(NOW), NOW)
    book.take_closed(NOW, everything=True)
    assert book.put(member, position(NOW + 1, lat=9.0), NOW) is window
    assert window.position.at == NOW, "the row is on its way already"
    assert book.unsettled == 1


def test_a_fix_for_the_newest_settled_window_makes_no_second_row() -> None:
    book, member = WindowBook(), make_member(make_session())
    window = book.put(member, position(NOW), NOW)
    book.settle(window)
    assert book.put(member, position(NOW + 1), NOW) is window
    assert book.unsettled == 0


def test_a_refused_window_is_not_taken_for_a_committed_one() -> None:
    book, member = WindowBook(), make_member(make_session())
    window = book.put(member, position(NOW), NOW)
    book.settle(window, Reject.PRECISION)
    again = book.put(member, position(NOW), NOW)
    assert again is not window
    assert again.state is WindowState.OPEN
    assert member.settled is None


def test_a_repr_holds_no_place() -> None:
    window = WindowBook().put(make_member(make_session()), position(NOW, lat=51.23456), NOW)
    assert "51.2" not in repr(window)


class Book(RuleBasedStateMachine):
    """Windows of three members, settled in any order and as often as anybody likes."""

    def __init__(self) -> None:
        super().__init__()
        self.book = WindowBook()
        session = make_session()
        self.members = [make_member(session, number) for number in range(3)]
        self.now = NOW
        self.opened: list[Window] = []
        self.taken: list[Window] = []

    @rule(who=st.integers(0, 2), at=times)
    def put(self, who: int, at: int) -> None:
        window = self.book.put(self.members[who], position(at), self.now)
        assert window.start <= at < window.start + WINDOW_MS
        assert window.state is not WindowState.REFUSED
        if not any(window is known for known in self.opened):
            self.opened.append(window)
        if window.state is WindowState.OPEN:
            assert window.position.at >= at

    @rule(ms=st.integers(0, 20_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self.taken += self.book.take_closed(self.now)

    @rule()
    def drain(self) -> None:
        self.taken += self.book.take_closed(self.now, everything=True)
        assert not any(window.state is WindowState.OPEN for window in self.opened)

    @rule(which=st.integers(0, 1000), refusal=st.none() | st.sampled_from(Reject))
    def settle(self, which: int, refusal: Reject | None) -> None:
        if self.opened:
            window = self.opened[which % len(self.opened)]
            before = (window.done, window.refusal)
            self.book.settle(window, refusal)
            assert window.done
            if before[0]:
                assert window.refusal is before[1]

    @invariant()
    def nothing_is_lost_count_of(self) -> None:
        waiting = [window for window in self.opened if not window.done]
        assert self.book.unsettled == len(waiting)
        held = [window for member in self.members for window in member.windows.values()]
        assert {id(window) for window in held} == {id(window) for window in waiting}

    @invariant()
    def each_is_taken_once(self) -> None:
        assert len({id(window) for window in self.taken}) == len(self.taken)


TestBook = Book.TestCase
