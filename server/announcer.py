"""Tells every other gateway of a change, and waits until it holds there (G3).

A gateway that has the lease is waited for until it says that it has applied the entry; one that lost its
lease sends nothing, and reads everything anew before it gets one again. Knows no Redis and no socket: what
it asks is given to it, so that every order of events can be tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from server.control_entry import Entry, Place
from server.control_store import Standing
from server.lease import LEASE_MS

CONFIRM_MS = 8_000
"""How long a call waits for the others; a lease ends much earlier, so this is Redis being away."""
AGAIN_MS = LEASE_MS + 1_000
"""An entry that was not applied for so long was lost by Redis: it is told again."""
LOOK_S = 0.01
LOOK_SLOWLY_S = 0.05


class Unconfirmed(Exception):
    """The change is stored, but it is not known to hold everywhere: the call must be made again."""

    def __init__(self) -> None:
        super().__init__("the change is stored, but not every gateway has confirmed it")


class Store(Protocol):
    """What is asked of Redis."""

    def announce(self, entry: Entry) -> Awaitable[Place]: ...

    def standing(self) -> Awaitable[Standing]: ...


class Announcer:
    """One gateway's voice."""

    def __init__(
        self,
        store: Store,
        gateway_id: str,
        *,
        now_ms: Callable[[], int],
        away: tuple[type[Exception], ...],
    ) -> None:
        """`away`: what the store raises while Redis does not answer."""
        self._store = store
        self._id = gateway_id
        self._now_ms = now_ms
        self._away = away

    async def tell(self, entry: Entry) -> None:
        """Once, without waiting for anybody: of a change that takes nothing away. Redis may be away: they
        find out when they next compare with PostgreSQL."""
        try:
            await self._store.announce(entry)
        except self._away:
            return

    async def confirm(self, entry: Entry) -> None:
        """Returns when the entry holds on every other gateway. Raises `Unconfirmed`."""
        until_ms = self._now_ms() + CONFIRM_MS
        try:
            async with asyncio.timeout(CONFIRM_MS / 1000):
                while True:
                    try:
                        if await self._told_and_applied(entry, until_ms):
                            return
                    except self._away:
                        await asyncio.sleep(LOOK_SLOWLY_S)
        except TimeoutError:
            raise Unconfirmed from None

    async def _told_and_applied(self, entry: Entry, until_ms: int) -> bool:
        at = await self._store.announce(entry)
        again_ms = min(until_ms, self._now_ms() + AGAIN_MS)
        looks = 0
        while not self._holds(at, await self._store.standing()):
            if self._now_ms() >= again_ms:
                return False
            looks += 1
            await asyncio.sleep(LOOK_S if looks < 10 else LOOK_SLOWLY_S)
        return True

    def _holds(self, at: Place, standing: Standing) -> bool:
        """Whether nobody can send what the entry takes away."""
        if standing.age_ms < LEASE_MS:  # the server before this one may have given leases that still run
            return False
        return all(place >= at for name, place in standing.places.items() if name != self._id)
