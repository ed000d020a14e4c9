"""Acks: never over an unsettled fix; everything is settled in the end, whatever the order (G1)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.limits import WINDOW_MS
from protocol.messages import Reject
from server.acks import AckLedger
from server.windows import Window, WindowBook
from tests.server.parties import NOW, make_member, make_session, position


def test_nothing_noted_nothing_said() -> None:
    assert AckLedger().settle() == (None, [])


def test_a_fix_that_waits_for_nothing_is_acked_at_once() -> None:
    ledger = AckLedger()
    ledger.note(None, 4)
    assert ledger.settle() == (4, [])
    assert ledger.settle() == (None, [])


def test_it_does_not_overtake_an_older_one() -> None:
    ledger, book = AckLedger(), WindowBook()
    window = book.put(make_member(make_session()), position(NOW), NOW)
    ledger.note(window, 1)
    ledger.note(None, 2)
    assert ledger.settle() == (None, [])
    book.settle(window)
    assert ledger.settle() == (2, [])


def test_a_window_of_many_fixes_is_one_run() -> None:
    ledger, book, member = AckLedger(), WindowBook(), make_member(make_session())
    start = NOW - NOW % WINDOW_MS
    for seq in range(1000):
        ledger.note(book.put(member, position(start + seq), NOW), seq)
    assert len(ledger) == 1


class Phone(RuleBasedStateMachine):
    """One connection's fixes, and windows that are settled in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.ledger = WindowBook(), AckLedger()
        self.member = make_member(make_session())
        self.fixes: dict[int, Window | None] = {}
        self.acked = -1
        self.rejects: list[tuple[int, Reject]] = []
        self.seq = -1

    @rule(step=st.integers(1, 3), at=st.integers(0, 12), nothing=st.booleans())
    def fix(self, step: int, at: int, nothing: bool) -> None:
        self.seq += step
        window = None if nothing else self.book.put(self.member, position(NOW + at * WINDOW_MS // 2), NOW)
        self.fixes[self.seq] = window
        self.ledger.note(window, self.seq)

    @rule(which=st.integers(0, 50), refusal=st.none() | st.sampled_from(Reject))
    def settle_one(self, which: int, refusal: Reject | None) -> None:
        waiting = list(self.member.windows.values())
        if waiting:
            self.book.settle(waiting[which % len(waiting)], refusal)

    @rule()
    def say(self) -> None:
        acked, rejects = self.ledger.settle()
        self.rejects += rejects
        if acked is not None:
            assert acked > self.acked
            self.acked = acked
        unsettled = [seq for seq, window in self.fixes.items() if window is not None and not window.done]
        assert self.acked < min(unsettled, default=self.seq + 1)
        assert self.acked == max(
            (s for s in self.fixes if s < min(unsettled, default=self.seq + 1)), default=-1
        )

    @rule()
    def everything_settles(self) -> None:
        for window in list(self.member.windows.values()):
            self.book.settle(window)
        self.say()
        assert self.acked == self.seq
        assert len(self.ledger) == 0

    @invariant()
    def each_reject_comes_once_and_with_its_ack(self) -> None:
        refused = {
            seq: window.refusal
            for seq, window in self.fixes.items()
            if seq <= self.acked and window is not None and window.refusal is not None
        }
        assert dict(self.rejects) == refused
        assert len(self.rejects) == len(refused)


TestPhone = Phone.TestCase
