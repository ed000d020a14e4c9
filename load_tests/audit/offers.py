"""What one phone offered and what became of it: arrays, 30 bytes a fix. Pure.

Kept in order of the fixes' own times. Places are kept in units of 1e-7 degrees (1 cm), which is what two
places are compared at.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

LIVE, ACKED, REJECTED, SHOWN, QUICK = 1, 2, 4, 8, 16
"""Marks of a fix. `SHOWN`: delivered while its window was certainly open. `QUICK`: its ack came soon, on the
connection that the whole window was sent on."""
HANDLED, KEPT = 5, 8
"""From which bit on the marks hold what may have been in force while it was handled, and while its row may
have been stored: three bits each."""

UNITS = 10_000_000


def units(degrees: float) -> int:
    """A coordinate as it is compared; what is no coordinate on Earth is cut off."""
    return round(max(-200.0, min(200.0, degrees)) * UNITS)


class Offers:
    """One member's fixes."""

    __slots__ = ("at", "lat", "lon", "marks", "sent", "seq")

    def __init__(self) -> None:
        self.at = array("q")
        """Epoch milliseconds of the fix, never falling."""
        self.lat = array("i")
        self.lon = array("i")
        self.sent = array("q")
        """When it was offered."""
        self.seq = array("I")
        self.marks = array("H")

    def __len__(self) -> int:
        return len(self.at)

    def add(self, seq: int, at: int, lat: float, lon: float, sent_ms: int, *, live: bool) -> None:
        """A fix is offered. Most are newer than all before."""
        index = len(self.at)
        if index and at < self.at[-1]:
            index = bisect_right(self.at, at)
        self.at.insert(index, at)
        self.lat.insert(index, units(lat))
        self.lon.insert(index, units(lon))
        self.sent.insert(index, sent_ms)
        self.seq.insert(index, seq & 0xFFFF_FFFF)
        self.marks.insert(index, LIVE if live else 0)

    def first(self, from_ms: int, before_ms: int) -> int:
        """The first fix with a time from `from_ms` to before `before_ms`; -1: none."""
        index = bisect_left(self.at, from_ms)
        return index if index < len(self.at) and self.at[index] < before_ms else -1

    def at_place(self, at: int, lat: float, lon: float) -> int:
        """The fix of this time and place; -1: none of this time; -2: none of this place."""
        index = bisect_left(self.at, at)
        if index == len(self.at) or self.at[index] != at:
            return -1
        north, east = units(lat), units(lon)
        while index < len(self.at) and self.at[index] == at:
            if abs(self.lat[index] - north) <= 1 and abs(self.lon[index] - east) <= 1:
                return index
            index += 1
        return -2

    def unsettled(self, at: int) -> int:
        """A fix of this time that is not acked, one that is not rejected first; -1: all are; -2: none."""
        index = bisect_left(self.at, at)
        answer = -2
        while index < len(self.at) and self.at[index] == at:
            if not self.marks[index] & ACKED:
                if not self.marks[index] & REJECTED:
                    return index
                answer = index
            elif answer == -2:
                answer = -1
            index += 1
        return answer

    def of_seq(self, seq: int) -> int:
        """The fix with this `seq`; -1: none."""
        try:
            return self.seq.index(seq & 0xFFFF_FFFF)
        except ValueError:
            return -1

    def near(self, from_ms: int, before_ms: int, lat: float, lon: float) -> bool:
        """Whether a fix of these times is at the place, to the centimetre."""
        north, east = units(lat), units(lon)
        index = bisect_left(self.at, from_ms)
        while index < len(self.at) and self.at[index] < before_ms:
            if abs(self.lat[index] - north) <= 1 and abs(self.lon[index] - east) <= 1:
                return True
            index += 1
        return False
