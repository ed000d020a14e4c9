"""The database's part: the writer's rows a second beside a plain COPY, and a chunk's drop beside a DELETE.

Works on the databases of a `partyline up` that the benchmark started, as their owner. The writer is stopped
by a signal while its streams are filled, and timed from its start until they are empty; then the rows are
counted in PostgreSQL. Both write the same rows into an empty chunk, in the same order and commits.

The shape is a backlog of a busy deployment: 100,000 members in parties of five, whose windows come in no
order; a commit holds the 256 stream entries that the writer reads from a shard at once, 100 rows each: about
two windows of 12,500 members.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import NamedTuple

import asyncpg
from redis.asyncio import Redis

from load_tests.bench.phone import LoadError
from load_tests.bench.rows import COLUMNS, ENTRIES_A_COMMIT, SHARDS, batches, entries
from protocol.limits import WINDOW_MS

MEMBERS = 100_000
WRITER_S = 120.0
POLL_S = 0.002
ENTRIES_A_PIPELINE = 500
DROP_ATTEMPTS = 5
EXPIRED_HOURS = 48
"""A chunk whose last row is older may be dropped."""
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
    """A day of the positions, one chunk."""

    begins: datetime

    @property
    def ends(self) -> datetime:
        return self.begins + timedelta(days=1)


def days_ago(now: datetime, days: int) -> Day:
    """That day, from midnight UTC."""
    return Day(now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days))


async def _count(database: asyncpg.Connection, day: Day) -> int:
    return int(await database.fetchval(_SQL["count"], day.begins, day.ends))


async def _clear(database: asyncpg.Connection, day: Day) -> None:
    """Drops what was measured. As the keeper, it tries again where autovacuum is in its way."""
    for _ in range(DROP_ATTEMPTS):
        with suppress(asyncpg.DeadlockDetectedError):
            return await _drop(database, day)
    raise LoadError("the day's chunk could not be dropped: it was in use")


async def _drop(database: asyncpg.Connection, day: Day) -> None:
    if await database.fetchval(_SQL["drop"], day.begins, day.ends) != 1:
        raise LoadError("the day's chunk was not there to drop")


async def _crowd(database: asyncpg.Connection) -> list[tuple[int, int]]:
    """Session and user of every member, in the order in which their windows close: any."""
    members = await database.fetch(_SQL["members"])
    if not members:
        await database.execute(_SQL["crowd"], MEMBERS)
        await database.execute(_SQL["analyze"])
        members = await database.fetch(_SQL["members"])
    shuffled = [(int(session), int(user)) for session, user in members]
    random.Random(1).shuffle(shuffled)
    return shuffled


def commits(by_shard: dict[int, list[bytes]]) -> list[bytes]:
    """Whole COPY streams, each what the writer commits at once, in its order: the shards take turns."""
    longest = max(map(len, by_shard.values()))
    return [
        stream
        for at in range(0, longest, ENTRIES_A_COMMIT)
        for stream in batches({shard: mine[at : at + ENTRIES_A_COMMIT] for shard, mine in by_shard.items()})
    ]


async def copy_rows_s(database: asyncpg.Connection, day: Day, rows: int) -> float:
    """The ceiling: rows a second of binary COPY on one connection, a commit a batch."""
    prepared = commits(entries(await _crowd(database), day.begins, rows))
    await database.execute(_SQL["make"], day.begins)
    await database.execute(_SQL["checkpoint"])
    begun = time.perf_counter()
    for batch in prepared:
        await database.copy_to_table(
            "party_positions", columns=COLUMNS, format="binary", source=_whole(batch)
        )
    took = time.perf_counter() - begun
    if await _count(database, day) != rows:
        raise LoadError("COPY did not store every row")
    await _clear(database, day)
    return rows / took


async def _whole(batch: bytes) -> AsyncIterator[bytes]:
    yield batch


async def writer_rows_s(
    database: asyncpg.Connection, redis: Redis, writer_pid: int, day: Day, rows: int
) -> float:
    """Rows a second of the writer's process, from its streams to PostgreSQL."""
    prepared = entries(await _crowd(database), day.begins, rows)
    await database.execute(_SQL["make"], day.begins)
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
    await _clear(database, day)
    return rows / took


class Removal(NamedTuple):
    """Seconds until a day's rows are gone."""

    drop_s: float
    """Until the drop's commit returns. The last of it is the kernel's: it frees the files."""
    drop_waited_s: float
    """Of it, how long others waited: until its locks were gone, which is before the files are."""
    keeper_s: float
    """The keeper's function, which also counts the rows and records the drop, without the commit."""
    delete_s: float
    """Until the DELETE's commit returns. It leaves the rows in the file."""
    vacuum_s: float
    """Then, until VACUUM has given the space back."""


async def remove_day(
    database: asyncpg.Connection, witness: asyncpg.Connection, days: tuple[Day, Day], rows: int
) -> Removal:
    """Drops the first day and deletes the second; each has one chunk of about `rows` rows, and no other day.

    Both chunks are settled before: vacuumed and on disk, as a chunk is whose time-to-live has passed.
    `witness` is somebody else's connection, which waits. The first day must be two days past.
    """
    dropped, deleted = days
    members = -(-rows // WINDOWS_A_DAY)
    chunks = []
    await database.execute(_SQL["drop_before"], dropped.ends)
    for day in days:
        await database.execute(_SQL["make"], day.begins)
        await database.execute(_SQL["fill"], day.begins, rows // members, members, timeout=None)
        chunks.append(await database.fetchval(_SQL["chunk"], day.begins, day.ends))
        await database.execute(f"VACUUM {chunks[-1]}", timeout=None)
    await database.execute(_SQL["checkpoint"])
    begun = time.perf_counter()
    await database.execute(_SQL["delete"], deleted.begins, deleted.ends, timeout=None)
    delete_s = time.perf_counter() - begun
    await database.execute(f"VACUUM {chunks[1]}", timeout=None)
    vacuum_s = time.perf_counter() - begun - delete_s
    await _clear(database, deleted)
    await database.execute(_SQL["checkpoint"])
    keeper_s = await _keeper_s(database)
    drop_s, waited_s = await _drop_s(database, witness, dropped)
    return Removal(drop_s, waited_s, keeper_s, delete_s, vacuum_s)


async def _keeper_s(database: asyncpg.Connection) -> float:
    """Rolled back, so that the drop meets the same chunk."""
    transaction = database.transaction()
    await transaction.start()
    begun = time.perf_counter()
    counted = await database.fetchval(_SQL["drop_oldest_expired_chunk"], EXPIRED_HOURS, timeout=None)
    took = time.perf_counter() - begun
    await transaction.rollback()
    if not counted:
        raise LoadError("the keeper's function found no chunk to drop")
    return took


async def _drop_s(database: asyncpg.Connection, witness: asyncpg.Connection, day: Day) -> tuple[float, float]:
    """Until the drop's commit returns, and until the witness may pass."""
    transaction = database.transaction()
    await transaction.start()
    begun = time.perf_counter()
    await _drop(database, day)
    statement_s = time.perf_counter() - begun
    passing = asyncio.create_task(_pass_by(witness, day))
    while not await database.fetchval(_SQL["waits"], witness.get_server_pid()):
        pass
    begun = time.perf_counter()
    await transaction.commit()
    drop_s = statement_s + time.perf_counter() - begun
    return drop_s, statement_s + await passing - begun


async def _pass_by(witness: asyncpg.Connection, day: Day) -> float:
    """When it was through."""
    await witness.execute(_SQL["pass_by"], day.begins, day.ends)
    return time.perf_counter()
