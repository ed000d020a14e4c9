"""Joins take turns: few are carried out at once, so that a storm leaves PostgreSQL and ticks their time.

Beyond those that wait, and for whoever would wait too long, the answer is to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocol.close_codes import CloseCode
from protocol.limits import JOIN_TIMEOUT_S
from protocol.server import Refused

JOINS_AT_ONCE = 4
"""Joins that are carried out at once: half of the gateway's connections to PostgreSQL."""
JOINS_WAITING = 1_000
"""Joins that wait for their turn."""


class Turns:
    """One queue for all joins of a gateway; first come, first served."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(JOINS_AT_ONCE)
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """For as long as one join lasts. Raises `Refused`: too many wait, or this one waited too long."""
        if self.waiting >= JOINS_WAITING:
            raise Refused(CloseCode.UNAVAILABLE)
        self.waiting += 1
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await self._places.acquire()
        except TimeoutError:
            raise Refused(CloseCode.UNAVAILABLE) from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._places.release()
