"""Which fixes of one connection are settled, so that a cumulative `ack` can be said (G1).

Pure. Fixes are kept as runs: consecutive `seq`s that wait for the same window. A run of nothing to
wait for (a private member's fix, a rejected one) is settled at once, but never overtakes an older run.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.messages import Reject
from server.windows import Window

RUNS_BOUND = 20_000
"""Runs that may wait on one connection; then it is not read until some are settled."""


class _Run:
    __slots__ = ("after", "first", "last", "window")

    def __init__(self, window: Window | None, seq: int) -> None:
        self.window = window
        self.first = seq
        self.last = seq
        self.after: _Run | None = None


class AckLedger:
    """The fixes of one connection that the other side does not know to be settled."""

    __slots__ = ("_head", "_length", "_tail", "full")

    def __init__(self) -> None:
        self._head: _Run | None = None  # chained: a deque takes 760 bytes of every connection
        self._length = 0
        self._tail: _Run | None = None
        self.full = False
        """Whether no more fixes should be read for now."""

    def __len__(self) -> int:
        """Runs that wait."""
        return self._length

    def note(self, window: Window | None, seq: int) -> None:
        """Fix `seq` waits for `window`, or for nothing. `seq` rises from call to call."""
        tail = self._tail
        if tail is not None and tail.window is window and tail.last + 1 == seq:
            tail.last = seq
            return
        run = self._tail = _Run(window, seq)
        if tail is None:
            self._head = run
        else:
            tail.after = run
        self._length += 1
        self.full = self._length >= RUNS_BOUND

    def settle(self) -> tuple[int | None, list[tuple[int, Reject]]]:
        """The `seq` to ack now (or None), and the fixes to reject before it."""
        acked = None
        rejects: list[tuple[int, Reject]] = []
        run = self._head
        while run is not None and ((window := run.window) is None or window.done):
            acked = run.last
            if window is not None and window.refusal is not None:
                rejects.extend((seq, window.refusal) for seq in _span(run))
            run = run.after
            self._length -= 1
        self._head = run
        if run is None:
            self._tail = None
        self.full = self._length >= RUNS_BOUND
        return acked, rejects


def _span(run: _Run) -> Iterator[int]:
    return iter(range(run.first, run.last + 1))
