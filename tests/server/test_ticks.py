"""Ticks of a session that several gateways hold: published at the same moments, told in one frame, nothing left over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Positions
from protocol.options import Options
from protocol.precision import Precision
from server import peers
from server.applying import doubt, release
from server.session import Member, Session
from server.slots import SLOT_MS
from server.ticks import SETTLE_MS
from tests.server.parties import NOW, Party, RecordingSocket, make_member

OTHER = "b" * 16


class Told(peers.Alone):
    """What the hub tells its relay, and when."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self.shown: list[tuple[int, list[int]]] = []
        self.moves: list[int] = []

    def show(self, session: Session, members: Iterable[int]) -> None:
        self.shown.append((self._party.clock(), list(members)))

    def moved(self, member: Member) -> None:
        self.moves.append(member.number)


def shared(*, tick_ms: int = 1_000, number: int = 1) -> tuple[Party, RecordingSocket, Told]:
    """A party of member 1, here, and member 2, on another gateway."""
    party = Party(options=Options(tick_ms=tick_ms))
    party.session.id = number
    party.hub.relay = told = Told(party)
    _, socket = party.enter(1)
    make_member(party.session, 2)
    party.session.peers[OTHER] = NOW
    return party, socket, told


def hear(party: Party, at: int, number: int = 2) -> None:
    """The other gateway has published a position."""
    if peers.take_rows(party.session, [(number, at, 50.0, 8.0, None, None, None, Precision.EXACT)]).new:
        party.hub.ticks.soon(party.session, party.clock())


def frames(socket: RecordingSocket) -> list[list[tuple[int, int]]]:
    """Member and time of each row, frame by frame."""
    return [[row[:2] for row in message.p] for message in socket.said() if isinstance(message, Positions)]


def until(party: Party, ms: int) -> None:
    """Beats to a moment after `NOW`."""
    while party.clock() < NOW + ms:
        party.later(min(SLOT_MS, NOW + ms - party.clock()))


def test_rows_of_both_gateways_are_in_one_frame() -> None:
    party, socket, told = shared()
    party.fix(socket, 1, at=NOW)
    while not told.shown:
        party.later(SLOT_MS)
    published_ms, numbers = told.shown[0]
    assert numbers == [1]
    assert published_ms - NOW <= 1_000 + SLOT_MS
    party.clock.now_ms += 5
    hear(party, NOW + 1)
    assert frames(socket) == [], "the frame waits for the others"
    party.later(SETTLE_MS)
    assert frames(socket) == [[(1, NOW), (2, NOW + 1)]]
    assert party.hub.stats.ticks == 1


@given(
    st.integers(1, 10**12),
    st.sampled_from([250, 1_000, 2_500, 5_000]),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
)
def test_gateways_publish_a_session_within_a_slot_of_each_other(
    number: int, tick_ms: int, one_ms: int, two_ms: int
) -> None:
    moments = []
    for after_ms in (one_ms, two_ms):
        party, socket, told = shared(tick_ms=tick_ms, number=number)
        party.later(after_ms)
        party.fix(socket, 1)
        while not told.shown:
            party.clock.now_ms += SLOT_MS - party.clock.now_ms % SLOT_MS
            party.hub.run(party.clock())
        assert told.shown[0][0] - NOW - after_ms <= tick_ms + SLOT_MS
        moments.append(told.shown[0][0])
    apart_ms = (moments[0] - moments[1]) % tick_ms
    assert min(apart_ms, tick_ms - apart_ms) <= SLOT_MS < SETTLE_MS, (
        "one frame holds what both have published"
    )


def test_a_session_on_one_gateway_tells_the_relay_of_no_position() -> None:
    party, socket, told = shared()
    party.session.peers.clear()
    for seq in range(10):
        party.fix(socket, seq)
        party.later(500)
    assert frames(socket)
    assert told.shown == []
    assert party.session.here == {}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.just("own"), st.none()),
        st.tuples(st.just("peer"), st.integers(2, 3)),
    ),
    max_size=80,
)


