"""The server's side of a connection: every phase, message and role has its answer, in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.messages import Role
from protocol.precision import Precision
from protocol.server import TABLE, Phase, Refused, ServerSession, Step
from tests.protocol.wires import CLIENT, client_messages

EXAMPLES: dict[type, Any] = {
    wire.Join: wire.Join(name="a"),
    wire.Resume: wire.Resume(),
    wire.Fix: wire.Fix(seq=1, at=1, lat=1.0, lon=1.0),
    wire.Fixes: wire.Fixes(items=[]),
    wire.Share: wire.Share(Precision.ROUGH),
    wire.SetPrecision: wire.SetPrecision(Precision.ROUGH),
    wire.Kick: wire.Kick(m=1),
    wire.End: wire.End(),
    wire.Leave: wire.Leave(),
}
WHO_MAY = {
    wire.Fix: {Role.HOST: Step.TAKE, Role.MEMBER: Step.TAKE},
    wire.Fixes: {Role.HOST: Step.TAKE, Role.MEMBER: Step.TAKE},
    wire.Share: {Role.HOST: Step.SHARE, Role.MEMBER: Step.SHARE},
    wire.SetPrecision: {Role.HOST: Step.STEER},
    wire.Kick: {Role.HOST: Step.STEER},
    wire.End: {Role.HOST: Step.STEER},
    wire.Leave: {Role.HOST: Step.LEAVE, Role.MEMBER: Step.LEAVE, Role.VIEWER: Step.LEAVE},
}


def session_in(phase: Phase, role: Role) -> ServerSession:
    session = ServerSession()
    if phase in (Phase.ENTERING, Phase.IN_PARTY):
        session.step(wire.Resume())
    if phase is Phase.IN_PARTY:
        session.entered(role)
    if phase is Phase.CLOSED:
        session.closed()
    assert session.phase is phase
    return session


def expected(phase: Phase, kind: type, role: Role) -> Step | CloseCode:
    if phase is Phase.OPENING:
        return Step.ENTER if kind in (wire.Join, wire.Resume) else CloseCode.BAD_FRAME
    if phase is not Phase.IN_PARTY or kind in (wire.Join, wire.Resume):
        return CloseCode.BAD_FRAME
    return WHO_MAY[kind].get(role, CloseCode.FORBIDDEN)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", CLIENT, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("role", Role)
def test_every_phase_message_and_role_has_its_answer(phase: Phase, kind: type, role: Role) -> None:
    session = session_in(phase, role)
    answer = expected(phase, kind, role)
    if isinstance(answer, CloseCode):
        with pytest.raises(Refused) as refused:
            session.step(EXAMPLES[kind])
        assert refused.value.code is answer
        assert session.phase is phase
    else:
        assert session.step(EXAMPLES[kind]) is answer
        assert session.phase is (Phase.ENTERING if answer is Step.ENTER else phase)


def test_the_table_names_no_message_that_does_not_exist() -> None:
    assert {kind for _, kind in TABLE} <= set(CLIENT)


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.IN_PARTY, Phase.CLOSED])
def test_entering_twice_or_too_early_is_our_mistake(phase: Phase) -> None:
    session = session_in(phase, Role.MEMBER)
    with pytest.raises(RuntimeError):
        session.entered(Role.HOST)
    assert session.role is (Role.MEMBER if phase is Phase.IN_PARTY else None)


@given(
    st.lists(client_messages | st.sampled_from(["entered", "closed"]) | st.sampled_from(Role), max_size=30)
)
def test_no_order_gives_more_than_the_role_allows(events: list[Any]) -> None:
    session = ServerSession()
    ended = False
    for event in events:
        role_before, phase_before = session.role, session.phase
        try:
            if event == "closed":
                session.closed()
                ended = True
            elif isinstance(event, (str, Role)):
                session.entered(event if isinstance(event, Role) else Role.VIEWER)
                assert phase_before is Phase.ENTERING
            else:
                step = session.step(event)
                assert expected(phase_before, type(event), role_before or Role.VIEWER) is step
        except Refused as refused:
            assert refused.code in (CloseCode.BAD_FRAME, CloseCode.FORBIDDEN)
            assert session.phase is phase_before
        except RuntimeError:
            assert phase_before is not Phase.ENTERING
        if role_before is not None:
            assert session.role is role_before  # a role is for the connection's life
        assert not ended or session.phase is Phase.CLOSED
