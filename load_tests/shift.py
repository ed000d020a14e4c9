"""When a recording's fixes are sent, and by how much their times are moved. Pure arithmetic.

The *clock* of a reading is the latest plausible time seen so far in its track, of the readings
themselves and of their `recv`: a reading goes out when its clock says so, in the source's order.

A time is *plausible* when it lies within 366 days of the median of its track's times. So one reading of
1970 among those of 2016 moves nothing, and a logger whose clock is wrong throughout is taken at its
word. What is not plausible is sent with its predecessor, and rejected by the server.

A shift is a multiple of 5,000 ms, so that windows map one to one, and such that no plausible reading
lies in the future when it is sent:  delta = now - c0 - (cN - c0) * max(0, 1 - 1/speed),  rounded down,
with c0 and cN the first and last clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median_low

from load_tests.readings import Reading
from protocol.limits import WINDOW_MS

DAY_MS = 86_400_000
PLAUSIBLE_MS = 366 * DAY_MS
COMMON_SPAN_MS = 69 * DAY_MS // 10
"""Up to 6.9 days all members get the same shift, which keeps the party together."""
MAX_BACK_MS = 7 * DAY_MS - 60_000
"""How far back `started_at` may lie: the wire's seven days, less a minute for the call itself."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the readings of one track are sent."""

    clocks: tuple[int, ...]
    """One per reading, never falling, recorded milliseconds."""
    earliest: int
    """The earliest plausible time of a reading."""

    @property
    def first(self) -> int:
        return self.clocks[0]

    @property
    def last(self) -> int:
        return self.clocks[-1]


def timing(readings: Sequence[Reading]) -> Timing:
    """The clocks of a track, which must hold a reading."""
    middle = median_low(reading.at for reading in readings)

    def plausible(at: int | None) -> bool:
        return at is not None and abs(at - middle) <= PLAUSIBLE_MS

    earliest = min(reading.at for reading in readings if plausible(reading.at))
    clock = next(_clock(reading, plausible(reading.recv)) for reading in readings if plausible(reading.at))
    clocks = []
    for reading in readings:
        if plausible(reading.at):
            clock = max(clock, _clock(reading, plausible(reading.recv)))
        clocks.append(clock)
    return Timing(tuple(clocks), earliest)


def _clock(reading: Reading, recv_plausible: bool) -> int:
    return max(reading.at, reading.recv) if reading.recv is not None and recv_plausible else reading.at


@dataclass(frozen=True, slots=True)
class Shift:
    """How one track is moved, and which of its clocks is the start of the replay."""

    delta_ms: int
    origin: int


def shifts(timings: Sequence[Timing], now: int, speed: float | None, *, to_now: bool) -> list[Shift]:
    """One shift per track: the same for all while together they span up to `COMMON_SPAN_MS`, else its own.

    `speed` is `None` for as fast as can be. Without `to_now` times stay as they are.
    """
    if not timings:
        return []
    first, last = min(one.first for one in timings), max(one.last for one in timings)
    common = last - first <= COMMON_SPAN_MS
    spans = [(first, last) if common else (one.first, one.last) for one in timings]
    return [Shift(_delta(c0, cn, now, speed) if to_now else 0, c0) for c0, cn in spans]


def _delta(first: int, last: int, now: int, speed: float | None) -> int:
    caught_up = 1.0 if speed is None else max(0.0, 1 - 1 / speed)
    return (now - first - ceil((last - first) * caught_up)) // WINDOW_MS * WINDOW_MS


def started_at(timings: Sequence[Timing], delta_ms: Sequence[int], now: int) -> int:
    """The session's start: the earliest plausible shifted time, on a window's edge, at most 7 days back."""
    earliest = min((one.earliest + shift for one, shift in zip(timings, delta_ms, strict=True)), default=now)
    back = -(-(now - MAX_BACK_MS) // WINDOW_MS) * WINDOW_MS
    return max(min(earliest, now) // WINDOW_MS * WINDOW_MS, back)


def due_s(one: Timing, index: int, origin: int, speed: float) -> float:
    """Seconds after the start at which the reading `index` is sent; `origin` is the clock of the start."""
    return max(0.0, (one.clocks[index] - origin) / 1000 / speed)
