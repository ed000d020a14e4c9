"""Chance that is the same on every machine: a stream of numbers for each name. Never asks the machine.

The state of a stream is 64 bits: SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number
generators, 2014), begun with the BLAKE2b digest of the stream's name. A `random.Random` would be 2.5 KB, of
which each member holds several, and only its `random()` stays the same from version to version of Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

Item = TypeVar("Item")
_BITS = 2**64 - 1


class Draw:
    """Numbers of one stream. The same name, the same numbers."""

    __slots__ = ("_spare", "_state")

    def __init__(self, *name: int | str) -> None:
        digest = blake2b("/".join(map(str, name)).encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "big")
        self._spare: float | None = None

    def _random(self) -> float:
        """From 0 to below 1."""
        self._state = mixed = (self._state + 0x9E3779B97F4A7C15) & _BITS
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _BITS
        return ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self._random() < share

    def between(self, low: float, high: float) -> float:
        """Evenly from `low` to `high`."""
        return low + (high - low) * self._random()

    def after(self, mean: float) -> float:
        """How long until an event that comes without memory, every `mean` on average."""
        return -mean * math.log(1.0 - self._random())

    def normal(self) -> float:
        """Mean 0, variance 1 (Box and Muller, A note on the generation of random normal deviates, 1958)."""
        if (spare := self._spare) is not None:
            self._spare = None
            return spare
        radius = math.sqrt(-2.0 * math.log(1.0 - self._random()))
        angle = 2.0 * math.pi * self._random()
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def pick(self, items: Sequence[Item], weights: Sequence[float]) -> Item:
        """One of the items, each as often as it weighs; the weights' sum must be above 0."""
        left = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return next(item for item, weight in reversed(list(zip(items, weights, strict=True))) if weight > 0)
