"""A party's state: what is shown never goes backwards, and never stays finer than allowed (G3, G4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.codec import JSON, MSGPACK, Codec
from protocol.limits import STALE_MS
from protocol.messages import MemberState, Positions, Role
from protocol.precision import Precision, coarsest
from server.session import positions_frame
from tests.server.parties import NOW, Party, make_member, make_session, messages_of, position

precisions = st.sampled_from(Precision)


@given(st.lists(st.integers(NOW - 100, NOW + 100), min_size=1))
def test_the_shown_position_never_goes_backwards(times: list[int]) -> None:
    session = make_session()
    member = make_member(session)
    newest = -1
    for at in times:
        assert session.show(member, position(at)) == (at > newest)
        newest = max(newest, at)
        assert member.shown is not None
        assert member.shown.at == newest


@given(precisions, precisions, precisions)
def test_what_is_allowed_is_the_coarsest(session: Precision, own: Precision, privacy: Precision) -> None:
    member = make_member(make_session(precision=session), own=own, privacy=privacy)
    assert member.allowed is coarsest(session, own, privacy)


def test_a_tick_tells_each_changed_member_once_with_the_newest() -> None:
    session = make_session()
    ann, bob = make_member(session, 1), make_member(session, 2)
    session.show(ann, position(NOW, lat=1.0))
    session.show(ann, position(NOW + 1, lat=2.0))
    session.show(bob, position(NOW, lat=3.0))
    assert [(row[0], row[2]) for row in session.take_tick(NOW)] == [(1, 2.0), (2, 3.0)]
    assert session.take_tick(NOW) == []


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 30))
def test_what_changed_since_a_tick_is_everybody_who_moved_since(moves: list[int], since: int) -> None:
    """A slow connection that is told `rows_since` its first missed tick misses nobody."""
    session = make_session()
    members = [make_member(session, number) for number in range(3)]
    missed: set[int] = set()
    for step, who in enumerate(moves):
        if who == 3:
            session.take_tick(NOW)
        else:
            session.show(members[who], position(NOW + step))
            if session.tick >= since:
                missed.add(who)
    assert {row[0] for row in session.rows_since(since)} == missed


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_a_positions_frame_is_a_whole_frame(codec: Codec) -> None:
    rows = [(1, NOW, 50.0, 8.0, None, 1.5, None)]
    assert messages_of(codec, positions_frame(codec, NOW, rows)) == [Positions(at=NOW, p=rows)]


def test_a_member_who_left_is_shown_nowhere() -> None:
    session = make_session()
    member = make_member(session)
    session.show(member, position(NOW))
    assert session.remove(member.number) is member
    assert session.take_tick(NOW) == []
    assert session.rows_since(0) == []
    assert member.message().state is MemberState.LEFT
    assert session.remove(member.number) is None


def test_presence_follows_the_clock_and_the_connection() -> None:
    party = Party()
    member, socket = party.enter()
    party.fix(socket, 1)
    now = party.clock()
    assert member.state_at(now) is MemberState.LIVE
    assert member.state_at(now + STALE_MS - 1) is MemberState.LIVE
    assert member.state_at(now + STALE_MS) is MemberState.STALE
    member.own = Precision.PRIVATE
    party.session.restrict()
    assert member.state_at(now + STALE_MS) is MemberState.PRIVATE
    socket.connection.lost()
    assert member.state_at(now) is MemberState.OFFLINE


def test_a_sweep_tells_only_who_moved() -> None:
    session = make_session()
    make_member(session, 1)
    assert session.sweep(NOW) == []


def test_a_repr_holds_no_name_and_no_place() -> None:
    session = make_session()
    member = make_member(session)
    session.show(member, position(NOW, lat=51.23456))
    assert "51.2" not in repr(member)
    assert member.name not in repr(member)


class Steered(RuleBasedStateMachine):
    """A session whose precision is changed from three sides while positions come in."""

    def __init__(self) -> None:
        super().__init__()
        self.session = make_session()
        self.members = [make_member(self.session, number, role=Role.MEMBER) for number in range(3)]
        self.now = NOW

    @rule(who=st.integers(0, 2))
    def fix(self, who: int) -> None:
        """As the masking call does it: at the precision that is allowed now."""
        self.now += 1
        member = self.members[who]
        if member.allowed is not Precision.PRIVATE:
            self.session.show(member, position(self.now, precision=member.allowed))

    @rule(precision=precisions)
    def host_sets(self, precision: Precision) -> None:
        self.session.precision = precision
        self.restrict()

    @rule(who=st.integers(0, 2), precision=precisions)
    def member_chooses(self, who: int, precision: Precision) -> None:
        self.members[who].own = precision
        self.restrict()

    @rule(who=st.integers(0, 2), precision=precisions)
    def user_sets_privacy(self, who: int, precision: Precision) -> None:
        self.members[who].privacy = precision
        self.restrict()

    @rule()
    def tick(self) -> None:
        for row in self.session.take_tick(self.now):
            shown = self.members[row[0]].shown
            assert shown is not None
            assert shown.at == row[1]

    def restrict(self) -> None:
        before = {member.number: member.allowed for member in self.members}
        tightened = self.session.restrict()
        for member in self.members:
            coarser = member.allowed.coarseness > before[member.number].coarseness
            assert coarser == (member in tightened)

    @invariant()
    def nobody_is_shown_finer_than_anybody_allows(self) -> None:
        for member in self.members:
            limit = coarsest(self.session.precision, member.own, member.privacy)
            assert member.allowed is limit
            assert member.shown is None or member.shown.precision.coarseness >= limit.coarseness
        shown = {row[0] for row in self.session.rows_since(0)}
        assert shown == {member.number for member in self.members if member.shown is not None}


TestSteered = Steered.TestCase
