"""Recommendations by context: Redis in front of the table `trip_cache`. Nothing is served past its time.

Redis drops a copy at `valid_until` by its own clock, and a copy is served only while this process's clock
says so too: of two clocks the one that is ahead decides. Either store may be away: the other one is asked.
Concurrent misses of one context are one read of the table in each process; processes do not wait for each
other, since a read by key is cheaper than a lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db import trip_cache as table
from db.pool import Pool
from db.trip_cache import MAX_VALID_S, Kept

TIMEOUT_S = 2.0
"""How long either store is waited for."""
GRAVE_MS = 10_000
"""How long a forgotten context is marked in Redis: longer than any read of the table that began before."""

_GRAVE = b""
_AWAY_REDIS = (RedisError, OSError, TimeoutError)
_AWAY_TABLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode

logger = logging.getLogger("partyline.trip_cache")


class TripCacheUnavailable(RuntimeError):
    """Neither Redis nor the table could keep or forget a recommendation."""


def key(context_hash: str) -> str:
    """Where Redis has the copy."""
    return f"trip:{context_hash}"


def now_ms() -> int:
    """This process's clock."""
    return time.time_ns() // 1_000_000


class TripCache:
    """For one process. `pool` connects as partyline_backend."""

    def __init__(self, *, pool: Pool, redis: Redis, clock: Callable[[], int] = now_ms) -> None:
        self._pool = pool
        self._redis = redis
        self._clock = clock
        self._reading: dict[str, asyncio.Task[Kept | None]] = {}
        self.hits = 0
        self.table_reads = 0
        self.failures = 0

    async def get(self, context_hash: str) -> dict[str, Any] | None:
        """The recommendation, or `None`: there is none, its time is past, or no store can be reached."""
        table.check_hash(context_hash)
        kept = await self._cached(context_hash)
        if kept is not None:
            self.hits += 1
        else:
            reading = self._reading.get(context_hash)
            if reading is None:
                reading = asyncio.ensure_future(self._read(context_hash))
                self._reading[context_hash] = reading
                reading.add_done_callback(lambda _: self._reading.pop(context_hash, None))
            kept = await asyncio.shield(reading)  # who leaves must not take the others' answer along
        if kept is None or kept.valid_until_ms <= self._clock():
            return None
        decoded: dict[str, Any] = msgspec.json.decode(kept.payload)
        return decoded

    async def put(self, context_hash: str, payload: dict[str, Any], valid_for_s: int) -> None:
        """Keeps a recommendation.

        Raises `ValueError` for one that is too large or a time that is not from 1 second to 30 days,
        `TripCacheUnavailable` when neither store took it.
        """
        table.check_hash(context_hash)
        if not 1 <= valid_for_s <= MAX_VALID_S:
            raise ValueError(f"a recommendation is valid for 1 to {MAX_VALID_S} seconds")
        text = table.encoded(payload)
        kept = Kept(self._clock() + valid_for_s * 1000, text)
        stored = True
        try:
            async with asyncio.timeout(TIMEOUT_S):
                kept = await table.write(self._pool, context_hash, text, valid_for_s)
        except _AWAY_TABLE as error:
            stored = False
            self._failed("the table", error)
        cached = await self._tell_redis(context_hash, _encode(kept), until_ms=kept.valid_until_ms)
        if not stored and not cached:
            raise TripCacheUnavailable(
                "neither Redis nor PostgreSQL kept the recommendation: try again later"
            )

    async def invalidate(self, context_hash: str) -> None:
        """Forgets a recommendation in both stores. Raises `TripCacheUnavailable` when one of them did not."""
        table.check_hash(context_hash)
        deleted = True
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await table.delete(self._pool, context_hash)
        except _AWAY_TABLE as error:
            deleted = False
            self._failed("the table", error)
        # A mark and no DEL: a read that began before would put the old copy back.
        buried = await self._tell_redis(context_hash, _GRAVE, for_ms=GRAVE_MS)
        if not deleted or not buried:
            raise TripCacheUnavailable("the recommendation may still be served: invalidate it again")

    async def _cached(self, context_hash: str) -> Kept | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                packed = await self._redis.get(key(context_hash))
        except _AWAY_REDIS as error:
            self._failed("Redis", error)
            return None
        if not isinstance(packed, bytes) or packed == _GRAVE:
            return None
        try:
            kept = _decode(packed)
        except msgspec.MsgspecError:
            return None
        return kept if kept.valid_until_ms > self._clock() else None

    async def _read(self, context_hash: str) -> Kept | None:
        self.table_reads += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                kept = await table.read(self._pool, context_hash)
        except _AWAY_TABLE as error:
            self._failed("the table", error)
            return None
        if kept is not None:
            await self._tell_redis(
                context_hash, _encode(kept), until_ms=kept.valid_until_ms, only_if_none=True
            )
        return kept

    async def _tell_redis(
        self,
        context_hash: str,
        value: bytes,
        *,
        until_ms: int | None = None,
        for_ms: int | None = None,
        only_if_none: bool = False,
    ) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.set(key(context_hash), value, pxat=until_ms, px=for_ms, nx=only_if_none)
        except _AWAY_REDIS as error:
            self._failed("Redis", error)
            return False
        return True

    def _failed(self, store: str, error: BaseException) -> None:
        self.failures += 1
        logger.warning(
            "a store of recommendations is away", extra={"store": store, "error": type(error).__name__}
        )
