"""What happens to a member and to a party. Values only; times are milliseconds from the start."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from protocol.precision import Precision


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What the phone says of its place: degrees, metres, metres per second, degrees from north."""

    at_ms: int
    """When it was measured."""
    lat: float
    lon: float
    acc: float
    spd: float
    hdg: float
    jump: bool
    """The receiver is somewhere else altogether. The phone does not know; it is for who looks on."""

    def __repr__(self) -> str:  # G5: a raw fix is never printed
        return f"Measured(at_ms={self.at_ms}, …)"


class Send(msgspec.Struct, frozen=True, gc=False):
    """A fix goes out; `at_ms` is never before it was measured."""

    at_ms: int
    fix: Measured

    @property
    def late_ms(self) -> int:
        return self.at_ms - self.fix.at_ms


@dataclass(frozen=True, slots=True)
class Join:
    """The member enters the party: the first event of each."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The member leaves for good: its last event."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The network is gone until `Daylight`. Fixes are measured and go out afterwards."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Daylight:
    """The network is back; a burst of late fixes follows."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """The phone sleeps: nothing is measured until `Wake`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Wake:
    """The phone measures again."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Kill:
    """The app is gone without a word: the connection is cut, nothing is measured until `Resume`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Resume:
    """The app is back, with its member token and what it held."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Share:
    """The member's own choice: the answer to a host who has loosened."""

    at_ms: int
    precision: Precision


MemberEvent = Join | Send | Tunnel | Daylight | Sleep | Wake | Kill | Resume | Share | Leave


@dataclass(frozen=True, slots=True)
class Tighten:
    """The host makes the session coarser."""

    at_ms: int
    precision: Precision


@dataclass(frozen=True, slots=True)
class Loosen:
    """The host makes the session finer; each member has to agree."""

    at_ms: int
    precision: Precision


@dataclass(frozen=True, slots=True)
class End:
    """The host ends the session."""

    at_ms: int


HostEvent = Tighten | Loosen | End
