"""Batches: a row is handed over until its commit is told, and then settled once (G1)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from db.fence import SHARDS, shard_of
from protocol import messages as wire
from protocol.limits import WINDOW_MS
from protocol.messages import Reject
from protocol.precision import Precision
from server.admission import check
from server.batches import Batch, BatchLedger
from server.masking import Late, mask
from server.windows import Window, WindowBook
from tests.server.parties import NOW, make_member, make_session, position

maybe = st.none() | st.floats()


@given(
    st.builds(
        wire.Fix,
        seq=st.integers(0, 9),
        at=st.integers(0, NOW + 60_000),
        lat=st.floats(-91, 91),
        lon=st.floats(-181, 181) | st.floats(),
        acc=maybe,
        spd=maybe,
        hdg=maybe,
    ),
    st.sampled_from(Precision),
)
def test_every_admitted_fix_can_be_packed(fix: wire.Fix, precision: Precision) -> None:
    """A row that cannot be packed would hold up every other row of its flush."""
    member = make_member(make_session(started_at_ms=0))
    if check(fix, NOW, 0) is not None:
        return
    shown = mask(precision, member.masks, 500, fix)
    if shown is None or isinstance(shown, Late):
        return
    window = WindowBook().put(member, shown, NOW)
    batch = Batch(0, [window], NOW)
    assert batch.payload()
    assert shown.acc is None or math.isfinite(shown.acc)


def test_windows_go_by_shard_in_one_batch_each() -> None:
    book = WindowBook()
    ledger = BatchLedger(book)
    for number in range(1, 3 * SHARDS + 1):
        book.put(make_member(make_session(number)), position(NOW), NOW)
    ledger.collect(book.take_closed(NOW, everything=True), NOW)
    batches = ledger.unsent()
    assert sorted(batch.shard for batch in batches) == list(range(SHARDS))
    for batch in batches:
        assert {shard_of(window.member.session.id) for window in batch.windows} == {batch.shard}


def test_a_window_that_was_refused_meanwhile_is_not_packed() -> None:
    book = WindowBook()
    ledger = BatchLedger(book)
    window = book.put(make_member(make_session()), position(NOW), NOW)
    closed = book.take_closed(NOW, everything=True)
    book.settle(window, Reject.PRECISION)
    ledger.collect(closed, NOW)
    assert ledger.unsent() == []


@pytest.mark.parametrize("again", [False, True], ids=["not yet handed over", "lost and handed over again"])
def test_after_a_tightening_nothing_finer_is_handed_over(again: bool) -> None:
    """G3, G5: Redis may have been away when the session was tightened."""
    book = WindowBook()
    ledger = BatchLedger(book)
    session = make_session()
    ann, bob = make_member(session, 1), make_member(session, 2)
    exact, rough = (
        book.put(ann, position(NOW), NOW),
        book.put(bob, position(NOW, precision=Precision.ROUGH), NOW),
    )
    ledger.collect(book.take_closed(NOW, everything=True), NOW)
    (batch,) = ledger.unsent()
    whole = batch.payload()
    if again:
        ledger.sent(batch, "1-1", NOW)
    session.precision = Precision.ROUGH
    session.restrict()
    if again:
        assert ledger.refuse_finer() == [], "its fate is the writer's to tell"
        ledger.lost(batch)
    assert ledger.refuse_finer() == [exact]
    assert (exact.refusal, rough.done) == (Reject.PRECISION, False)
    assert 0 < len(batch.payload()) < len(whole)
    session.precision = Precision.PRIVATE
    session.restrict()
    assert ledger.refuse_finer() == [rough]
    assert ledger.unsent() == []
    assert book.unsettled == 0


def test_a_batch_tells_no_place() -> None:
    book = WindowBook()
    window = book.put(make_member(make_session()), position(NOW, lat=51.23456), NOW)
    assert "51.2" not in repr(Batch(0, [window], NOW))


@pytest.mark.parametrize("reason", Reject)
def test_a_refused_row_is_told_to_its_own_window_only(reason: Reject) -> None:
    book = WindowBook()
    ledger = BatchLedger(book)
    member = make_member(make_session())
    good = book.put(member, position(NOW), NOW)
    bad = book.put(member, position(NOW + WINDOW_MS), NOW)
    ledger.collect(book.take_closed(NOW, everything=True), NOW)
    (batch,) = ledger.unsent()
    ledger.sent(batch, "1-1", NOW)
    assert ledger.committed(batch.shard, "1-1", [(*bad.key, reason.value)]) == [good, bad]
    assert (good.refusal, bad.refusal) == (None, reason)
    assert len(ledger) == 0


class Stream(RuleBasedStateMachine):
    """A stream that loses entries, and a writer that is told about, twice, or late."""

    def __init__(self) -> None:
        super().__init__()
        self.book = WindowBook()
        self.ledger = BatchLedger(self.book)
        self.members = [make_member(make_session(number), number) for number in range(1, 4)]
        self.now = NOW
        self.entries: dict[tuple[int, str], Batch] = {}
        self.committed: set[tuple[int, int, int]] = set()
        self.told: list[tuple[int, str]] = []
        self.windows: list[Window] = []

    @rule(who=st.integers(0, 2), back=st.integers(0, 6))
    def fix(self, who: int, back: int) -> None:
        window = self.book.put(self.members[who], position(self.now - back * WINDOW_MS), self.now)
        if not any(window is known for known in self.windows):
            self.windows.append(window)

    @rule()
    def flush(self) -> None:
        self.now += 1_000
        self.ledger.collect(self.book.take_closed(self.now, everything=True), self.now)
        for count, batch in enumerate(self.ledger.unsent()):
            entry = (batch.shard, f"{self.now}-{count}")
            assert self.ledger.sent(batch, entry[1], self.now) is None
            self.entries[entry] = batch
        assert self.ledger.unsent() == []

    @rule(which=st.integers(0, 99))
    def redis_loses(self, which: int) -> None:
        if self.entries:
            entry = sorted(self.entries)[which % len(self.entries)]
            batch = self.entries.pop(entry)
            for old in self.ledger.older_than(self.now + 1, 100):
                if old is batch:
                    self.ledger.lost(batch)
                    assert batch in self.ledger.unsent()

    @rule(which=st.integers(0, 99))
    def writer_commits(self, which: int) -> None:
        if self.entries:
            entry = sorted(self.entries)[which % len(self.entries)]
            batch = self.entries.pop(entry)
            self.committed |= {window.key for window in batch.windows}
            self.told.append(entry)
            self.ledger.committed(*entry, [])

    @rule()
    def the_writer_is_faster_than_the_answer(self) -> None:
        """Committed and told before the gateway knows which entry it was."""
        self.now += 1_000
        self.ledger.collect(self.book.take_closed(self.now, everything=True), self.now)
        for count, batch in enumerate(self.ledger.unsent()):
            entry = (batch.shard, f"{self.now}-{count}")
            assert self.ledger.committed(*entry, []) == []
            assert not any(window.done for window in batch.windows)
            self.committed |= {window.key for window in batch.windows}
            early = self.ledger.sent(batch, entry[1], self.now)
            assert early == []
            assert self.ledger.committed(*entry, early) == batch.windows
            assert all(window.done for window in batch.windows)
            self.told.append(entry)

    @rule(which=st.integers(0, 99))
    def writer_says_it_again(self, which: int) -> None:
        if self.told:
            assert self.ledger.committed(*self.told[which % len(self.told)], []) == []

    @rule()
    def somebody_elses_entry(self) -> None:
        assert self.ledger.committed(0, "0-0", [(1, 1, 1, "gone")]) == []

    @invariant()
    def what_is_settled_is_committed(self) -> None:
        assert all(window.key in self.committed for window in self.windows if window.done)

    @rule()
    def in_the_end_everything_is_settled(self) -> None:
        for _ in range(3):
            self.flush()
            for _entry in sorted(self.entries):
                self.writer_commits(0)
        waiting: list[Any] = [window for window in self.windows if not window.done]
        assert waiting == []
        assert len(self.ledger) == 0
        assert self.book.unsettled == 0


TestStream = Stream.TestCase
