"""The hub: ticks, acks, presence, keepalive by a clock; one encoding a tick; nothing without the lease (G3, G6)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.codec import JSON, MSGPACK, Codec
from protocol.limits import JOIN_TIMEOUT_S
from protocol.messages import Ack, MemberState, Policy, Positions, Reject, Rejected
from protocol.options import Options
from protocol.precision import Precision
from server.hub import SESSION_IDLE_MS, Hub
from server.keepalive import KEEPALIVE_MS, MESSAGE_SWEEPS
from server.slots import SLOT_MS
from server.windows import WindowState
from tests.server.parties import KEY, NOW, Clock, Party, RecordingSocket, make_session


def positions(socket: RecordingSocket) -> list[Any]:
    """The rows that were said, tick by tick."""
    return [message.p for message in socket.said() if isinstance(message, Positions)]


# --- ticks ---------------------------------------------------------------------------------------


def test_a_tick_tells_everybody_the_newest_of_each() -> None:
    party = Party()
    sockets = [party.enter(number)[1] for number in range(3)]
    party.later(1_000)
    for seq in range(4):
        party.clock.now_ms += 10
        party.fix(sockets[0], seq, lat=50.0 + seq)
    party.fix(sockets[1], 1, lat=60.0)
    party.later(1_000)
    for socket in sockets:
        assert [[(row[0], row[2]) for row in rows] for rows in positions(socket)] == [[(0, 53.0), (1, 60.0)]]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.sampled_from([250, 1000, 5000]))
def test_ticks_are_never_closer_than_the_sessions_tick_but_for_a_slot(
    pauses: list[int], tick_ms: int
) -> None:
    party = Party(options=Options(tick_ms=tick_ms))
    _, socket = party.enter()
    told: list[int] = []
    for seq, pause in enumerate(pauses):
        party.fix(socket, seq)
        party.later(pause)
        told += [party.clock()] * len(positions(socket))
    party.later(tick_ms + SLOT_MS)
    told += [party.clock()] * len(positions(socket))
    assert all(later - earlier > tick_ms - SLOT_MS for earlier, later in pairwise(told))
    assert told, "the first change is told"
    assert party.session.changed == {}


def test_a_session_in_which_nothing_happens_sends_nothing() -> None:
    party = Party()
    _, socket = party.enter()
    for _ in range(10):
        party.later(1_000)
    assert positions(socket) == []
    assert party.hub.stats.ticks == 0


def test_a_tick_is_encoded_once_an_encoding() -> None:
    encoded: list[str] = []

    def counting(codec: Codec) -> Codec:
        def encode(message: Any) -> bytes:
            if isinstance(message, Positions):
                encoded.append(codec.subprotocol)
            return codec.encode(message)

        return replace(codec, encode=encode)

    party = Party()
    sockets = []
    for number in range(20):
        _, socket = party.enter(number, codec=JSON if number % 2 else MSGPACK)
        socket.connection.codec = counting(socket.connection.codec)
        sockets.append(socket)
    for socket in sockets:
        party.fix(socket, 1)
    party.later(1_000)
    assert sorted(encoded) == sorted([JSON.subprotocol, MSGPACK.subprotocol])
    frames = {(socket.connection.codec.text, b"".join(socket.written)) for socket in sockets}
    assert len(frames) == 2, "the same bytes for everybody of an encoding"


def test_without_the_lease_nobody_gets_positions_and_with_it_the_newest() -> None:
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    party.lease = False
    for seq in range(5):
        party.fix(bob, seq, lat=50.0 + seq)
        party.later(1_000)
        assert positions(ann) == []
    party.lease = True
    party.later(1_000)
    party.later(1_000)
    assert [[row[2] for row in rows] for rows in positions(ann)] == [[54.0]]


def test_a_tightening_takes_unsent_positions_and_open_windows_with_it() -> None:
    party = Party()
    ann, ann_socket = party.enter(1)
    _, bob = party.enter(2)
    party.fix(ann_socket, 1)
    (window,) = ann.windows.values()
    ann.own = Precision.PRIVATE
    party.hub.restrict(party.session)
    assert (window.state, window.refusal) == (WindowState.REFUSED, Reject.PRECISION)
    party.later(1_000)
    assert positions(bob) == []
    party.commit()
    settled = [message for message in ann_socket.said() if isinstance(message, Ack | Rejected)]
    assert settled == [Rejected(1, Reject.PRECISION), Ack(1)]
    assert len(party.hub.batches) == 0


def test_a_tightening_cuts_who_has_not_taken_finer_bytes_yet() -> None:
    """Also who was closed before and still has them waiting."""
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    _, leaving = party.enter(3)
    bob.stuck()
    leaving.stuck()
    leaving.connection.close(CloseCode.SLOW)
    assert not leaving.aborted
    party.session.precision = Precision.ROUGH
    party.hub.restrict(party.session)
    party.hub.cut_unsent(party.session)
    assert bob.aborted
    assert leaving.aborted
    assert not ann.aborted
    assert ann.connection.is_open


def test_a_loosening_cuts_nobody() -> None:
    party = Party(precision=Precision.ROUGH)
    _, socket = party.enter()
    party.session.precision = Precision.EXACT
    party.hub.restrict(party.session)
    assert not socket.aborted


# --- connections ---------------------------------------------------------------------------------


def test_who_says_nothing_first_is_closed_after_the_join_timeout() -> None:
    party = Party()
    _, socket = party.connect()
    party.later(int(JOIN_TIMEOUT_S * 1000) - 1)
    assert socket.closed_with is None
    party.later(1_001)
    assert socket.said()[-1] == wire.Error("join_timeout")
    assert socket.closed_with == CloseCode.JOIN_TIMEOUT
    assert party.hub.connections == set()


def test_who_is_being_looked_up_is_not() -> None:
    party = Party()
    _, socket = party.connect()
    party.send(socket, wire.Resume("t"))
    party.later(60_000)
    assert socket.closed_with is None or socket.aborted


def test_who_is_silent_is_asked_and_then_cut() -> None:
    party = Party()
    _, socket = party.enter()
    party.later(KEEPALIVE_MS)
    party.later(KEEPALIVE_MS)
    assert (socket.pings, socket.aborted) == (1, False)
    party.later(KEEPALIVE_MS)
    assert socket.aborted


def test_who_answers_is_not_cut() -> None:
    party = Party()
    _, socket = party.enter()
    for _ in range(10):
        party.later(KEEPALIVE_MS)
        socket.heard = True
    assert not socket.aborted


def test_one_connection_too_many_is_told_to_come_again() -> None:
    party = Party(max_connections=2)
    first, second = party.connect()[1], party.connect()[1]
    third = party.connect()[1]
    assert third.closed_with == CloseCode.UNAVAILABLE
    assert (first.closed_with, second.closed_with) == (None, None)
    first.connection.lost()
    assert party.connect()[1].closed_with is None


def test_a_newer_connection_replaces_the_older_and_stays_the_members() -> None:
    party = Party()
    member, older = party.enter()
    _, newer = party.enter()
    assert older.closed_with == CloseCode.REPLACED
    assert member.connection is newer.connection
    assert member.state is MemberState.LIVE
    older.connection.lost()
    assert member.connection is newer.connection
    party.fix(newer, 1)
    party.later(1_000)
    assert len(positions(newer)) == 1


def test_a_lost_connection_is_told_to_the_others() -> None:
    party = Party()
    _, ann = party.enter(1)
    _, bob = party.enter(2)
    ann.said()
    bob.connection.lost()
    assert [(m.m, m.state) for m in ann.said()] == [(2, MemberState.OFFLINE)]


def test_a_kicked_member_is_closed_and_gone_for_the_others() -> None:
    party = Party()
    _, ann = party.enter(1)
    bob_member, bob = party.enter(2)
    party.fix(bob, 1)
    ann.said()
    party.hub.remove(party.session, 2, CloseCode.KICKED)
    party.hub.remove(party.session, 2, CloseCode.KICKED)
    assert bob.closed_with == CloseCode.KICKED
    assert [(m.m, m.state) for m in ann.said()] == [(2, MemberState.LEFT)]
    party.later(1_000)
    assert positions(ann) == []
    assert bob_member.shown is None


def test_a_kicked_member_gets_nothing_of_what_waits() -> None:
    party = Party()
    _, bob = party.enter(2)
    bob.stuck()
    party.hub.remove(party.session, 2, CloseCode.KICKED)
    assert bob.aborted


def test_the_end_closes_everybody_and_says_nothing_more() -> None:
    party = Party()
    sockets = [party.enter(number)[1] for number in range(5)]
    for socket in sockets:
        socket.said()
    party.hub.end(party.session)
    assert all(socket.closed_with == CloseCode.ENDED for socket in sockets)
    assert all(socket.said() == [] for socket in sockets)
    assert party.session.id not in party.hub.sessions
    assert party.hub.connections == set()


# --- policy --------------------------------------------------------------------------------------


def test_a_backlog_holds_at_its_bound_and_lets_go_below_half() -> None:
    party = Party(backlog_rows=4)
    _, socket = party.enter()
    for seq in range(4):
        party.fix(socket, seq, at=NOW - seq * 5_000)
        party.hub.hold(NOW)
        assert party.hub.holding is (seq == 3)
    assert socket.said() == [Policy(interval_ms=1000, hold=True)]
    windows = list(party.session.members[1].windows.values())
    for left, window in zip((3, 2, 1), windows, strict=False):
        party.hub.windows.settle(window)
        party.hub.hold(NOW)
        assert party.hub.holding is (left >= 2)
    assert socket.said() == [Policy(interval_ms=1000, hold=False)]


def test_without_the_lease_the_policy_is_to_hold() -> None:
    party = Party()
    assert not party.hub.current_policy().hold
    party.lease = False
    assert party.hub.current_policy().hold


# --- memory --------------------------------------------------------------------------------------


def test_a_session_that_nobody_is_in_is_forgotten_after_a_while() -> None:
    party = Party()
    _, socket = party.enter()
    party.fix(socket, 1)
    party.later(SESSION_IDLE_MS * 2)
    assert party.session.id in party.hub.sessions
    socket.connection.lost()
    party.later(SESSION_IDLE_MS * 2)
    assert party.session.id in party.hub.sessions, "its rows are not settled"
    party.commit()
    party.later(SESSION_IDLE_MS * 2)
    assert party.session.id not in party.hub.sessions


def test_one_person_has_one_mask_in_every_session() -> None:
    hub = Party().hub
    assert hub.masks_of(7) is hub.masks_of(7)
    assert hub.masks_of(7) is not hub.masks_of(8)
    before = hub.masks_of(7)
    hub.forget_user(7)
    assert hub.masks_of(7) is not before


def test_the_masks_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.hub.MASKS_BOUND", 3)
    hub = Party().hub
    kept = hub.masks_of(1)
    for user in (2, 3):
        hub.masks_of(user)
    assert hub.masks_of(1) is kept
    hub.masks_of(4)
    assert hub.knows_masks_of(1)
    assert not hub.knows_masks_of(2)


def test_a_hub_without_a_commander_says_so() -> None:
    hub = Hub(clock=Clock(), may_send=lambda: True, mask_key=KEY, backlog_rows=10, max_connections=1)
    hub.sessions[1] = make_session()
    with pytest.raises(RuntimeError, match="commander"):
        hub.command(None, None, None)  # type: ignore[arg-type]


def test_a_message_that_never_ends_ends_its_connection() -> None:
    party = Party()
    _, socket = party.enter()
    socket.unfinished = True
    for _ in range(MESSAGE_SWEEPS):
        assert socket.closed_with is None
        socket.heard = True
        party.later(KEEPALIVE_MS)
    assert socket.closed_with == CloseCode.SLOW


def test_messages_that_end_may_go_on_for_ever() -> None:
    party = Party()
    _, socket = party.enter()
    for _ in range(10):
        socket.unfinished, socket.late, socket.heard, socket.odd = True, 0, True, 500
        party.later(KEEPALIVE_MS)
        assert socket.odd == 0
    assert socket.closed_with is None
