"""What a client session tells its caller: events, what to do after a close, and the account. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import messages as wire
from protocol.precision import Precision


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The party as it is, and who we are in it. Everything not settled is due to be sent again."""

    welcome: wire.Welcome


@dataclass(frozen=True, slots=True)
class PositionsSeen:
    positions: wire.Positions


@dataclass(frozen=True, slots=True)
class MemberSeen:
    member: wire.Member


@dataclass(frozen=True, slots=True)
class PrecisionSeen:
    precision: Precision
    revision: int


@dataclass(frozen=True, slots=True)
class Acked:
    """Our own fixes that are now stored: their times, epoch milliseconds, oldest `seq` first."""

    times: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RejectedFix:
    seq: int
    code: wire.Reject


@dataclass(frozen=True, slots=True)
class PolicySeen:
    interval_ms: int
    hold: bool


@dataclass(frozen=True, slots=True)
class EndedSeen:
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The server says why it is about to close: the name of a close code."""

    code: str


Event = (
    Welcomed
    | PositionsSeen
    | MemberSeen
    | PrecisionSeen
    | Acked
    | RejectedFix
    | PolicySeen
    | EndedSeen
    | Failed
)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Come again after `after_s` seconds, drawn below `bound_s`."""

    after_s: float
    bound_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not come again with this token."""

    code: int


@dataclass(slots=True)
class Account:
    """What became of the fixes. `sent_again` counts second and later sendings of the same fix."""

    offered: int = 0
    acked: int = 0
    rejected: dict[wire.Reject, int] = field(default_factory=dict)
    held: int = 0
    lost: int = 0
    sent_again: int = 0

    @property
    def adds_up(self) -> bool:
        """The law of this module."""
        return self.offered == self.acked + sum(self.rejected.values()) + self.held + self.lost
