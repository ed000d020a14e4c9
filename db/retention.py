"""The keeper's work: drops whole chunks past the time-to-live, flags rows past their own (G7), makes others.

Expired rows are invisible before either happens: every reader compares with the clock. One chunk is one
transaction, recorded with the state before and after; the keeper itself has no grant on the positions.
"""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec

from db.fence import transaction
from db.pool import Database
from db.queries import load
from db.times import to_ms, to_ms_or_none

_SQL = load("retention")

DROP_ATTEMPTS = 5
RETRY_PAUSE_S = 0.2
"""Between two attempts at a chunk that somebody reads; it doubles each time."""

_IN_USE = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,  # somebody tagged a post of the month meanwhile
)

DROP_TIMEOUT_S = 300
"""Counting and dropping one chunk may take longer than other commands."""


class Drop(msgspec.Struct, frozen=True):
    """One row of `retention_runs`: a dropped chunk, or with `error` one that could not be dropped.

    Times are epoch milliseconds. `rows_*` are the planner's estimates, `dropped_rows` is counted.
    """

    table_name: str
    started_at_ms: int
    duration_ms: int
    cutoff_ms: int
    chunks_before: int
    chunks_after: int
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    oldest_before_ms: int | None
    oldest_after_ms: int | None
    dropped_chunks: list[str]
    dropped_rows: int
    error: str | None


async def drop_expired(conn: Database, *, ttl_hours: int, lock_timeout_ms: int) -> list[Drop]:
    """Drops every chunk whose rows are all older than `ttl_hours`, the oldest first.

    A chunk that cannot be locked within `lock_timeout_ms` (natively the table itself: within 50 ms) is tried
    again a few times, then recorded with its error, and the rest waits for the next call. Raises `ValueError`
    for a time that is not positive.
    """
    if ttl_hours < 1 or lock_timeout_ms < 1:
        raise ValueError("ttl_hours and lock_timeout_ms must be at least 1")
    return await drop_all(
        conn, "drop_oldest_expired_chunk", "record_failed_drop", ttl_hours, lock_timeout_ms=lock_timeout_ms
    )


async def drop_all(
    conn: Database, drop: str, record_failed: str, value: int | str, *, lock_timeout_ms: int
) -> list[Drop]:
    """Runs the query `drop` until it has nothing more to drop, or a failure was recorded."""
    drops: list[Drop] = []
    while True:
        record = await _drop_one(conn, drop, record_failed, value, lock_timeout_ms)
        if record is None:
            return drops
        drops.append(_drop_of(record))
        if drops[-1].error is not None:
            return drops


async def _drop_one(
    conn: Database, drop: str, record_failed: str, value: int | str, lock_timeout_ms: int
) -> asyncpg.Record | None:
    for attempt in range(DROP_ATTEMPTS):
        try:
            async with transaction(conn) as tx:
                await tx.execute(_SQL["set_lock_timeout"], f"{lock_timeout_ms}ms", f"{DROP_TIMEOUT_S}s")
                return await tx.fetchrow(_SQL[drop], value, timeout=DROP_TIMEOUT_S + 5)
        except _IN_USE:
            await asyncio.sleep(RETRY_PAUSE_S * 2**attempt)
    reason = f"the chunk was in use: not locked in {DROP_ATTEMPTS} attempts"
    return await conn.fetchrow(_SQL[record_failed], value, reason)


async def make_partitions_ahead(conn: Database) -> None:
    """Makes the partitions of the coming days and months, where there are any to make. Again does nothing."""
    await conn.execute(_SQL["make_partitions_ahead"])


async def flag_expired(conn: Database, batch: int, *, keep_hours: int | None = None) -> int:
    """Flags at most `batch` rows whose own session has no more use for them. How many: again, if `batch`.

    `keep_hours`: sessions that keep as long as the server, or longer, are left to the drop of their chunk,
    which follows within a day; without it their rows are all written once more. Raises `ValueError`.
    """
    if not 1 <= batch <= 1_000_000:
        raise ValueError("a batch must be from 1 to 1,000,000 rows")
    return int(await conn.fetchval(_SQL["flag_expired"], batch, keep_hours))


def _drop_of(record: asyncpg.Record) -> Drop:
    return Drop(
        table_name=record["table_name"],
        started_at_ms=to_ms(record["started_at"]),
        duration_ms=record["duration_ms"],
        cutoff_ms=to_ms(record["cutoff"]),
        chunks_before=record["chunks_before"],
        chunks_after=record["chunks_after"],
        rows_before=record["rows_before"],
        rows_after=record["rows_after"],
        bytes_before=record["bytes_before"],
        bytes_after=record["bytes_after"],
        oldest_before_ms=to_ms_or_none(record["oldest_before"]),
        oldest_after_ms=to_ms_or_none(record["oldest_after"]),
        dropped_chunks=list(record["dropped_chunks"]),
        dropped_rows=record["dropped_rows"],
        error=record["error"],
    )
