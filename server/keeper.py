"""The keeper: drops what its time-to-live has passed, flags what a session's own has (G7), makes partitions.

It has no right to the rows; PostgreSQL functions do the work and record the state before and after each drop.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from db.months import MONTHLY, delete_expired_doodles, delete_expired_trip_cache, drop_expired_months
from db.pool import Connection, Pool
from db.retention import Drop, drop_expired, flag_expired, make_partitions_ahead

FLAG_BATCH = 10_000
DELETE_BATCH = 5_000
LOCK_TIMEOUT_MS = 2_000
MONTH_LOCK_TIMEOUT_MS = 200
"""Shorter: to let a month go locks its whole table, and whoever comes while it waits for that waits too."""

_AWAY = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement that meets the server's goodbye
    OSError,
    TimeoutError,
)

logger = logging.getLogger("partyline.keeper")


class Keeper:
    """Works once an interval."""

    def __init__(self, *, pool: Pool, ttl_hours: int, interval_s: float) -> None:
        self._pool = pool
        self._ttl_hours = ttl_hours
        self._interval_s = interval_s
        self.rounds = 0
        self.chunks_dropped = 0
        self.rows_dropped = 0
        self.rows_flagged = 0
        self.rows_deleted = 0
        self.failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; the round under way is finished first."""
        while not stop.is_set():
            try:
                await self.work()
            except _AWAY as error:
                self.failures += 1
                logger.warning("cannot work; trying again", extra={"error": type(error).__name__})
            try:
                await asyncio.wait_for(stop.wait(), self._interval_s)
            except TimeoutError:
                continue

    async def work(self) -> None:
        """One round: make partitions, flag, drop; then doodles, recommendations, months past their time."""
        async with self._pool.acquire() as connection:
            await self._make_ahead(connection)
            flagged = FLAG_BATCH
            while flagged == FLAG_BATCH:
                flagged = await flag_expired(connection, FLAG_BATCH, keep_hours=self._ttl_hours)
                self.rows_flagged += flagged
            self._count(
                await drop_expired(connection, ttl_hours=self._ttl_hours, lock_timeout_ms=LOCK_TIMEOUT_MS)
            )
            for delete in (delete_expired_doodles, delete_expired_trip_cache):
                deleted = DELETE_BATCH
                while deleted == DELETE_BATCH:
                    deleted = await delete(connection, DELETE_BATCH)
                    self.rows_deleted += deleted
            for table in MONTHLY:
                self._count(
                    await drop_expired_months(connection, table, lock_timeout_ms=MONTH_LOCK_TIMEOUT_MS)
                )
        self.rounds += 1

    def _count(self, drops: list[Drop]) -> None:
        for drop in drops:
            if drop.error is not None:  # recorded; the next round tries again
                self.failures += 1
                logger.warning(
                    "a chunk could not be dropped", extra={"table": drop.table_name, "reason": drop.error}
                )
                continue
            self.chunks_dropped += len(drop.dropped_chunks)
            self.rows_dropped += drop.dropped_rows
            logger.info(
                "chunk dropped",
                extra={
                    "table": drop.table_name,
                    "chunks": drop.dropped_chunks,
                    "rows": drop.dropped_rows,
                    "duration_ms": drop.duration_ms,
                },
            )

    async def _make_ahead(self, connection: Connection) -> None:
        """Should it fail, what is past its time must go all the same; the next round tries again."""
        try:
            await make_partitions_ahead(connection)
        except asyncpg.PostgresError as error:
            self.failures += 1
            logger.warning("partitions could not be made ahead", extra={"error": type(error).__name__})
