"""What goes into the masking call, and what comes out. Values only.

A `Position` is the only thing that is shared, cached or stored; what it was made from is nowhere kept.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

import msgspec

from protocol.precision import Precision


class Late(Enum):
    """The answer to a fix from before everything that the mask remembers: it could not be hidden."""

    LATE = "late"


LATE: Final = Late.LATE


class Reading(Protocol):
    """What is read of a fix: milliseconds, degrees, metres, metres per second, degrees from north."""

    @property
    def at(self) -> int: ...
    @property
    def lat(self) -> float: ...
    @property
    def lon(self) -> float: ...
    @property
    def acc(self) -> float | None: ...
    @property
    def spd(self) -> float | None: ...
    @property
    def hdg(self) -> float | None: ...


class Position(msgspec.Struct, frozen=True, gc=False):
    """A fix after masking: the only thing that is shared, cached or stored. Units as on the wire."""

    at: int
    lat: float
    lon: float
    acc: float | None
    spd: float | None
    hdg: float | None
    precision: Precision

    def __repr__(self) -> str:  # no coordinate in a repr
        return f"Position(at={self.at}, {self.precision.value})"
