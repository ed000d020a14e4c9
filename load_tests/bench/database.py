"""The database's part: the writer's rows a second beside a plain COPY, and a chunk's drop beside a DELETE.

Works on the databases of a `partyline up` that the benchmark started, as their owner. The writer is stopped
by a signal while its streams are filled, and timed from its start until they are empty; then the rows are
counted in PostgreSQL. Both write the same rows into an empty chunk.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import asyncpg
from redis.asyncio import Redis

from load_tests.bench.phone import LoadError
from load_tests.bench.rows import COLUMNS, SHARDS, batches, entries
from protocol.limits import WINDOW_MS

MEMBERS = 500
WRITER_S = 120.0
POLL_S = 0.002
ENTRIES_A_PIPELINE = 500
WINDOWS_A_DAY = 86_400_000 // WINDOW_MS
ENTRY_OF = "bench"
"""The gateway that the entries come from: nobody listens to its acks."""


def _load() -> dict[str, str]:
    text = files("load_tests.bench").joinpath("database.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


_SQL = _load()


@dataclass(frozen=True)
class Day:
    """A day of the hypertable, one chunk."""

    begins: datetime

    @property
    def ends(self) -> datetime:
        return self.begins + timedelta(days=1)


def days_ago(now: datetime, days: int) -> Day:
    """That day, from midnight UTC."""
    return Day(now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days))


async def _count(database: asyncpg.Connection, day: Day) -> int:
    return int(await database.fetchval(_SQL["count"], day.begins, day.ends))


async def _drop(database: asyncpg.Connection, day: Day) -> None:
    if await database.fetchval(_SQL["drop"], day.begins, day.ends) != 1:
        raise LoadError("the day's chunk was not there to drop")


async def copy_rows_s(database: asyncpg.Connection, day: Day, rows: int) -> float:
    """The ceiling: rows a second of binary COPY on one connection, a commit a batch."""
    members = [tuple(row) for row in await database.fetch(_SQL["members"], MEMBERS)]
    prepared = batches(entries(members, day.begins, rows))
    await database.execute(_SQL["checkpoint"])
    begun = time.perf_counter()
    for batch in prepared:
        await database.copy_to_table(
            "party_positions", columns=COLUMNS, format="binary", source=_whole(batch)
        )
    took = time.perf_counter() - begun
    if await _count(database, day) != rows:
        raise LoadError("COPY did not store every row")
    await _drop(database, day)
    return rows / took


async def _whole(batch: bytes) -> AsyncIterator[bytes]:
    yield batch


async def writer_rows_s(
    database: asyncpg.Connection, redis: Redis, writer_pid: int, day: Day, rows: int
) -> float:
    """Rows a second of the writer's process, from its streams to PostgreSQL."""
    await database.execute(_SQL["backdate"])
    members = [tuple(row) for row in await database.fetch(_SQL["members"], MEMBERS)]
    prepared = entries(members, day.begins, rows)
    os.kill(writer_pid, signal.SIGSTOP)
    try:
        for shard, mine in prepared.items():
            for at in range(0, len(mine), ENTRIES_A_PIPELINE):
                pipeline = redis.pipeline(transaction=False)
                for entry in mine[at : at + ENTRIES_A_PIPELINE]:
                    pipeline.xadd(f"batch:{shard}", {"g": ENTRY_OF, "d": entry})
                await pipeline.execute()
        await database.execute(_SQL["checkpoint"])
        begun = time.perf_counter()
    finally:
        os.kill(writer_pid, signal.SIGCONT)
    while True:
        pipeline = redis.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipeline.xlen(f"batch:{shard}")
        took = time.perf_counter() - begun
        if not any(await pipeline.execute()):
            break
        if took > WRITER_S:
            raise LoadError(f"the writer was not done after {WRITER_S:.0f} s")
        time.sleep(POLL_S)  # noqa: ASYNC251 - nothing else runs here
    stored = await _count(database, day)
    if stored != rows:
        raise LoadError(f"the writer stored {stored:,} of {rows:,} rows")
    await _drop(database, day)
    return rows / took


async def drop_and_delete_s(database: asyncpg.Connection, day: Day, rows: int) -> tuple[float, float, float]:
    """Seconds to drop a day's chunk of about `rows` rows; of it its statement; and to DELETE the same rows.

    The drop counts until its commit returns, which is when the files are gone; they are removed after the
    locks are released, so others wait for little more than the statement.

    The DELETE goes first and is rolled back, so that the drop meets the same chunk; neither its commit nor
    the vacuum that it leaves to do is counted.
    """
    members = -(-rows // WINDOWS_A_DAY)
    await database.execute(_SQL["fill"], day.begins, rows // members, members, timeout=None)
    await database.execute(_SQL["checkpoint"])
    transaction = database.transaction()
    await transaction.start()
    begun = time.perf_counter()
    await database.execute(_SQL["delete"], day.begins, day.ends, timeout=None)
    delete_s = time.perf_counter() - begun
    await transaction.rollback()
    await database.execute(_SQL["checkpoint"])
    begun = time.perf_counter()
    async with database.transaction():
        await _drop(database, day)
        statement_s = time.perf_counter() - begun
    return time.perf_counter() - begun, statement_s, delete_s
