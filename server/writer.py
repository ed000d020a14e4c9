"""The writer: batches from Redis into PostgreSQL. Commit, then acknowledge, then tell the gateways.

Entries are read through a consumer group and stay pending until their rows are committed, so a writer
that dies loses nothing; after any failure it begins with what is pending, and what another writer has
read and left it takes over. Rows come packed for COPY; this module never looks at them, and PostgreSQL
decides which of them are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from db.fence import SHARDS
from db.positions import PartitionMissing, commit_rows
from server.batches import Refusals
from server.streams import GROUP, commits_channel, dead_key, encode_commit, stream_key

ENTRIES_A_ROUND = 256
"""Entries read from a stream at once; each holds one flush of one gateway and shard."""
BLOCK_MS = 1_000
RETRY_S = 0.5
CLAIM_IDLE_MS = 60_000
"""An entry that another writer has held for this long is taken over; that writer is dead or very slow."""

DEAD_BOUND = 1_000
"""Dead letters of a shard that are kept."""
DEAD_EXPIRY_S = 86_400

_POISON = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InternalServerError,
    asyncpg.ProtocolViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What PostgreSQL, or `commit_rows`, says of bytes that are no row (the last two: of a time that no calendar
has); everything else is tried again."""

_AWAY = (
    RedisError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement that meets the server's goodbye
    PartitionMissing,
    TimeoutError,
)
"""PostgreSQL or Redis does not answer, or not now, or has no partition yet: entries wait, nothing is lost."""

_BURY = (Path(__file__).parent / "bury.lua").read_text(encoding="utf-8")

logger = logging.getLogger("partyline.writer")

Entry = tuple[bytes, dict[bytes, bytes]]


class WriterStats:
    """A writer's counts since it started."""

    def __init__(self) -> None:
        self.entries = 0
        self.rows = 0
        self.refused = 0
        self.dead = 0
        self.failures = 0


class Writer:
    """Reads all shards."""

    def __init__(self, *, pool: asyncpg.Pool, redis: Redis, name: str, ttl_hours: int) -> None:
        self._pool = pool
        self._redis = redis
        self._name = name
        self._ttl_hours = ttl_hours
        self._pending = True
        self._claim_at_s = 0.0
        self.stats = WriterStats()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; the round under way is finished first."""
        away = False
        while not stop.is_set():
            try:
                await self._round()
                if away:
                    away = False
                    logger.warning("back at work")
            except _AWAY as error:
                self._pending = True
                self.stats.failures += 1
                if not away:
                    away = True
                    # Only our own error's text is sure to hold nothing of a row.
                    reason = str(error) if isinstance(error, PartitionMissing) else type(error).__name__
                    logger.warning("cannot write; entries wait", extra={"error": reason})
                await asyncio.sleep(RETRY_S)

    async def _round(self) -> None:
        await self._claim()
        cursor = "0" if self._pending else ">"
        streams: dict[Any, Any] = {stream_key(shard): cursor for shard in range(SHARDS)}
        try:
            found = await self._redis.xreadgroup(
                GROUP, self._name, streams, count=ENTRIES_A_ROUND, block=None if self._pending else BLOCK_MS
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_groups()
            return
        taken = [(int(stream.rsplit(b":", 1)[1]), entries) for stream, entries in _streams(found) if entries]
        self._pending = self._pending and bool(taken)
        # As many shards at once as the pool has connections: they share no fence and no row. Each is
        # finished, also when another fails.
        outcomes = await asyncio.gather(
            *(self._take(shard, entries) for shard, entries in taken), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _claim(self) -> None:
        """Now and then: takes over what another writer left. Should it be alive, the rows are there (G2)."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._claim_at_s:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipeline.xautoclaim(
                stream_key(shard), GROUP, self._name, CLAIM_IDLE_MS, count=ENTRIES_A_ROUND, justid=True
            )
        answers = await pipeline.execute(raise_on_error=False)  # without groups there is nothing to claim
        self._pending = self._pending or any(
            answer and not isinstance(answer, Exception) for answer in answers
        )
        self._claim_at_s = now_s + CLAIM_IDLE_MS / 1000

    async def _make_groups(self) -> None:
        for shard in range(SHARDS):
            try:
                await self._redis.xgroup_create(stream_key(shard), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _take(self, shard: int, entries: Sequence[Entry]) -> None:
        """Stores what has rows. Of what has none nobody is told: nothing of it was committed (G1)."""
        with_rows = [entry for entry in entries if b"d" in entry[1]]
        for entry in entries:
            if not entry[1]:  # deleted while it was pending
                await self._redis.xack(stream_key(shard), GROUP, entry[0])
            elif b"d" not in entry[1]:
                await self._bury(shard, entry)
        if with_rows:
            await self._write(shard, with_rows)

    async def _write(self, shard: int, entries: Sequence[Entry]) -> None:
        try:
            refused = await self._commit(shard, [fields[b"d"] for _, fields in entries])
        except _POISON:
            if len(entries) == 1:
                await self._bury(shard, entries[0])
                return
            for entry in entries:  # one of them is poison: find it without holding up the others
                await self._write(shard, [entry])
            return
        await self._tell(shard, entries, refused)

    async def _commit(self, shard: int, payloads: list[bytes]) -> Refusals:
        async with self._pool.acquire() as connection:
            result = await commit_rows(connection, payloads, shard=shard, ttl_hours=self._ttl_hours)
        self.stats.rows += result.inserted
        self.stats.refused += len(result.refused)
        return list(result.refused)

    async def _tell(self, shard: int, entries: Sequence[Entry], refused: Refusals) -> None:
        key = stream_key(shard)
        ids = [entry_id for entry_id, _ in entries]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack(key, GROUP, *ids)
        pipeline.xdel(key, *ids)
        for entry_id, fields in entries:
            gateway = fields.get(b"g", b"").decode("ascii", "replace")
            pipeline.publish(commits_channel(gateway), encode_commit((shard, entry_id.decode(), refused)))
        await pipeline.execute()
        self.stats.entries += len(entries)

    async def _bury(self, shard: int, entry: Entry) -> None:
        logger.error("an entry that PostgreSQL does not take was put aside", extra={"shard": shard})
        keys = (stream_key(shard), dead_key(shard))
        await self._redis.eval(_BURY, 2, *keys, GROUP, entry[0], DEAD_BOUND, DEAD_EXPIRY_S)
        self.stats.dead += 1


def _streams(found: Any) -> list[tuple[bytes, list[Entry]]]:
    """redis-py answers a list of pairs or, with RESP3, a mapping."""
    if not found:
        return []
    if isinstance(found, dict):
        return [(stream, [entry for part in parts for entry in part]) for stream, parts in found.items()]
    return [(stream, entries) for stream, entries in found]
