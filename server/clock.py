"""The gateway's clock: the wall clock, but never backwards.

Pure; both clocks are passed in. When somebody sets the wall clock back, ticks and windows that wait for a
moment would wait for as long as it was set back. So a step forward is followed at once, and a step
backward is made up by going a little slower until the wall clock has caught up. What passed between the
last reading before the step and the first after it is left out.
"""

from __future__ import annotations

from collections.abc import Callable

SLOW_BY = 10
"""While ahead of the wall clock, one millisecond in this many is left out."""


class SteadyClock:
    """Calling it gives epoch milliseconds that never fall."""

    __slots__ = ("_ahead", "_monotonic", "_now_ms", "_read_ms", "_wall")

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._now_ms = wall()
        self._ahead = False
        """Whether the wall clock was behind when it was read last."""
        self._read_ms = 0

    def __call__(self) -> int:
        wall_ms = self._wall()
        if wall_ms >= self._now_ms:
            self._now_ms = wall_ms
            self._ahead = False
            return wall_ms
        if not self._ahead:
            self._ahead = True
            self._read_ms = self._monotonic()
        passed_ms = self._monotonic() - self._read_ms
        if passed_ms >= SLOW_BY:
            self._now_ms += passed_ms - passed_ms // SLOW_BY
            self._read_ms += passed_ms
        return self._now_ms
