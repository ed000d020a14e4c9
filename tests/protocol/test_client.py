"""What an honest phone guarantees: no held fix is forgotten, none goes out of turn, all are counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol import messages as wire
from protocol.client import ClientSession
from protocol.client_events import (
    Acked,
    EndedSeen,
    Failed,
    GiveUp,
    MemberSeen,
    PolicySeen,
    PositionsSeen,
    PrecisionSeen,
    Reconnect,
    RejectedFix,
    Welcomed,
)
from protocol.client_table import TABLE, Input, LocalMistake, PeerMistake, State
from protocol.close_codes import CloseCode, may_come_again
from protocol.codec import JSON, MSGPACK, Codec, decode_client
from protocol.limits import MAX_FIXES, MAX_FRAME_BYTES
from protocol.precision import Precision

NOW = 1_700_000_000_000


def welcome(token: str = "member-secret") -> wire.Welcome:
    return wire.Welcome(
        session=7,
        you=2,
        role=wire.Role.MEMBER,
        member_token=token,
        precision=Precision.EXACT,
        session_precision=Precision.EXACT,
        revision=1,
        tick_ms=1000,
        window_ms=5000,
        now=NOW,
        members=[],
        positions=[],
    )


def phone(codec: Codec = JSON, **options: Any) -> ClientSession:
    return ClientSession(codec, name="Ada", token="sharable-secret", **options)


def live(codec: Codec = JSON, **options: Any) -> ClientSession:
    session = phone(codec, **options)
    session.connect(0.0)
    session.receive(codec.encode(welcome()))
    return session


def test_a_phone_that_holds_a_member_token_of_another_party_shows_it_when_it_joins() -> None:
    join = decode_client(JSON, phone(user="member-token-of-yesterday").connect(0.0))
    assert isinstance(join, wire.Join)
    assert join.user == "member-token-of-yesterday"


def offer(session: ClientSession, count: int = 1) -> None:
    for _ in range(count):
        session.offer(NOW, 37.5, 127.0)


def seqs(codec: Codec, frame: bytes | None) -> list[int]:
    assert frame is not None
    message = decode_client(codec, frame)
    if isinstance(message, wire.Fix):
        return [message.seq]
    assert isinstance(message, wire.Fixes)
    return [item.seq for item in message.items]


def drain(session: ClientSession, codec: Codec = JSON, most: int = 1) -> list[list[int]]:
    frames = []
    while (frame := session.next_frame(most)) is not None:
        assert len(frame) <= MAX_FRAME_BYTES
        frames.append(seqs(codec, frame))
    return frames


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_it_joins_the_first_time_and_resumes_afterwards(codec: Codec) -> None:
    session = phone(codec)
    first = decode_client(codec, session.connect(0.0))
    assert isinstance(first, wire.Join)
    assert (first.name, first.token) == ("Ada", "sharable-secret")
    session.receive(codec.encode(welcome()))
    session.closed(1006, 1.0, 0.5)
    again = decode_client(codec, session.connect(2.0))
    assert isinstance(again, wire.Resume)
    assert again.token == "member-secret"


def test_with_a_member_token_it_resumes_at_once() -> None:
    assert isinstance(decode_client(JSON, phone(member_token="kept").connect(0.0)), wire.Resume)


def test_a_fix_is_sent_live_once() -> None:
    session = live()
    offer(session)
    assert drain(session) == [[1]]
    assert session.next_frame() is None
    assert session.account.sent_again == 0


def test_nothing_is_sent_before_welcome() -> None:
    session = phone()
    offer(session)
    assert session.next_frame() is None
    session.connect(0.0)
    assert session.next_frame() is None


def test_after_a_cut_all_that_is_not_settled_goes_again_oldest_first_and_keeps_its_seq() -> None:
    session = live()
    offer(session, 4)
    drain(session)
    session.receive(JSON.encode(wire.Ack(1)))
    session.receive(JSON.encode(wire.Rejected(3, wire.Reject.RANGE)))
    session.closed(1006, 1.0, 0.5)
    offer(session)
    session.connect(2.0)
    session.receive(JSON.encode(welcome()))
    offer(session)
    assert drain(session) == [[2, 4, 5, 6]]
    assert session.account.sent_again == 2


def test_when_a_hold_ends_all_that_is_not_settled_goes_again_before_anything_newer() -> None:
    session = live()
    offer(session, 2)
    drain(session)
    session.receive(JSON.encode(wire.Policy(1000, True)))
    offer(session)
    assert drain(session) == [[3]]  # shared live, though not stored
    session.receive(JSON.encode(wire.Policy(1000, False)))
    offer(session)
    assert drain(session) == [[1, 2, 3, 4]]


def test_a_policy_that_ends_no_hold_sends_nothing_again() -> None:
    session = live()
    offer(session)
    drain(session)
    session.receive(JSON.encode(wire.Policy(5000, False)))
    assert session.next_frame() is None


def test_a_backlog_goes_in_full_batches_and_new_fixes_as_the_caller_says() -> None:
    session = phone()
    offer(session, MAX_FIXES + 10)
    session.connect(0.0)
    session.receive(JSON.encode(welcome()))
    assert [len(frame) for frame in drain(session)] == [MAX_FIXES, 10]
    offer(session, 5)
    assert [len(frame) for frame in drain(session, most=2)] == [2, 2, 1]


def test_a_frame_is_never_longer_than_the_server_reads() -> None:
    session = phone()
    long = -179.12345678901234
    for _ in range(MAX_FIXES):
        session.offer(-(2**53), long, long, acc=long, spd=long, hdg=long, alt=long, bat=long)
    session.connect(0.0)
    session.receive(JSON.encode(welcome()))
    sent = drain(session)  # checks each frame's length
    assert [seq for frame in sent for seq in frame] == list(range(1, MAX_FIXES + 1))


def test_an_ack_settles_all_up_to_its_seq_and_tells_their_times() -> None:
    session = live()
    for at in (10, 20, 30):
        session.offer(at, 1.0, 2.0)
    drain(session)
    assert session.receive(JSON.encode(wire.Ack(2))) == [Acked((10, 20))]
    assert session.receive(JSON.encode(wire.Ack(2))) == []
    assert (session.account.acked, session.account.held) == (2, 1)
    assert session.held_times() == [30]


def test_a_reject_drops_one_fix_once_and_counts_its_reason() -> None:
    session = live()
    offer(session, 2)
    drain(session)
    reject = JSON.encode(wire.Rejected(1, wire.Reject.TOO_OLD))
    assert session.receive(reject) == [RejectedFix(1, wire.Reject.TOO_OLD)]
    assert session.receive(reject) == []
    assert session.account.rejected == {wire.Reject.TOO_OLD: 1}
    assert session.account.adds_up


def test_when_full_the_oldest_is_lost_and_counted() -> None:
    session = phone(max_held=3)
    offer(session, 5)
    assert (session.account.held, session.account.lost) == (3, 2)
    session.connect(0.0)
    session.receive(JSON.encode(welcome()))
    assert drain(session) == [[3, 4, 5]]
    assert session.account.adds_up


@pytest.mark.parametrize("settled", [wire.Ack(2), wire.Rejected(2, wire.Reject.RANGE)])
def test_a_server_that_settles_what_was_not_sent_is_mistaken_and_settles_nothing(settled: object) -> None:
    session = live()
    offer(session)
    drain(session)
    offer(session)
    with pytest.raises(PeerMistake):
        session.receive(JSON.encode(settled))
    assert session.account.held == 2
    session.closed(1006, 1.0, 0.5)
    session.connect(2.0)
    session.receive(JSON.encode(welcome()))
    with pytest.raises(PeerMistake):  # sent on the connection before, not yet on this one
        session.receive(JSON.encode(wire.Ack(1)))


def test_what_the_server_says_becomes_events() -> None:
    session = phone()
    session.connect(0.0)
    said: list[tuple[object, object]] = [
        (welcome(), Welcomed(welcome())),
        (wire.Member(1, "Bo", wire.Role.HOST, wire.MemberState.LIVE), None),
        (wire.PrecisionChanged(Precision.ROUGH, 4), PrecisionSeen(Precision.ROUGH, 4)),
        (wire.Policy(2000, True), PolicySeen(2000, True)),
        (wire.Ended("host"), EndedSeen("host")),
        (wire.Error("ended"), Failed("ended")),
    ]
    for message, event in said:
        (seen,) = session.receive(JSON.encode(message))
        assert isinstance(seen, MemberSeen) if event is None else seen == event
    assert session.state is State.CLOSING
    (seen,) = session.receive(JSON.encode(wire.Positions(NOW, [])))
    assert isinstance(seen, PositionsSeen)


@pytest.mark.parametrize("code", [*CloseCode, 1000, 1001, 1002, 1006, 1011, 1012])
def test_after_a_close_the_code_says_whether_to_come_again(code: int) -> None:
    session = live()
    verdict = session.closed(int(code), 1.0, 0.5)
    assert isinstance(verdict, Reconnect if may_come_again(code) else GiveUp)
    if isinstance(verdict, GiveUp):
        for act in (
            lambda: session.connect(2.0),
            lambda: offer(session),
            lambda: session.closed(1006, 2.0, 0),
        ):
            with pytest.raises(LocalMistake):
                act()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_backoff_grows_is_bounded_and_is_drawn_by_the_jitter(draws: list[float]) -> None:
    session = phone()
    bounds = []
    for jitter in draws:
        verdict = session.closed(1006, 0.0, jitter)
        assert isinstance(verdict, Reconnect)
        assert 0.25 <= verdict.after_s <= verdict.bound_s <= 30
        bounds.append(verdict.bound_s)
    assert bounds == sorted(bounds)


def test_a_steady_connection_starts_the_backoff_again_and_a_short_one_does_not() -> None:
    def bound(session: ClientSession, lived_s: float) -> float:
        session.connect(0.0)
        session.receive(JSON.encode(welcome()))
        verdict = session.closed(1006, lived_s, 1.0)
        assert isinstance(verdict, Reconnect)
        return verdict.bound_s

    session = phone()
    short = [bound(session, 0.1) for _ in range(3)]
    assert short == sorted(set(short))
    assert bound(session, 60.0) == short[0]


def test_after_a_goodbye_the_first_wait_is_short_and_only_for_who_was_in() -> None:
    def waits(session: ClientSession, code: int, *, enters: bool) -> tuple[float, float]:
        session.connect(0.0)
        if enters:
            session.receive(JSON.encode(welcome()))
        verdict = session.closed(code, 0.1, 1.0)
        assert isinstance(verdict, Reconnect)
        return verdict.after_s, verdict.bound_s

    session = phone()
    away = int(CloseCode.GOING_AWAY)
    for _ in range(3):  # one gateway after the other is restarted
        assert waits(session, away, enters=True) == (0.5, 0.5)
    refused = [waits(session, away, enters=False)[1] for _ in range(3)]
    assert refused == [2.0, 4.0, 8.0]
    assert waits(session, 1006, enters=True)[1] == 16.0
    assert waits(session, away, enters=True) == (0.5, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_the_wire_cannot_carry_is_refused_here(bad: float) -> None:
    session = live()
    with pytest.raises(LocalMistake):
        session.offer(NOW, bad, 1.0)
    with pytest.raises(LocalMistake):
        session.offer(NOW, 1.0, 1.0, acc=bad)
    with pytest.raises(LocalMistake):
        session.offer(2**53, 1.0, 1.0)
    assert session.account.offered == 0


def test_a_session_that_may_hold_nothing_is_refused() -> None:
    with pytest.raises(LocalMistake):
        phone(max_held=0)


def test_every_state_but_the_last_can_be_cut_refused_and_offered_to() -> None:
    for state in State:
        for what in (Input.CUT, Input.REFUSED, Input.OFFER):
            assert ((state, what) in TABLE) == (state is not State.OVER)


def test_no_mistake_repeats_the_servers_bytes() -> None:
    session = live()
    with pytest.raises(PeerMistake) as caught:
        session.receive(b'{"t":"secret-of-somebody","lat":37.5}')
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=200), st.sampled_from([JSON, MSGPACK]), st.sampled_from([phone, live]))
def test_arbitrary_bytes_raise_one_error_or_none_and_forget_nothing(
    frame: bytes, codec: Codec, make: Any
) -> None:
    session = make(codec)
    offer(session, 3)
    drain(session, codec)
    state = session.state
    try:
        session.receive(frame)
    except PeerMistake:
        assert session.state is state
    assert session.account.adds_up


MESSAGES = st.one_of(
    st.just(welcome()),
    st.builds(wire.Ack, st.integers(0, 40)),
    st.builds(wire.Rejected, st.integers(0, 40), st.sampled_from(wire.Reject)),
    st.builds(wire.Policy, st.integers(0, 9000), st.booleans()),
    st.builds(wire.Positions, st.integers(0, 10), st.just([])),
    st.builds(
        wire.Member,
        st.integers(1, 3),
        st.just("x"),
        st.just(wire.Role.MEMBER),
        st.sampled_from(wire.MemberState),
    ),
    st.builds(wire.Ended, st.just("host")),
    st.builds(wire.Error, st.just("slow")),
)
CODES = st.sampled_from([1000, 1001, 1002, 1006, 4000, 4001, 4501, 4503])


class HonestPhone(RuleBasedStateMachine):
    """Any order of offers, cuts, messages, honest or not: the session keeps its law all the way."""

    @initialize(
        codec=st.sampled_from([JSON, MSGPACK]), most=st.integers(1, 9), max_held=st.sampled_from([4, 1000])
    )
    def begin(self, codec: Codec, most: int, max_held: int) -> None:
        self.codec, self.most = codec, most
        self.session = phone(codec, max_held=max_held)
        self.unsettled: list[int] = []
        self.sent_here: list[int] = []
        self.max_held = max_held

    @rule(count=st.integers(1, 12))
    def offer(self, count: int) -> None:
        for _ in range(count):
            try:
                self.unsettled.append(self.session.offer(NOW, 1.0, 2.0))
            except LocalMistake:
                assert self.session.state is State.OVER
        self.unsettled = self.unsettled[-self.max_held :]

    @rule()
    def connect(self) -> None:
        try:
            self.session.connect(0.0)
            self.sent_here = []
        except LocalMistake:
            assert self.session.state is not State.OFFLINE

    @precondition(lambda self: self.session.state is State.JOINING)
    @rule()
    def welcome(self) -> None:
        self.session.receive(self.codec.encode(welcome()))

    @rule()
    def send_all(self) -> None:
        able = self.session.state in (State.LIVE, State.HOLDING)
        for frame in drain(self.session, self.codec, self.most):
            assert frame == sorted(set(frame))
            assert set(frame) <= set(self.unsettled)
            self.sent_here += frame
        if able:
            assert set(self.unsettled) <= set(self.sent_here)

    @rule(message=MESSAGES)
    def server_says(self, message: wire.ServerMessage) -> None:
        held_before = self.session.state is State.HOLDING
        try:
            events = self.session.receive(self.codec.encode(message))
        except PeerMistake:
            return
        if isinstance(message, wire.Ack):
            settled = [seq for seq in self.unsettled if seq <= message.seq]
            assert not settled or events == [Acked((NOW,) * len(settled))]
            assert set(settled) <= set(self.sent_here)
            self.unsettled = [seq for seq in self.unsettled if seq > message.seq]
        elif isinstance(message, wire.Rejected) and events:
            self.unsettled.remove(message.seq)
        elif isinstance(message, wire.Policy) and held_before and not message.hold:
            again = [seq for frame in drain(self.session, self.codec) for seq in frame]
            assert again[: len(self.unsettled)] == self.unsettled
            self.sent_here += again

    @rule(code=CODES, jitter=st.floats(0, 1))
    def close(self, code: int, jitter: float) -> None:
        try:
            self.session.closed(code, 1.0, jitter)
        except LocalMistake:
            assert self.session.state is State.OVER

    @rule(frame=st.binary(max_size=40))
    def noise(self, frame: bytes) -> None:
        try:
            self.session.receive(frame)
        except PeerMistake:
            return
        # bytes that happen to be a message: only what settles nothing is that short
        assert len(self.unsettled) == self.session.account.held

    @invariant()
    def the_account_adds_up_and_nothing_is_forgotten(self) -> None:
        if not hasattr(self, "session"):
            return
        assert self.session.account.adds_up
        assert self.session.account.held == len(self.unsettled) == len(self.session.held_times())


HonestPhone.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHonestPhone = HonestPhone.TestCase
