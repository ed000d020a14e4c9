"""A gateway's place in the control stream: applies its entries in order, and holds the lease (G3).

Only who has applied all there is gets a lease, and says with each renewal how far it is. Who lost the lease,
or may have missed an entry, withholds everything, reads everything anew and asks again. What it asks and
does is given to it, so that every order of events can be tried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

from server.control_entry import START, Entry, Erased, Place
from server.control_store import Renewal
from server.lease import LEASE_MS, RENEW_MS, Lease

RETRY_S = 0.1

logger = logging.getLogger("partyline.follower")


class Store(Protocol):
    """What is asked of Redis."""

    def renew(self, at: Place, *, kept: bool) -> Awaitable[Renewal]: ...

    def last(self) -> Awaitable[Place]: ...

    def after(self, at: Place, *, block: bool = True) -> Awaitable[list[tuple[Place, Entry | None]]]: ...


class Gateway(Protocol):
    """What this gateway does with what it is told."""

    def apply(self, entry: Entry | None) -> None:
        """One entry holds when this returns."""

    async def forget(self, receipt: str) -> None:
        """Whoever the receipt of an erasure means is forgotten when this returns."""

    def doubt_all(self) -> None:
        """Nothing is sent until it was read again."""

    async def reread_all(self) -> None:
        """Reads every session anew."""

    def regained(self) -> None:
        """The lease is held again."""

    def live(self, gateways: frozenset[str]) -> None:
        """Who has a lease now."""


class Follower:
    """One gateway's loops. `away`: what store and gateway raise while Redis or PostgreSQL does not answer."""

    def __init__(
        self, store: Store, gateway: Gateway, lease: Lease, *, away: tuple[type[Exception], ...]
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._lease = lease
        self._away = away
        self.at: Place = START
        """The entry that was applied last."""
        self._behind = True
        """Whether something may have been missed."""
        self._renewing = asyncio.Lock()

    async def run_lease(self) -> None:
        """Keeps the lease, for as long as it may be had."""
        while True:
            with suppress(*self._away):
                await self._renew()
            await asyncio.sleep(RENEW_MS / 1000)

    async def run_stream(self) -> None:
        """Applies what comes, and says so at once: somebody waits for it."""
        while True:
            if self._behind:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                if await self._take(await self._store.after(self.at)):
                    await self._renew()
            except self._away:
                await asyncio.sleep(RETRY_S)

    async def _renew(self) -> None:
        async with self._renewing:
            if self._behind:
                await self._catch_up()
                return
            asked_ms = self._lease.now()
            async with asyncio.timeout(LEASE_MS / 1000):
                renewal = await self._store.renew(self.at, kept=True)
            if renewal.granted:
                self._lease.renewed(asked_ms)
                self._gateway.live(renewal.live)
            else:
                self._behind = True
                await self._catch_up()

    async def _catch_up(self) -> None:
        self._gateway.doubt_all()
        began_ms = self._lease.now()
        async with asyncio.timeout(LEASE_MS / 1000):
            at = await self._store.last()
        await self._gateway.reread_all()
        self.at = at
        while True:
            asked_ms = self._lease.now()
            async with asyncio.timeout(LEASE_MS / 1000):
                renewal = await self._store.renew(self.at, kept=False)
                if renewal.granted:
                    break
                if not await self._take(await self._store.after(self.at, block=False)):
                    return  # what was to be read is trimmed already: from the beginning, with the next beat
        if renewal.age_ms <= self._lease.now() - began_ms:
            return  # another server than the one that was asked first: it may not know what that one knew
        self._behind = False
        self._lease.renewed(asked_ms)
        self._gateway.live(renewal.live)
        self._gateway.regained()

    async def _take(self, entries: list[tuple[Place, Entry | None]]) -> bool:
        """Applies those that are new. True: there was one."""
        taken = False
        for at, entry in entries:
            if at <= self.at:
                continue
            if isinstance(entry, Erased):
                await self._gateway.forget(entry.receipt)
            else:
                self._gateway.apply(entry)
            self.at = max(self.at, at)  # the other loop may have gone on meanwhile
            taken = True
        return taken
