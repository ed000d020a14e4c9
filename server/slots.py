"""Slots: while phones send, the gateway looks at its sockets once in 25 ms, so that one wake-up serves many.

A wake-up of a process costs more than a fix. So after sockets were read the loop sleeps until the slot
ends, and its next look finds all that came meanwhile. Whoever has more to do than a slot holds never
sleeps, nor while somebody waits for an answer of PostgreSQL, and what comes after a silence is read at
once. Pure; clock, sleep and loop are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

SLOT_MS = 25
"""What a fix may wait; ticks and windows are told in seconds."""
_SLOT_NS = SLOT_MS * 1_000_000


class Slots:
    """The rhythm of one event loop."""

    __slots__ = ("_after_reads", "_armed", "_end_ns", "_now_ns", "_sleep", "_urgent", "on_wake")

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        sleep: Callable[[float], None],
        after_reads: Callable[[Callable[[], None]], object],
    ) -> None:
        """`sleep` stops the whole loop; `after_reads` calls back once all that is readable was read."""
        self._now_ns = now_ns
        self._sleep = sleep
        self._after_reads = after_reads
        self._armed = False
        self._urgent: list[Collection[object]] = []
        self.on_wake: Callable[[], None] = nothing
        """Called before the sockets are looked at: what is due by the clock waits for no reading."""
        self._end_ns = 0
        """When the slot ends in which the loop looked at its sockets last."""

    def never_while(self, work: Collection[object]) -> None:
        """Nobody sleeps while there is something in `work`: commands, requests."""
        self._urgent.append(work)

    def read(self) -> None:
        """A socket was read. Cheap: it is called for each."""
        if not self._armed:
            self._armed = True
            self._after_reads(self._rest)

    def left_s(self) -> float:
        """Seconds to the end of the present slot: when other work is best done."""
        return (_SLOT_NS - self._now_ns() % _SLOT_NS) / 1e9

    def _rest(self) -> None:
        self._armed = False
        left_ns = self._end_ns - self._now_ns()
        if left_ns > 0 and not any(self._urgent):
            self._sleep(left_ns / 1e9)
        now_ns = self._now_ns()
        self._end_ns = now_ns - now_ns % _SLOT_NS + _SLOT_NS
        self.on_wake()


def nothing() -> None:
    """What is done as a slot begins when nobody has asked for more."""
