"""A party of walkers on the wire: each an honest phone that reports once a second. Knows no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from load_tests.cannot_start import CannotStart
from load_tests.phone import Phone
from load_tests.place import Place
from load_tests.player import why_not
from load_tests.walkers import Step, walk
from protocol.client import ClientSession
from protocol.codec import Codec
from protocol.precision import Precision

NAMES = ("Jisoo", "Minjun", "Seoyeon", "Doyun", "Haeun", "Junho", "Yuna", "Taeyang", "Sora", "Woojin")
MAX_WALKERS = 499
JOIN_S = 30.0
STEP_S = 1.0
MAX_HELD = 3_600
"""Fixes a walker keeps while the server is away: an hour. Nobody misses a walker's older ones."""


class Walkers:
    """Several walkers in one session. The last of two or more has chosen `rough`."""

    def __init__(
        self, count: int, *, urls: list[str], token: str, codec: Codec, seed: int, random: Random
    ) -> None:
        self._walks = [walk(seed + number) for number in range(count)]
        self._phones = [
            Phone(
                ClientSession(
                    codec,
                    name=_name(number),
                    token=token,
                    precision=Precision.ROUGH if number == count - 1 > 0 else Precision.EXACT,
                    max_held=MAX_HELD,
                ),
                codec,
                Place.each(urls, number),
                jitter=random.random,
            )
            for number in range(count)
        ]

    async def join(self) -> None:
        """Bring all walkers in. Raises `CannotStart` when one is not welcomed."""
        for phone in self._phones:
            phone.start()
        try:
            async with asyncio.timeout(JOIN_S):
                for phone in self._phones:
                    await phone.joined()
        except TimeoutError:
            raise CannotStart("The server takes no WebSocket at /v1/stream; look at its log.") from None
        for phone in self._phones:
            if phone.gave_up is not None:
                raise CannotStart(why_not(phone.gave_up))

    async def walk(self, stop: asyncio.Event, wall_ms: Callable[[], int], seconds: float | None) -> bool:
        """Walk until told to stop or `seconds` are over; `False` when no walker may stay in the session."""
        clock = asyncio.get_running_loop().time
        begin, due = clock(), clock()
        while seconds is None or clock() - begin < seconds:
            there = [pair for pair in zip(self._phones, self._walks, strict=True) if pair[0].gave_up is None]
            if not there:
                return False
            at = wall_ms()
            for phone, steps in there:
                _report(phone, at, next(steps))
            due = max(due + STEP_S, clock())  # after a pause of the machine: on, not after
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, due - clock()))
            except TimeoutError:
                continue
            return True
        return True

    async def close(self) -> None:
        """Take all phones off the network. May come twice, and before `join`."""
        await asyncio.gather(*(phone.stop() for phone in self._phones))


def _report(phone: Phone, at: int, step: Step) -> None:
    phone.offer(at, step.lat, step.lon, acc=step.acc, spd=step.spd, hdg=step.hdg)


def _name(number: int) -> str:
    again = number // len(NAMES)
    return NAMES[number % len(NAMES)] + (f" {again + 1}" if again else "")
