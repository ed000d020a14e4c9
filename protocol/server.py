"""The server's side of a connection, sans I/O: which message may come when, and from whom.

A transition table. A missing entry is the sender's error and ends the connection (`Refused`); a call
that this side may not make is ours (`RuntimeError`). It knows nothing of sockets, tokens or sessions.
"""

from __future__ import annotations

from enum import Enum, auto

from protocol.close_codes import CloseCode
from protocol.messages import (
    ClientMessage,
    End,
    Fix,
    Fixes,
    Join,
    Kick,
    Leave,
    Resume,
    Role,
    SetPrecision,
    Share,
)


class Phase(Enum):
    """Where a connection is in its life."""

    OPENING = auto()
    """Connected; the first message has not come."""
    ENTERING = auto()
    """The first message is being looked up; nothing else is read meanwhile."""
    IN_PARTY = auto()
    CLOSED = auto()


class Step(Enum):
    """What the server does with a message."""

    ENTER = auto()
    TAKE = auto()
    SHARE = auto()
    STEER = auto()
    LEAVE = auto()


class Refused(Exception):
    """The other side broke the protocol; `code` is what the connection is closed with."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.reason)
        self.code = code


_EVERYBODY = frozenset(Role)
_SENDERS = frozenset({Role.HOST, Role.MEMBER})
_HOST = frozenset({Role.HOST})

TABLE: dict[tuple[Phase, type], tuple[Step, frozenset[Role]]] = {
    (Phase.OPENING, Join): (Step.ENTER, _EVERYBODY),
    (Phase.OPENING, Resume): (Step.ENTER, _EVERYBODY),
    (Phase.IN_PARTY, Fix): (Step.TAKE, _SENDERS),
    (Phase.IN_PARTY, Fixes): (Step.TAKE, _SENDERS),
    (Phase.IN_PARTY, Share): (Step.SHARE, _SENDERS),
    (Phase.IN_PARTY, SetPrecision): (Step.STEER, _HOST),
    (Phase.IN_PARTY, Kick): (Step.STEER, _HOST),
    (Phase.IN_PARTY, End): (Step.STEER, _HOST),
    (Phase.IN_PARTY, Leave): (Step.LEAVE, _EVERYBODY),
}


class ServerSession:
    """One connection's place in the protocol."""

    __slots__ = ("phase", "role")

    def __init__(self) -> None:
        self.phase = Phase.OPENING
        self.role: Role | None = None

    def step(self, message: ClientMessage) -> Step:
        """What to do with `message`; moves on to `ENTERING` with the first one.

        Raises `Refused` when the table has no entry, or not for this role.
        """
        entry = TABLE.get((self.phase, type(message)))
        if entry is None:
            raise Refused(CloseCode.BAD_FRAME)
        step, roles = entry
        if self.role is not None and self.role not in roles:
            raise Refused(CloseCode.FORBIDDEN)
        if step is Step.ENTER:
            self.phase = Phase.ENTERING
        return step

    def entered(self, role: Role) -> None:
        """The first message was good."""
        if self.phase is not Phase.ENTERING:
            raise RuntimeError(f"entered() while {self.phase.name}")
        self.phase = Phase.IN_PARTY
        self.role = role

    def closed(self) -> None:
        """The connection is over; nothing it sends counts any more. Idempotent."""
        self.phase = Phase.CLOSED