@given(steps, st.sampled_from([250, 1_000]))
def test_no_row_waits_longer_than_it_may(steps: list[Any], tick_ms: int) -> None:
    """A peer's row is told within the settling time, an own one is published within a tick; each by a slot more."""
    party, socket, told = shared(tick_ms=tick_ms)
    make_member(party.session, 3)
    waiting: dict[tuple[int, int], int] = {}
    unpublished: list[int] = []
    seq = 0

    def look() -> None:
        now = party.clock()
        for frame in frames(socket):
            for number, when in frame:
                for key in [key for key in waiting if key[0] == number and key[1] <= when]:
                    assert now <= waiting.pop(key)
        if told.shown:
            told.shown.clear()
            assert all(now <= due for due in unpublished)
            unpublished.clear()
        assert all(now <= due for due in [*waiting.values(), *unpublished])

    for at, (kind, value) in enumerate([*steps, *[("wait", SLOT_MS)] * (2 * tick_ms // SLOT_MS)], 1):
        if kind == "wait":
            for _ in range(0, value, 5):  # beats are never farther apart than a slot
                party.later(5)
                look()
        elif kind == "own":
            seq += 1
            party.fix(socket, seq, at=NOW + at)
            waiting[1, NOW + at] = party.clock() + tick_ms + SETTLE_MS + SLOT_MS
            unpublished.append(party.clock() + tick_ms + SLOT_MS)
        else:
            hear(party, NOW + at, value)
            waiting[value, NOW + at] = party.clock() + SETTLE_MS + SLOT_MS
    assert waiting == {}
    assert unpublished == []
    assert party.session.changed == {}
    assert party.session.here == {}
    party.later(tick_ms)
    assert party.hub.ticks._due == {}


def test_what_is_due_does_not_grow_while_a_session_is_withheld() -> None:
    party, socket, told = shared()
    doubt(party.hub, party.session)
    most = 0
    for seq in range(150):
        party.fix(socket, seq, at=NOW + seq)
        hear(party, NOW + seq)
        party.later(100)
        most = max(most, sum(map(len, party.hub.ticks._due.values())))
    assert frames(socket) == []
    assert told.shown == []
    assert most <= 3
    release(party.hub, party.session)
    until(party, 150 * 100 + 2 * 1_000)
    assert [row for frame in frames(socket) for row in frame][-2:] == [(1, NOW + 149), (2, NOW + 149)]
    assert [number for _, numbers in told.shown for number in numbers] == [1]


def test_nothing_is_told_without_the_lease_and_all_of_it_after() -> None:
    party, socket, told = shared()
    party.lease = False
    party.fix(socket, 1, at=NOW)
    hear(party, NOW)
    until(party, 3_000)
    assert frames(socket) == []
    assert told.shown == []
    party.lease = True
    until(party, 5_500)
    assert sorted(row for frame in frames(socket) for row in frame) == [(1, NOW), (2, NOW)]
    assert [numbers for _, numbers in told.shown] == [[1]]


def test_a_session_that_is_alone_again_goes_on() -> None:
    party, socket, _ = shared()
    party.fix(socket, 1, at=NOW)
    party.session.peers.clear()
    party.session.here.clear()
    until(party, 1_100)
    assert frames(socket) == [[(1, NOW)]]


def test_others_are_told_of_presence_by_the_gateway_that_has_the_member() -> None:
    party, socket, told = shared()
    told.moves.clear()
    peers.place(party.session, OTHER, (2, peers.MemberState.LIVE, NOW))
    party.hub.announce_moved(party.session, NOW)
    peers.forget(party.session, OTHER)
    party.hub.announce_moved(party.session, NOW)
    assert told.moves == []
    party.hub.closed(socket.connection)
    assert told.moves == [1]


def test_a_party_that_never_rests_gets_its_frames() -> None:
    """What comes between a publication and its frame is published with the next tick, and puts the frame off for nobody."""
    party, socket, told = shared(tick_ms=250)
    for seq in range(500):
        party.fix(socket, seq, at=NOW + seq)
        party.later(10)
    assert 18 <= len(frames(socket)) <= 21
    assert 18 <= len(told.shown) <= 21


def test_what_comes_after_a_publication_is_published_with_the_next() -> None:
    party, socket, told = shared()
    party.fix(socket, 1, at=NOW)
    while not told.shown:
        party.later(SLOT_MS)
    party.later(10)
    party.fix(socket, 2, at=NOW + 1)
    until(party, 2_500)
    (first_ms, _), (second_ms, _) = told.shown
    assert abs(second_ms - first_ms - 1_000) <= SLOT_MS
    assert [row for frame in frames(socket) for row in frame][-1] == (1, NOW + 1)
