"""Jumps in recordings: fixes that are suddenly elsewhere, and back again. Counts them; changes nothing.

A jump leaves by more than 100 m, stays at least half as far away for at most ten fixes or two minutes, and
returns to within half of its length. It comes suddenly: the step before it was not half as long. Trips out
and back do not do that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, median, pstdev

from load_tests.readings import Reading, Track

METRES_PER_DEGREE = math.radians(6_371_008.8)
MIN_JUMP_M = 100.0
MAX_JUMP_FIXES = 10
MAX_JUMP_S = 120.0
ABSURD_M = 100_000.0
"""Farther than this is a broken export, not a receiver that is wrong."""


@dataclass(frozen=True, slots=True)
class Jumps:
    """What was found: lengths in metres, times in seconds, spreads of the natural logarithm."""

    count: int
    hours: float
    median_m: float
    spread: float
    most_m: float
    lasts_s: float
    """On average, from half a step before the first fix elsewhere to half a step after the last."""
    bold: float
    """The share that claims an accuracy better than 100 m."""
    accuracy_m: float
    accuracy_spread: float

    @property
    def per_hour(self) -> float:
        return self.count / self.hours


def find_jumps(tracks: Sequence[Track]) -> Jumps:
    """The jumps of all tracks. Raises `ValueError` where there is none."""
    jumps: list[tuple[float, float, float]] = []
    seconds = 0.0
    for track in tracks:
        readings = sorted(track.readings, key=lambda reading: reading.at)
        steps = [(b.at - a.at) / 1000 for a, b in pairwise(readings)]
        seconds += sum(step for step in steps if step <= MAX_JUMP_S)
        at = 1
        while at < len(readings) - 2:
            back = _returned(readings, at)
            if back is None:
                at += 1
                continue
            jumps.append(_measured(readings, at, back))
            at = back
    if not jumps:
        raise ValueError("there is no jump in it")
    accuracies = [r.acc for track in tracks for r in track.readings if r.acc is not None and r.acc > 0]
    lengths = [length for length, _, _ in jumps]
    return Jumps(
        len(jumps),
        seconds / 3600,
        median(lengths),
        pstdev(math.log(length) for length in lengths),
        max(lengths),
        mean(lasts for _, lasts, _ in jumps),
        sum(acc < 100 for _, _, acc in jumps) / len(jumps),
        median(accuracies),
        pstdev(math.log(acc) for acc in accuracies),
    )


def _returned(readings: Sequence[Reading], start: int) -> int | None:
    """The index of the first reading that is back from a jump that begins after `start`."""
    length = _distance(readings[start], readings[start + 1])
    if not MIN_JUMP_M <= length <= ABSURD_M or readings[start + 1].at == readings[start].at:
        return None
    if _distance(readings[start - 1], readings[start]) > length / 2:
        return None  # on the move in steps of that size anyway
    for index in range(start + 2, min(start + 2 + MAX_JUMP_FIXES, len(readings))):
        if readings[index].at - readings[start].at > MAX_JUMP_S * 1000:
            return None
        away = _distance(readings[start], readings[index])
        if away < length / 2:
            return index if _distance(readings[index - 1], readings[index]) > away * 2 else None
    return None


def _measured(readings: Sequence[Reading], start: int, back: int) -> tuple[float, float, float]:
    length = _distance(readings[start], readings[start + 1])
    first = (readings[start].at + readings[start + 1].at) / 2
    last = (readings[back - 1].at + readings[back].at) / 2
    return length, (last - first) / 1000, readings[start + 1].acc or math.inf


def _distance(a: Reading, b: Reading) -> float:
    wide = METRES_PER_DEGREE * math.cos(math.radians(a.lat))
    return math.hypot((b.lat - a.lat) * METRES_PER_DEGREE, (b.lon - a.lon) * wide)
