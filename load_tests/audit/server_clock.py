"""How far the server's clock is ahead of the load's: bounds from what was sent and seen. Pure.

A frame was made after a fix in it was offered, and before it was seen. Both hold without knowing how long the
way was. Bounds are forgotten after one to two minutes, so that clocks may drift.
"""

from __future__ import annotations

FORGET_MS = 60_000
_FAR = 2**62


class ServerClock:
    """Milliseconds that the server's clock is ahead, between `least` and `most`."""

    __slots__ = ("_least", "_most", "_turn")

    def __init__(self) -> None:
        self._turn = 0
        self._least = [-_FAR, -_FAR]
        self._most = [_FAR, _FAR]

    @property
    def least(self) -> int | None:
        """`None`: nothing is known."""
        found = max(self._least)
        return None if found == -_FAR else found

    @property
    def most(self) -> int | None:
        """`None`: nothing is known."""
        found = min(self._most)
        return None if found == _FAR else found

    def made_before(self, server_ms: int, seen_ms: int) -> None:
        """What the server dated `server_ms` was here at `seen_ms`."""
        if seen_ms // FORGET_MS != self._turn:
            self._turn = seen_ms // FORGET_MS
            self._least = [self._least[1], -_FAR]
            self._most = [self._most[1], _FAR]
        self._least[1] = max(self._least[1], server_ms - seen_ms)

    def made_after(self, server_ms: int, sent_ms: int) -> None:
        """What the server dated `server_ms` holds what was sent at `sent_ms`."""
        self._most[1] = min(self._most[1], server_ms - sent_ms)
