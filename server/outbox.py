"""What waits for one connection (G6): one positions slot and a short queue of control messages.

Pure; writing is passed in. While the socket takes bytes, everything goes straight through. While it
does not, positions are not queued at all (the slot remembers from which tick on to tell when it
takes bytes again), acks are conflated into the newest, and control messages wait; more of them than
`CONTROL_BOUND` or `CONTROL_BYTES` and the connection is to be closed as slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

CONTROL_BOUND = 256
"""Control frames that may wait for a connection."""
CONTROL_BYTES = 256 * 1024
"""Their bytes: the rejects of a whole burst of fixes fit."""


class Overflow(Exception):
    """The other side does not read: close it, reconnectable."""


class Outbox:
    """What waits for one connection."""

    __slots__ = ("_bytes", "_control", "_write", "ack", "behind_since", "paused")

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._control: deque[bytes] | None = None  # made when one waits: an empty one takes 760 bytes
        self._bytes = 0
        self.paused = False
        self.ack: int | None = None
        """The newest unsent ack, while paused."""
        self.behind_since: int | None = None
        """First tick whose positions this connection has not been given, while paused."""

    def positions(self, frame: bytes, tick: int) -> bool:
        """A tick's frame. False: the connection was skipped."""
        if self.paused:
            if self.behind_since is None:
                self.behind_since = tick
            return False
        self._write(frame)
        return True

    def control(self, frame: bytes) -> None:
        """A control frame; order among control frames is kept. Raises `Overflow`."""
        if not self.paused:
            self._write(frame)
            return
        if self._control is None:
            self._control = deque()
        if len(self._control) >= CONTROL_BOUND or self._bytes + len(frame) > CONTROL_BYTES:
            raise Overflow
        self._control.append(frame)
        self._bytes += len(frame)

    def resume(self) -> tuple[int | None, int | None]:
        """The socket takes bytes again: writes what waited.

        Returns the ack to say and the tick from which positions are missing (each may be None).
        Stops early when the socket pauses again.
        """
        self.paused = False
        while self._control and not self.paused:
            frame = self._control.popleft()
            self._bytes -= len(frame)
            self._write(frame)
        if self.paused:
            return None, None
        self._control = None
        ack, self.ack = self.ack, None
        behind, self.behind_since = self.behind_since, None
        return ack, behind
