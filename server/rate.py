"""How many fixes a connection, or joins an address may send: a token bucket, one number (GCRA, ITU-T I.371).

Pure; the clock is passed in, and never falls. Over the rate the gateway stops reading that socket:
backpressure, not loss.
"""

from __future__ import annotations


class TokenBucket:
    """`burst` fixes at once, `rate_s` fixes a second on the long run."""

    __slots__ = ("_burst_ms", "_each_ms", "_full_ms")

    def __init__(self, *, rate_s: float, burst: int, now_ms: int) -> None:
        self._each_ms = 1000 / rate_s
        self._burst_ms = burst * self._each_ms
        self._full_ms: float = now_ms
        """When the bucket will be, or was, full again."""

    def spend(self, fixes: int, now_ms: int) -> float:
        """Takes `fixes` tokens; returns for how many seconds reading must stop (0.0: go on)."""
        full_ms = self._full_ms = max(self._full_ms, now_ms) + fixes * self._each_ms
        debt_ms = full_ms - now_ms - self._burst_ms
        return debt_ms / 1000 if debt_ms > 0 else 0.0

    def wait(self, now_ms: int) -> float:
        """For how many seconds there is no token; takes none."""
        lacking_ms = max(self._full_ms, now_ms) + self._each_ms - now_ms - self._burst_ms
        return lacking_ms / 1000 if lacking_ms > 0 else 0.0

    def take(self, now_ms: int) -> float:
        """Takes one token where there is one (0.0); else none, and says how long there is none."""
        wait_s = self.wait(now_ms)
        if wait_s == 0:
            self._full_ms = max(self._full_ms, now_ms) + self._each_ms
        return wait_s
