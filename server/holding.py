"""Which fixes of one connection are taken while batches are held, and after that. Pure.

An ack is cumulative, so a fix may be taken only when all that came before it were. While batches are
held nothing is taken. When that ends the client goes back to the oldest fix that it holds; until a `seq`
tells that it did, what comes was sent before it knew, and taking it would leave a gap below an ack (G1).
"""

from __future__ import annotations


class HoldGate:
    """One connection's place. It starts with nothing left out."""

    __slots__ = ("_last", "closed")

    def __init__(self) -> None:
        self.closed = False
        """Whether a fix was left out, and the client has not gone back to it yet."""
        self._last = -1
        """The `seq` that was left out last."""

    def takes(self, seq: int, *, holding: bool, refused: bool) -> bool:
        """Whether fix `seq` is taken now. Asked of each fix that was not taken before, in order of arrival.

        `holding`: whether batches are held at this moment. `refused`: the client is told to drop it, so
        it need not come again.
        """
        if self.closed and not holding and seq <= self._last:
            self.closed = False
        if not self.closed and (refused or not holding):
            return True
        if not refused:
            self.closed = True
            self._last = seq
        return False
