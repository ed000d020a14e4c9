"""Who else holds a session: what other gateways are told of it, and what they tell. Pure.

Messages on the session's channel name members by their numbers and hold positions, which are masked, with
the precision that they were masked to. A position that is finer than what this gateway allows is dropped: its
sender may not know yet of a tightening (G3). Messages may be lost; whoever joins the channel asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol, TypeAlias

import msgspec

from protocol.codec import DECODE_ERRORS
from protocol.messages import MemberState
from protocol.precision import Precision
from server.position import Position

if TYPE_CHECKING:
    from server.session import Member, Session

PEERS_BOUND = 64
"""Other gateways of one session."""
ELSEWHERE_BOUND = 1_000
"""Members of one session on other gateways: twice as many as it may have."""

MESSAGE_BYTES = 128 * 1024
"""Twice what 500 members need."""

Name = Annotated[str, msgspec.Meta(max_length=64)]
Presence = tuple[int, MemberState, int]
"""Member number, state, since when they are connected there (epoch ms)."""
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
ShownRow = tuple[int, int, Latitude, Longitude, float | None, float | None, float | None, Precision]
"""As a row of `positions`, and the precision it was masked to."""
Presences = Annotated[list[Presence], msgspec.Meta(max_length=500)]
ShownRows = Annotated[list[ShownRow], msgspec.Meta(max_length=500)]


class Hello(msgspec.Struct, tag="h", array_like=True, frozen=True):
    """A gateway holds the session, with these members. `ask`: everybody else says the same."""

    gateway: Name
    revision: int
    ask: bool
    members: Presences


class Moved(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """Members came, went, or became live or stale."""

    gateway: Name
    revision: int
    members: Presences


class Shown(msgspec.Struct, tag="p", array_like=True, frozen=True):
    """What a gateway's members sent since its last tick."""

    gateway: Name
    rows: ShownRows

    def __repr__(self) -> str:  # no coordinate in a repr
        return f"Shown({self.gateway}, {len(self.rows)} rows)"


class Bye(msgspec.Struct, tag="b", array_like=True, frozen=True):
    """A gateway holds the session no longer."""

    gateway: Name


Message: TypeAlias = Hello | Moved | Shown | Bye

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def decode(data: bytes) -> Message | None:
    """A message, or `None` for what is none."""
    try:
        return _decode(data) if len(data) <= MESSAGE_BYTES else None
    except DECODE_ERRORS:
        return None


class Elsewhere(NamedTuple):
    """A member who is connected to another gateway."""

    gateway: str
    state: MemberState
    since_ms: int


class Relaying(Protocol):
    """What the hub tells of its sessions."""

    def loaded(self, session: Session) -> None: ...
    def dropped(self, session: Session) -> None: ...
    def moved(self, member: Member) -> None: ...
    def show(self, session: Session, members: Iterable[int]) -> None: ...
    def released(self, session: Session) -> None: ...


class Alone:
    """No other gateway."""

    def loaded(self, session: Session) -> None:
        """Nobody asks."""

    def dropped(self, session: Session) -> None:
        """Nobody asks."""

    def moved(self, member: Member) -> None:
        """Nobody asks."""

    def show(self, session: Session, members: Iterable[int]) -> None:
        """Nobody asks."""

    def released(self, session: Session) -> None:
        """Nobody asks."""


def present(session: Session) -> list[Presence]:
    """This gateway's members of the session."""
    return [(member.number, member.state, member.since_ms) for member in session.connected()]


def shown_rows(session: Session, numbers: Iterable[int]) -> list[ShownRow]:
    """What is shown of these members, as others may have it."""
    members = (session.members.get(number) for number in numbers)
    return [
        (*member.row(member.shown), member.shown.precision)
        for member in members
        if member is not None and member.shown is not None
    ]


class Taken(NamedTuple):
    """What became of rows."""

    new: bool
    """A tick is needed."""
    early: bool
    """A member is not known, or shares less than that: one of both gateways has not read of a change yet."""


def take_rows(session: Session, rows: Iterable[ShownRow]) -> Taken:
    """Shows what another gateway has shown, where it is new and not finer than allowed here."""
    new = early = False
    for number, at, lat, lon, acc, spd, hdg, precision in rows:
        member = session.members.get(number)
        if member is None or precision.coarseness < member.allowed.coarseness:
            early = True
        elif member.connection is None:
            position = Position(at=at, lat=lat, lon=lon, acc=acc, spd=spd, hdg=hdg, precision=precision)
            new = session.show_from_elsewhere(member, position) or new
    return Taken(new, early)


def forget(session: Session, gateway: str) -> None:
    """The gateway has no members of the session any more."""
    session.peers.pop(gateway, None)
    forget_members(session, gateway)


def forget_members(session: Session, gateway: str) -> None:
    """What was known of the gateway's members is said anew."""
    session.elsewhere = {m: there for m, there in session.elsewhere.items() if there.gateway != gateway}


def is_there(presence: Presence) -> bool:
    """Whether the member is connected there."""
    return presence[1] not in (MemberState.OFFLINE, MemberState.LEFT)


def place(session: Session, gateway: str, presence: Presence) -> None:
    """Takes what a gateway says of a member who is not connected here. The newest connection counts."""
    number, state, since_ms = presence
    there = session.elsewhere.get(number)
    if not is_there(presence):
        if there is not None and there.gateway == gateway:
            del session.elsewhere[number]
    elif there is None:
        if len(session.elsewhere) < ELSEWHERE_BOUND:
            session.elsewhere[number] = Elsewhere(gateway, state, since_ms)
    elif there.gateway == gateway or (there.since_ms, there.gateway) < (since_ms, gateway):
        session.elsewhere[number] = Elsewhere(gateway, state, since_ms)
