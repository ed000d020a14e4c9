"""A member's connection: what is taken, acked, rejected, held, and what a wrong message gets (G1, G6, G8)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol import messages as wire
from protocol.client import ClientSession
from protocol.client_events import Acked
from protocol.client_table import State
from protocol.close_codes import CloseCode
from protocol.codec import JSON, MSGPACK, Codec
from protocol.limits import FIXES_BURST, FIXES_PER_S, MAX_FIXES, STALE_MS, WINDOW_MS
from protocol.messages import Ack, MemberState, Reject, Rejected, Role
from protocol.options import Options
from protocol.precision import Precision
from protocol.server import Step
from server.acks import AckLedger
from server.batches import Batch
from server.outbox import CONTROL_BOUND
from server.windows import Window
from tests.protocol.wires import client_messages
from tests.server.parties import NOW, Party, RecordingSocket, messages_of

both = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])


def acks(socket: RecordingSocket) -> list[int]:
    return [message.seq for message in socket.said() if isinstance(message, Ack)]


# --- fixes ---------------------------------------------------------------------------------------


@both
def test_a_fix_is_shown_and_acked_after_its_commit(codec: Codec) -> None:
    party = Party()
    member, socket = party.enter(codec=codec)
    party.fix(socket, 1)
    assert member.shown is not None
    party.hub.say_acks()
    assert acks(socket) == []
    party.commit()
    assert acks(socket) == [1]
    party.commit()
    assert acks(socket) == []


def test_a_refused_fix_is_told_at_once_and_acked_in_its_turn() -> None:
    party = Party()
    _, socket = party.enter()
    party.fix(socket, 1)
    party.fix(socket, 2, at=NOW + 60_001)
    party.fix(socket, 3, lat=90.5)
    party.fix(socket, 4, at=party.session.started_at_ms - 1)
    assert socket.said() == [
        Rejected(2, Reject.FUTURE),
        Rejected(3, Reject.RANGE),
        Rejected(4, Reject.TOO_OLD),
    ]
    party.hub.say_acks()
    assert socket.said() == []
    party.commit()
    assert acks(socket) == [4]


def test_the_fixes_of_a_refused_row_are_rejected_once_each_and_before_the_ack() -> None:
    party = Party()
    _, socket = party.enter()
    start = NOW - NOW % WINDOW_MS
    for seq in range(3):
        party.fix(socket, seq, at=start + seq)
    party.fix(socket, 3, at=start + WINDOW_MS)
    party.commit({start: Reject.PRECISION})
    assert socket.said() == [Rejected(seq, Reject.PRECISION) for seq in range(3)] + [Ack(3)]
    party.commit()
    assert socket.said() == []


def test_a_fix_sent_again_on_the_same_connection_is_counted_and_nothing_else() -> None:
    party = Party()
    _, socket = party.enter()
    party.fix(socket, 1)
    party.fix(socket, 1)
    assert party.hub.stats.repeated == 1
    assert party.hub.windows.unsettled == 1
    party.commit()
    assert acks(socket) == [1]


def test_a_fix_sent_again_after_reconnecting_waits_for_the_same_row() -> None:
    party = Party()
    _, first = party.enter()
    party.fix(first, 1)
    first.connection.lost()
    _, second = party.enter()
    party.fix(second, 1)
    assert party.hub.windows.unsettled == 1
    party.commit()
    assert acks(second) == [1]


def test_a_private_members_fix_is_shown_to_nobody_stored_nowhere_and_acked() -> None:
    party = Party(precision=Precision.PRIVATE)
    member, socket = party.enter()
    party.fix(socket, 1)
    party.hub.say_acks()
    assert acks(socket) == [1]
    assert member.shown is None
    assert party.hub.windows.unsettled == 0


def test_live_only_shares_and_stores_nothing_also_during_a_hold() -> None:
    party = Party(options=Options(live_only=True))
    party.hub.holding = True
    member, socket = party.enter()
    party.fix(socket, 1)
    party.hub.say_acks()
    assert acks(socket) == [1]
    assert member.shown is not None
    assert party.hub.windows.unsettled == 0


def test_during_a_hold_fixes_are_shared_and_not_acked() -> None:
    party = Party()
    member, socket = party.enter()
    party.hub.holding = True
    party.fix(socket, 1)
    assert member.shown is not None
    party.commit()
    assert acks(socket) == []
    party.hub.holding = False
    party.fix(socket, 2)
    party.commit()
    assert acks(socket) == [], "2 was sent before the client knew: acking it would cover 1"
    party.fix(socket, 1)
    party.fix(socket, 2)
    party.commit()
    assert acks(socket) == [2]


def test_a_fix_from_a_stale_member_tells_the_party_that_it_is_live() -> None:
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    party.later(STALE_MS)
    assert wire.Member(m=2, name="member 2", role=Role.MEMBER, state=MemberState.STALE) in ann.said()
    party.fix(bob, 1)
    assert wire.Member(m=2, name="member 2", role=Role.MEMBER, state=MemberState.LIVE) in ann.said()


# --- wrong messages ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xff", b"[" * 60_000, b"\x91" * 60_000, b"{}", b'{"t":"nothing"}']
)
def test_what_does_not_decode_is_said_and_closed(codec: Codec, frame: bytes) -> None:
    party = Party()
    _, socket = party.enter(codec=codec)
    socket.connection.received(frame)
    assert socket.said()[0] == wire.Error("bad_frame")
    assert socket.closed_with == CloseCode.BAD_FRAME
    assert party.hub.stats.closed[CloseCode.BAD_FRAME] == 1
    assert not socket.connection.is_open


@both
@pytest.mark.parametrize("batch", [False, True], ids=["fix", "fixes"])
def test_a_viewer_sends_no_fixes(codec: Codec, batch: bool) -> None:
    party = Party()
    member, socket = party.enter(codec=codec, role=Role.VIEWER)
    message: Any = wire.Fixes([wire.Fix(1, NOW, 50.0, 8.0)]) if batch else wire.Fix(1, NOW, 50.0, 8.0)
    party.send(socket, message)
    assert socket.closed_with == CloseCode.FORBIDDEN
    assert member.shown is None
    assert party.hub.windows.unsettled == 0


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
@pytest.mark.parametrize("message", [wire.SetPrecision(Precision.ROUGH), wire.Kick(1), wire.End()])
def test_only_a_host_steers(role: Role, message: Any) -> None:
    party = Party()
    _, socket = party.enter(role=role)
    party.commands.clear()
    party.send(socket, message)
    assert socket.closed_with == CloseCode.FORBIDDEN
    assert party.commands == []


def test_before_entering_only_join_and_resume_are_heard() -> None:
    party = Party()
    connection, socket = party.connect()
    connection.received(JSON.encode(wire.Fix(1, NOW, 50.0, 8.0)))
    assert socket.closed_with == CloseCode.BAD_FRAME
    assert party.commands == []


def test_more_than_500_fixes_at_once_are_refused_whole() -> None:
    party = Party()
    member, socket = party.enter()
    items = [wire.Fix(seq, NOW, 50.0, 8.0) for seq in range(MAX_FIXES + 1)]
    party.send(socket, wire.Fixes(items))
    assert socket.closed_with in (CloseCode.BAD_FRAME, CloseCode.TOO_LARGE)
    assert member.shown is None


@given(st.lists(client_messages | st.binary(max_size=40), max_size=12), st.sampled_from(Role))
@settings(max_examples=60)
def test_no_order_of_messages_raises_or_harms_another(events: list[Any], role: Role) -> None:
    party = Party()
    _, other = party.enter(2)
    _, socket = party.enter(1, role=role)
    for event in events:
        if socket.connection.is_open:
            socket.connection.received(event if isinstance(event, bytes) else JSON.encode(event))
            socket.connection.resume_reading()
    assert other.closed_with is None
    assert not other.aborted
    assert other.connection.is_open
    assert (socket.closed_with is None) == socket.connection.is_open


# --- pauses --------------------------------------------------------------------------------------


def test_nothing_is_read_while_a_command_is_carried_out() -> None:
    party = Party()
    _, socket = party.enter(role=Role.HOST)
    party.send(socket, wire.SetPrecision(Precision.ROUGH))
    assert not socket.reading
    assert party.commands[-1][1] is Step.STEER
    socket.connection.resume_reading()
    assert socket.reading


def test_over_the_rate_reading_stops_and_nothing_is_lost() -> None:
    party = Party()
    _, socket = party.enter()
    seq = 0
    while socket.reading:
        items = [wire.Fix(seq + n, NOW, 50.0, 8.0) for n in range(MAX_FIXES)]
        seq += MAX_FIXES
        party.send(socket, wire.Fixes(items))
    assert seq == FIXES_BURST + MAX_FIXES
    debt_ms = int(MAX_FIXES / FIXES_PER_S * 1000)
    party.later(debt_ms - 100)
    assert not socket.reading
    party.later(200)
    assert socket.reading
    party.commit()
    assert acks(socket) == [seq - 1]


def test_a_slow_connection_gets_the_newest_ack_and_what_it_missed() -> None:
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    ann.stuck()
    for seq in range(5):
        party.fix(bob, seq, lat=50.0 + seq)
        party.fix(ann, seq)
        party.later(1_000)
        party.commit()
    assert ann.said() == []
    ann.moves()
    said = ann.said()
    assert [message for message in said if isinstance(message, Ack)] == [Ack(4)]
    (positions,) = [message for message in said if isinstance(message, wire.Positions)]
    assert {row[0]: row[2] for row in positions.p} == {1: 50.0, 2: 54.0}, "the newest, nothing old"


def test_what_was_missed_without_a_lease_comes_with_the_first_tick_that_may_be_sent() -> None:
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    ann.stuck()
    party.fix(bob, 1)
    party.later(1_000)
    party.lease = False
    ann.moves()
    party.later(1_000)
    assert not any(isinstance(message, wire.Positions) for message in ann.said())
    party.lease = True
    party.later(2_000)
    party.later(2_000)
    rows = [row for message in ann.said() if isinstance(message, wire.Positions) for row in message.p]
    assert [row[0] for row in rows] == [2]


def test_who_does_not_read_is_closed_as_slow_and_may_come_again() -> None:
    party = Party()
    _, socket = party.enter()
    socket.stuck()
    for _ in range(CONTROL_BOUND):
        socket.connection.say(wire.Policy(1000, False))
    assert socket.connection.is_open
    socket.connection.say(wire.Policy(1000, False))
    assert socket.closed_with == CloseCode.SLOW
    assert not socket.connection.is_open
    assert party.session.members[1].connection is None


# --- its life ------------------------------------------------------------------------------------


def test_closing_aborting_and_losing_it_again_and_again_is_harmless() -> None:
    party = Party()
    member, socket = party.enter()
    for _ in range(2):
        socket.connection.close(CloseCode.GOING_AWAY)
        socket.connection.abort()
        socket.connection.lost()
        socket.connection.writable(True)
        socket.connection.resume_reading()
        socket.connection.settle()
    assert socket.closed_with == CloseCode.GOING_AWAY
    assert member.connection is None
    assert member.state is MemberState.OFFLINE
    assert party.hub.connections == set()


def test_the_handshakes_token_is_forgotten_after_entering() -> None:
    party = Party()
    connection, socket = party.connect(bearer="s3cr3t")
    assert connection.bearer == "s3cr3t"
    assert "s3cr3t" not in repr(connection)
    party.send(socket, wire.Resume())
    member, _ = party.enter(2)
    party.hub.attach(connection, member, NOW)
    assert connection.bearer == ""


class Promise(RuleBasedStateMachine):
    """An honest phone, a database that is away now and then, and cuts: an acked fix is a committed row (G1).

    Both directions have messages on their way. Fixes come late, doubled, and with wrong times. In the end
    nothing is held any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.party = Party(backlog_rows=3)
        self.client = ClientSession(JSON, member_token="t")
        self.socket: RecordingSocket | None = None
        self.up: list[bytes] = []
        self.stream: list[Batch] = []
        self.entry = 0
        self.rows: dict[int, int] = {}
        self.newest = -1
        self.come()

    def come(self) -> None:
        self.client.connect(self.party.clock.now_ms / 1000)
        member, self.socket = self.party.enter()
        member_state = wire.Welcome(
            session=1,
            you=1,
            role=Role.MEMBER,
            member_token="t",
            precision=Precision.EXACT,
            session_precision=Precision.EXACT,
            revision=1,
            tick_ms=1000,
            window_ms=WINDOW_MS,
            now=NOW,
            members=[member.message()],
            positions=[],
        )
        self.socket.connection.say(member_state)
        self.socket.connection.say(self.party.hub.current_policy())

    @rule(back_ms=st.sampled_from([0, 0, 0, 300, 2_500, 7_000, 40_000]), future=st.integers(0, 9))
    def the_phone_moves(self, back_ms: int, future: int) -> None:
        at = self.party.clock() - back_ms + (120_000 if future == 9 else 0)
        self.client.offer(at, 50.0, 8.0)

    @rule(frames=st.integers(1, 5), most=st.sampled_from([1, 3]))
    def the_phone_sends(self, frames: int, most: int) -> None:
        for _ in range(frames):
            frame = self.client.next_frame(most)
            if frame is not None:
                self.up.append(frame)

    @precondition(lambda self: self.up)
    @rule(frames=st.integers(1, 4))
    def the_gateway_reads(self, frames: int) -> None:
        for _ in range(min(frames, len(self.up))):
            frame = self.up.pop(0)
            self.socket.connection.received(frame)
            message = JSON.decode_client(frame)
            items = message.items if isinstance(message, wire.Fixes) else [message]
            times = [item.at for item in items if item.at <= self.party.clock() + 60_000]
            self.newest = max([self.newest, *times])
            shown = self.party.session.members[1].shown
            assert (shown.at if shown else -1) == self.newest, "shared live, held or not"

    @rule(messages=st.integers(1, 6))
    def the_phone_hears(self, messages: int) -> None:
        for _ in range(min(messages, len(self.socket.written))):
            data = self.socket.written.pop(0)
            for message in messages_of(JSON, data):
                for event in self.client.receive(JSON.encode(message)):
                    if isinstance(event, Acked):
                        for at in event.times:
                            assert at - at % WINDOW_MS in self.rows

    @rule(ms=st.sampled_from([100, 1_000, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.socket.heard = True  # a phone answers pings
        self.party.later(ms)

    @rule()
    def the_gateway_flushes(self) -> None:
        hub, now = self.party.hub, self.party.clock()
        hub.batches.collect(hub.windows.take_closed(now), now)
        for batch in hub.batches.unsent():
            self.entry += 1
            hub.batches.sent(batch, str(self.entry), now)
            self.stream.append(batch)
        hub.hold(now)
        hub.say_acks()

    @precondition(lambda self: self.stream)
    @rule(which=st.integers(0, 9))
    def the_writer_commits(self, which: int) -> None:
        batch = self.stream.pop(which % len(self.stream))
        for window in batch.windows:
            self.rows.setdefault(window.start, window.position.at)
        for window in self.party.hub.batches.committed(batch.shard, batch.entry_id, []):
            if window.member.connection is not None:
                self.party.hub.want_ack(window.member.connection)

    @rule()
    def the_backlog_is_judged(self) -> None:
        self.party.hub.hold(self.party.clock())

    @rule(windows=st.integers(2, 5), frames=st.integers(0, 5))
    def a_tunnel_ends(self, windows: int, frames: int) -> None:
        """Many windows at once: the backlog reaches its bound while half of them are on their way."""
        for back in range(windows, 0, -1):
            self.client.offer(self.party.clock() - back * WINDOW_MS, 50.0, 8.0)
        self.the_phone_sends(windows, 1)
        if self.up:
            self.the_gateway_reads(frames)
        self.the_backlog_is_judged()

    @rule()
    def the_database_catches_up(self) -> None:
        self.time_passes(6_000)
        self.the_gateway_flushes()
        while self.stream:
            self.the_writer_commits(0)
        self.the_backlog_is_judged()

    @rule(cut=st.integers(0, 5))
    def the_connection_is_cut(self, cut: int) -> None:
        if cut:
            return
        self.socket.connection.lost()
        self.up.clear()
        self.client.closed(1006, self.party.clock() / 1000, 0.5)
        self.come()

    @rule()
    def all_comes_right_in_the_end(self) -> None:
        self.client.offer(self.party.clock(), 50.0, 8.0)
        for _ in range(12):
            while self.socket.written:
                self.the_phone_hears(6)
            while (frame := self.client.next_frame(3)) is not None:
                self.up.append(frame)
            while self.up:
                self.the_gateway_reads(4)
            self.time_passes(7_000)
            self.the_gateway_flushes()
            while self.stream:
                self.the_writer_commits(0)
            self.the_gateway_flushes()
        while self.socket.written:
            self.the_phone_hears(6)
        assert self.client.state is State.LIVE
        assert self.client.account.held == 0
        assert self.client.account.adds_up

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert self.client.account.adds_up
        assert self.client.account.lost == 0
        assert self.socket.connection.is_open


TestPromise = Promise.TestCase
TestPromise.settings = settings(max_examples=80, stateful_step_count=60)


def test_a_connection_with_too_many_unsettled_fixes_is_not_read_until_some_are_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.acks.RUNS_BOUND", 10)
    ledger = AckLedger()
    waiting = [Window(None, n * 5000, None, 0) for n in range(10)]  # type: ignore[arg-type]
    for n, window in enumerate(waiting):
        assert not ledger.full
        ledger.note(window, n)
    assert ledger.full
    waiting[0].settle(None)
    assert ledger.settle() == (0, [])
    assert not ledger.full
