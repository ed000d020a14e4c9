"""How many fixes a connection may send: a token bucket.

Pure; the clock is passed in. Over the rate the gateway stops reading that socket: backpressure, not loss.
"""

from __future__ import annotations


class TokenBucket:
    """`burst` fixes at once, `rate_s` fixes a second on the long run."""

    __slots__ = ("_burst", "_filled_ms", "_rate_s", "_tokens")

    def __init__(self, *, rate_s: float, burst: int, now_ms: int) -> None:
        self._rate_s = rate_s
        self._burst = burst
        self._tokens: float = burst
        self._filled_ms = now_ms

    def spend(self, fixes: int, now_ms: int) -> float:
        """Takes `fixes` tokens; returns for how many seconds reading must stop (0.0: go on)."""
        elapsed_s = max(0, now_ms - self._filled_ms) / 1000
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_s) - fixes
        self._filled_ms = now_ms
        return max(0.0, -self._tokens / self._rate_s)
