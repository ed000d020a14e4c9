"""The outbox (G6): however much is offered to a slow connection, what it costs is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.outbox import CONTROL_BOUND, CONTROL_BYTES, Outbox, Overflow


def test_while_the_socket_takes_bytes_everything_goes_straight_through() -> None:
    written: list[bytes] = []
    outbox = Outbox(written.append)
    outbox.control(b"a")
    assert outbox.positions(b"b", 1)
    outbox.control(b"c")
    assert written == [b"a", b"b", b"c"]


def test_one_control_frame_too_many_is_an_overflow() -> None:
    outbox = Outbox(lambda frame: None)
    outbox.paused = True
    for _ in range(CONTROL_BOUND):
        outbox.control(b"x")
    with pytest.raises(Overflow):
        outbox.control(b"x")


def test_one_control_byte_too_many_is_an_overflow() -> None:
    outbox = Outbox(lambda frame: None)
    outbox.paused = True
    outbox.control(b"x" * CONTROL_BYTES)
    with pytest.raises(Overflow):
        outbox.control(b"x")
    outbox.resume()
    outbox.paused = True
    outbox.control(b"x" * CONTROL_BYTES)


def test_the_rejects_of_a_whole_burst_fit() -> None:
    from protocol.codec import JSON
    from protocol.limits import FIXES_BURST
    from protocol.messages import Reject, Rejected
    from server.frames import data_frame

    one = data_frame(JSON.encode(Rejected(seq=1_000_000, code=Reject.PRECISION)), text=True)
    assert FIXES_BURST * len(one) <= CONTROL_BYTES


@given(st.lists(st.integers(1, 10_000), min_size=1))
def test_ticks_that_were_missed_are_told_by_the_earliest(ticks: list[int]) -> None:
    written: list[bytes] = []
    outbox = Outbox(written.append)
    outbox.paused = True
    for tick in sorted(ticks):
        assert not outbox.positions(b"p" * 1000, tick)
    assert outbox.resume() == (None, min(ticks))
    assert outbox.resume() == (None, None)
    assert written == []


class Reader(RuleBasedStateMachine):
    """A connection that takes bytes now and then, and stops in the middle of taking them."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(self.write)
        self.room = 1_000_000
        self.written: list[bytes] = []
        self.offered: list[bytes] = []
        self.overflowed = False
        self.newest_ack: int | None = None
        self.missed: int | None = None
        self.tick = 0

    def write(self, frame: bytes) -> None:
        self.written.append(frame)
        self.room -= 1
        if self.room <= 0:
            self.outbox.paused = True

    @rule(count=st.integers(1, 400))
    def control(self, count: int) -> None:
        for _ in range(count):
            frame = b"c%d" % len(self.offered)
            try:
                self.outbox.control(frame)
                self.offered.append(frame)
            except Overflow:
                assert self.outbox.paused
                assert len(self.waiting) == CONTROL_BOUND

    @rule(count=st.integers(1, 50))
    def positions(self, count: int) -> None:
        for _ in range(count):
            self.tick += 1
            paused = self.outbox.paused
            assert self.outbox.positions(b"p%d" % self.tick, self.tick) is not paused
            if paused and self.missed is None:
                self.missed = self.tick

    @rule(seq=st.integers(0, 100))
    def ack(self, seq: int) -> None:
        if self.outbox.paused:
            self.outbox.ack = self.newest_ack = max(seq, self.newest_ack or 0)

    @rule()
    def stops_reading(self) -> None:
        self.outbox.paused = True
        self.room = 0

    @rule(room=st.integers(1, 300))
    def reads(self, room: int) -> None:
        if not self.outbox.paused:
            return
        self.room = room
        said: tuple[Any, Any] = self.outbox.resume()
        if self.outbox.paused:
            assert said == (None, None)
        else:
            assert said == (self.newest_ack, self.missed)
            self.newest_ack = self.missed = None
            assert not self.waiting

    @property
    def waiting(self) -> list[bytes]:
        return self.offered[len([frame for frame in self.written if frame.startswith(b"c")]) :]

    @invariant()
    def control_frames_keep_their_order(self) -> None:
        controls = [frame for frame in self.written if frame.startswith(b"c")]
        assert controls == self.offered[: len(controls)]

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.waiting) <= CONTROL_BOUND

    @invariant()
    def positions_never_go_back(self) -> None:
        ticks = [int(frame[1:]) for frame in self.written if frame.startswith(b"p")]
        assert ticks == sorted(ticks)


TestReader = Reader.TestCase
