"""How wrong a phone's receiver is: an error that drifts, in stretches good and bad, and jumps. Pure, seeded.

On each axis the error is the sum of a quick and a slow first-order Gauss–Markov process, times a size that
itself wanders (its logarithm is a third such process, the same on both axes). One process alone fits badly:
the recordings keep a third of their correlation for five minutes, and lose a fifth of it within ten seconds.

Fitted on 2026-11-23 by `python -m load_tests.crowd.fit_error` on the recordings beside the repository:
drift and size on whitchurch-multidevice (robjordan/gps-accuracy, Apache-2.0: two phones, two loggers on one
bicycle, differences across the way), jumps on helsinki-trafficsense (aalto-trafficsense, CC BY 4.0, by Aalto
University: eight phones of one party, seven hours). What all receivers have wrong together is not in it.
"""

from __future__ import annotations

import math

import msgspec

from load_tests.crowd.draw import Draw
from load_tests.crowd.trip import Mode

SIGMA_M = 4.5
"""Standard deviation of an axis: 4.39 and 4.64 m of the two phones."""
SIGMA_SPREAD = 0.4
"""Of the logarithm, from device to device: 1.56 to 4.64 m of the four."""
QUICK, QUICK_S = 0.233, 15.6
"""The part of the variance that drifts quickly, and its time, seconds."""
SLOW, SLOW_S = 0.767, 813.0
UNREST, UNREST_S = 0.47, 39.0
"""Spread of the logarithm of the error's size (from a kurtosis of 7.3), and how long a stretch lasts."""

JUMP_M = 916.0
"""Median length of a jump."""
JUMP_SPREAD = 1.52
"""Of the length's logarithm."""
MIN_JUMP_M, MAX_JUMP_M = 100.0, 27_600.0
"""The least that was counted, the most that was seen."""
JUMP_S = 28.0
"""How long one lasts on average; the recordings step by 11 s."""
BOLD_SHARE = 0.72
"""Of the jumps: they claim an accuracy better than 100 m."""
METRO_JUMPS = 5.0
"""So many times more jumps underground. Chosen: the recordings do not say how long they were there."""

MAX_ERROR_M = 80.0
"""No error that is not a jump is larger; no two of the recordings' devices were more than 50 m apart."""
WITHIN_68 = 1.51
"""The circle that holds 68 % of a normal error on two axes, in standard deviations: what `acc` means on
Android; sqrt(-2 ln 0.32)."""
ACC_SPREAD = 0.3
"""Phones guess their accuracy; spread of the logarithm of the guess. Chosen."""


_QUICK_SHARE, _SLOW_SHARE = math.sqrt(QUICK), math.sqrt(SLOW)


def correlation(lag_s: float) -> float:
    """Of the model's error with itself after `lag_s` seconds: the product of drift and size."""
    drift = QUICK * math.exp(-lag_s / QUICK_S) + SLOW * math.exp(-lag_s / SLOW_S)
    return drift * math.exp(-(UNREST**2) * (1 - math.exp(-lag_s / UNREST_S)))


class Wrong(msgspec.Struct, frozen=True, gc=False):
    """What is added to the true place, metres, and the accuracy that the phone claims."""

    east_m: float
    north_m: float
    acc_m: float
    jump: bool


class Receiver:
    """One phone's receiver. Ask for times in rising order, however far apart."""

    __slots__ = (
        "_at_ms",
        "_draw",
        "_drift",
        "_gap_ms",
        "_jump",
        "_jump_until_ms",
        "_jumps_per_ms",
        "_keeps",
        "_sigma_m",
        "_size",
    )

    def __init__(self, draw: Draw, jumps_per_hour: float) -> None:
        self._draw = draw
        self._sigma_m = SIGMA_M * math.exp(SIGMA_SPREAD * draw.normal())
        self._drift = [draw.normal() for _ in range(4)]
        self._size = draw.normal()
        self._at_ms = 0
        self._gap_ms, self._keeps = 0, [(1.0, 0.0)] * 3
        self._jumps_per_ms = jumps_per_hour / 3_600_000
        self._jump: Wrong | None = None
        self._jump_until_ms = 0.0

    def at(self, at_ms: int, mode: Mode) -> Wrong:
        """The error at a time, which must not be before the last one asked for."""
        gap_ms, self._at_ms = at_ms - self._at_ms, at_ms
        self._wander(gap_ms)
        if (jump := self._jumped(at_ms, gap_ms, mode)) is not None:
            return jump
        east_quick, north_quick, east_slow, north_slow = self._drift
        size = self._sigma_m * math.exp(UNREST * self._size - UNREST * UNREST)
        east = size * (_QUICK_SHARE * east_quick + _SLOW_SHARE * east_slow)
        north = size * (_QUICK_SHARE * north_quick + _SLOW_SHARE * north_slow)
        if (length := math.hypot(east, north)) > MAX_ERROR_M:
            east, north = east * MAX_ERROR_M / length, north * MAX_ERROR_M / length
        acc = WITHIN_68 * size * math.exp(ACC_SPREAD * self._draw.normal())
        return Wrong(east, north, max(1.0, acc), False)

    def _wander(self, gap_ms: int) -> None:
        if gap_ms != self._gap_ms:  # nearly always the same
            self._gap_ms = gap_ms
            keeps = [math.exp(-gap_ms / 1000 / time_s) for time_s in (QUICK_S, SLOW_S, UNREST_S)]
            self._keeps = [(kept, math.sqrt(1 - kept * kept)) for kept in keeps]
        (quick, quick_fresh), (slow, slow_fresh), (size, size_fresh) = self._keeps
        normal, drift = self._draw.normal, self._drift
        drift[0] = quick * drift[0] + quick_fresh * normal()
        drift[1] = quick * drift[1] + quick_fresh * normal()
        drift[2] = slow * drift[2] + slow_fresh * normal()
        drift[3] = slow * drift[3] + slow_fresh * normal()
        self._size = size * self._size + size_fresh * normal()

    def _jumped(self, at_ms: int, gap_ms: int, mode: Mode) -> Wrong | None:
        if self._jump is not None and at_ms < self._jump_until_ms:
            return self._jump
        self._jump = None
        draw = self._draw
        per_ms = self._jumps_per_ms * (METRO_JUMPS if mode is Mode.METRO else 1.0)
        if not draw.chance(-math.expm1(-gap_ms * per_ms)):
            return None
        length = min(MAX_JUMP_M, max(MIN_JUMP_M, JUMP_M * math.exp(JUMP_SPREAD * draw.normal())))
        course = draw.between(0, 2 * math.pi)
        claimed = draw.between(20, 100) if draw.chance(BOLD_SHARE) else draw.between(100, 100 + length)
        self._jump_until_ms = at_ms + 1000 * draw.after(JUMP_S)
        self._jump = Wrong(length * math.sin(course), length * math.cos(course), claimed, True)
        return self._jump
