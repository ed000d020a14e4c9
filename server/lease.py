"""The lease: a gateway's right to send positions, which it must renew in Redis (G3).

Pure; a monotonic clock is passed in. It counts from before the renewal was asked for, and ends a margin
early, so that a gateway never believes longer than Redis does: it fails closed.
"""

from __future__ import annotations

from collections.abc import Callable

LEASE_MS = 2_000
"""Expiry of the key `gw:<id>`."""
RENEW_MS = 500
MARGIN_MS = 300


class Lease:
    """Held until a moment that only a renewal moves."""

    __slots__ = ("_clock", "_until_ms")

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._until_ms = 0

    def now(self) -> int:
        """The lease's own clock, to be read before a renewal is asked for."""
        return self._clock()

    def renewed(self, asked_ms: int) -> None:
        """Redis confirmed a renewal that was asked for at `asked_ms`."""
        self._until_ms = max(self._until_ms, asked_ms + LEASE_MS - MARGIN_MS)

    def end(self) -> None:
        """Nothing is sent from here on, unless it is renewed."""
        self._until_ms = 0

    def held(self) -> bool:
        """Whether positions may be sent now."""
        return self._clock() < self._until_ms
