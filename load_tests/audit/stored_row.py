"""A row of `party_positions`, as the audit looks at it. A value, whose repr holds no place."""

from __future__ import annotations

import msgspec

from protocol.precision import Precision


class StoredRow(msgspec.Struct, frozen=True, gc=False):
    """Times are epoch milliseconds, places degrees, lengths metres."""

    m: int
    """The member's number; 0: a user who never was a member of the session."""
    window_ms: int
    """`recorded_at`."""
    offset_ms: int
    lat: float
    lon: float
    accuracy_m: float | None
    precision: Precision

    def __repr__(self) -> str:
        return f"StoredRow(m={self.m}, window_ms={self.window_ms}, {self.precision.value})"
