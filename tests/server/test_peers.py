"""What other gateways tell: read safely, never finer than allowed, the newest connection counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import MemberState
from protocol.precision import Precision
from server import peers
from server.peers import Bye, Elsewhere, Hello, Moved, Shown, decode, encode
from server.session import Session
from server.unsaid import Unsaid
from tests.server.parties import NOW, Party, make_member, make_session, position

GATEWAYS = ("a" * 16, "b" * 16, "c" * 16)
THERE = [MemberState.LIVE, MemberState.STALE, MemberState.PRIVATE]

gateways = st.sampled_from(GATEWAYS)
presences = st.tuples(st.integers(1, 500), st.sampled_from(MemberState), st.integers(0, 2**53))
some = st.none() | st.floats(0, 1e4)
rows = st.tuples(
    st.integers(1, 500),
    st.integers(0, 2**53),
    st.floats(-90, 90),
    st.floats(-180, 180),
    some,
    some,
    some,
    st.sampled_from(Precision),
)
revisions = st.integers(0, 2**31)
messages = st.one_of(
    st.builds(Hello, gateways, revisions, st.booleans(), st.lists(presences, max_size=20)),
    st.builds(Moved, gateways, revisions, st.lists(presences, max_size=20)),
    st.builds(Shown, gateways, st.lists(rows, max_size=20)),
    st.builds(Bye, gateways),
)


def row(number: int, at: int, precision: Precision = Precision.EXACT, lat: float = 50.0) -> Any:
    return (number, at, lat, 8.0, None, None, None, precision)


# --- messages ------------------------------------------------------------------------------------


@given(messages)
def test_a_message_is_read_as_it_was_said(message: peers.Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_none(data: bytes) -> None:
    decode(data)


@given(messages, st.data())
def test_a_message_that_was_harmed_is_none_or_another_message(message: peers.Message, data: Any) -> None:
    harmed = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        harmed[data.draw(st.integers(0, len(harmed) - 1))] = data.draw(st.integers(0, 255))
    found = decode(bytes(harmed))
    assert found is None or isinstance(found, Hello | Moved | Shown | Bye)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x91" * 100_000,
        encode(["b", "a" * 65]),
        encode(["b", "a" * 16]) + b"\x00",
        encode(["x", "a" * 16]),
        encode(["p", "a" * 16, [row(1, NOW, lat=91.0)]]),
        encode(["p", "a" * 16, [row(1, NOW, lat=float("nan"))]]),
        encode(["p", "a" * 16, [row(1, NOW, lat=float("inf"))]]),
        encode(["p", "a" * 16, [row(1, NOW)] * 501]),
        encode(["h", "a" * 16, 1, False, [(1, "live", 0)] * 501]),
        encode(["m", "a" * 16, 1, [(1, "asleep", 0)]]),
        encode(["b", "a" * 16, b" " * peers.MESSAGE_BYTES]),
    ],
)
def test_what_is_too_much_or_nonsense_is_none(data: bytes) -> None:
    assert decode(data) is None


def test_what_a_newer_gateway_says_more_is_left_out() -> None:
    assert decode(encode(["b", "a" * 16, {"more": 1}])) == Bye("a" * 16)


def test_the_largest_session_fits() -> None:
    full = Shown(
        "a" * 16, [(500, 2**53, -89.123456789, -179.123456789, 9.5, 9.5, 9.5, Precision.PRIVATE)] * 500
    )
    assert decode(encode(full)) == full
    hello = Hello("a" * 16, 2**31, True, [(500, MemberState.OFFLINE, 2**53)] * 500)
    assert decode(encode(hello)) == hello


def test_no_coordinate_stands_in_a_repr() -> None:
    shown = Shown("a" * 16, [row(1, NOW, lat=12.3456789)])
    assert "12.3" not in repr(shown)
    assert "12.3" not in repr(peers.take_rows(make_session(), shown.rows))


# --- positions -------------------------------------------------------------------------------------


@given(
    st.sampled_from(Precision),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.sampled_from(Precision)), max_size=20),
)
def test_no_row_is_shown_that_is_finer_than_allowed_or_older(
    allowed: Precision, told: list[tuple[int, int, Precision]]
) -> None:
    party = Party(precision=allowed)
    here, _ = party.enter(1)
    session = party.session
    session.peers[GATEWAYS[0]] = NOW
    for number in (2, 3):
        make_member(session, number)
    here_shown = here.shown
    for number, at, precision in told:
        before = {m: member.shown for m, member in session.members.items()}
        taken = peers.take_rows(session, [row(number, at, precision)])
        changed = {m for m, member in session.members.items() if member.shown is not before[m]}
        fits = number in (2, 3) and precision.coarseness >= allowed.coarseness
        shown = before.get(number)
        new = fits and (shown is None or at > shown.at)
        assert changed == ({number} if new else set())
        assert taken == (new, number == 4 or precision.coarseness < allowed.coarseness)
    assert here.shown is here_shown, "a member who is connected here is told of by nobody else"
    assert session.here == {}, "what another gateway has told is not published again"
    for member in session.members.values():
        assert member.shown is None or member.shown.precision.coarseness >= allowed.coarseness


def test_rows_for_the_others_name_the_precision_of_the_mask() -> None:
    session = make_session(precision=Precision.EXACT)
    make_member(session, 1).shown = position(NOW, precision=Precision.ROUGH)
    make_member(session, 2)
    assert peers.shown_rows(session, [1, 2, 3]) == [row(1, NOW, Precision.ROUGH)]


# --- presence ----------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(gateways, st.integers(0, 5)), min_size=1, max_size=6, unique=True).flatmap(
        lambda told: st.tuples(st.permutations(told), st.permutations(told))
    )
)
def test_the_newest_connection_counts_in_whatever_order_it_is_heard(orders: Any) -> None:
    """Each gateway says only its newest: what it said before is replaced by what it says later."""
    found = []
    for order in orders:
        session = make_session()
        newest: dict[str, int] = {}
        for gateway, since_ms in order:
            if since_ms >= newest.get(gateway, -1):
                newest[gateway] = since_ms
                peers.place(session, gateway, (1, MemberState.LIVE, since_ms))
        found.append(session.elsewhere[1])
    assert found[0] == found[1]
    assert (found[0].since_ms, found[0].gateway) == max((since, gateway) for gateway, since in orders[0])


@given(st.lists(st.tuples(gateways, st.integers(1, 3), st.sampled_from(MemberState), st.integers(0, 5))))
def test_only_the_gateway_that_has_a_member_says_that_they_went(told: list[Any]) -> None:
    session = make_session()
    for gateway, number, state, since_ms in told:
        before = session.elsewhere.get(number)
        peers.place(session, gateway, (number, state, since_ms))
        after = session.elsewhere.get(number)
        if state in (MemberState.OFFLINE, MemberState.LEFT):
            kept = before if before is not None and before.gateway != gateway else None
            assert after == kept
        else:
            assert after in (before, Elsewhere(gateway, state, since_ms))
            assert after is not None
    for gateway in GATEWAYS:
        rest = {m: there for m, there in session.elsewhere.items() if there.gateway != gateway}
        peers.forget(session, gateway)
        assert session.elsewhere == rest
    assert session.elsewhere == {}


def test_members_elsewhere_are_bounded() -> None:
    session = make_session()
    for number in range(peers.ELSEWHERE_BOUND + 10):
        peers.place(session, GATEWAYS[0], (number, MemberState.LIVE, 1))
    assert len(session.elsewhere) == peers.ELSEWHERE_BOUND


@pytest.mark.parametrize("state", THERE)
def test_a_member_has_the_state_of_where_they_are_connected(state: MemberState) -> None:
    party = Party()
    session: Session = party.session
    member = make_member(session, 2)
    assert member.state_at(NOW) is MemberState.OFFLINE
    peers.place(session, GATEWAYS[0], (2, state, NOW))
    assert member.state_at(NOW) is state
    party.enter(2)
    assert member.state_at(NOW) is MemberState.LIVE
    assert session.elsewhere == {}


def test_a_connection_is_newer_than_the_one_it_follows_whatever_the_clocks_say() -> None:
    party = Party()
    member = make_member(party.session, 1)
    peers.place(party.session, GATEWAYS[0], (1, MemberState.LIVE, NOW + 5_000))
    party.enter(1)
    assert member.since_ms > NOW + 5_000


# --- what is still to be told ----------------------------------------------------------------------------


def test_what_is_told_is_read_when_it_is_told_and_only_of_members_here() -> None:
    party = Party()
    here, _ = party.enter(1)
    there = make_member(party.session, 2)
    gone = make_member(party.session, 3)
    here.shown = there.shown = position(NOW)
    unsaid, more = Unsaid(), Unsaid()
    unsaid.moved |= {1, 2, 3, 4}
    more.shown |= {1, 3, 4}
    unsaid.add(more)
    peers.place(party.session, GATEWAYS[0], (2, MemberState.LIVE, NOW))
    assert list(unsaid.messages(party.session, "me")) == [
        Moved("me", 1, [(1, MemberState.LIVE, NOW), (3, MemberState.OFFLINE, gone.since_ms)]),
        Shown("me", [row(1, NOW)]),
    ]
    more.hello = more.ask = True
    unsaid.add(more)
    here.shown = None
    assert list(unsaid.messages(party.session, "me")) == [Hello("me", 1, True, [(1, MemberState.LIVE, NOW)])]
    assert list(Unsaid().messages(party.session, "me")) == []
