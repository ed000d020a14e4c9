"""The writer: batches from Redis into PostgreSQL. Commit, then acknowledge, then tell the gateways.

Any number of writers work beside each other. Each reads every shard by its own; entries stay pending under
its name until their rows are committed, so a writer that dies loses nothing: after any failure it begins
with what is pending, and what another writer has left is taken over. Rows come packed for COPY; this module
never looks at them, and PostgreSQL decides which of them are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg
from redis.asyncio import Redis

from db.fence import SHARDS
from db.positions import PartitionMissing, commit_rows
from server.batches import Refusals
from server.consumer import CLAIM_IDLE_MS, Consumer, Entry, Publish, publish_plain
from server.streams import dead_key, stream_key
from server.verdict import AWAY, Suspects, Verdict, verdict

BLOCK_MS = 1_000
RETRY_S = 0.5
CARE_S = CLAIM_IDLE_MS / 3000
"""How often a writer says that it lives, looks for what others left, and counts what lies in Redis."""
KEEP_S = 60.0
"""A commit that takes longer is no work any more: others may take its entries over."""
TIDY_EVERY = 15
"""Each so many rounds of that, writers that are gone for long are taken out of the groups."""

logger = logging.getLogger("partyline.writer")


class WriterStats:
    """A writer's counts since it started, and what lay in Redis when it looked last."""

    def __init__(self) -> None:
        self.entries = 0
        self.rows = 0
        self.refused = 0
        self.dead = 0
        self.failures = 0
        self.claims = 0
        self.waiting = 0
        self.dead_letters = 0


class Writer:
    """Reads all shards."""

    def __init__(
        self, *, pool: asyncpg.Pool, redis: Redis, name: str, ttl_hours: int, publish: Publish = publish_plain
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._ttl_hours = ttl_hours
        self._consumers = [Consumer(redis, shard, name, publish) for shard in range(SHARDS)]
        self._suspects = Suspects()
        self._busy_since: dict[int, float] = {}
        """Shards whose entries are being committed."""
        self._claimed: set[int] = set()
        """Shards in which something was taken over that is not read yet."""
        self._most: dict[int, int] = {}
        """Shards whose last commit cost the connection, and how many entries the next may have: PostgreSQL
        may be away for a while each time."""
        self._away: set[int] = set()
        self.stats = WriterStats()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: rounds under way are finished, and groups left where nothing is pending."""
        if stop.is_set():
            return
        shards = [asyncio.ensure_future(self._run_shard(shard, stop)) for shard in range(SHARDS)]
        caring = asyncio.ensure_future(self._care(stop))
        try:
            await asyncio.gather(caring, *shards)
        finally:
            for task in (caring, *shards):
                task.cancel()
            await asyncio.wait([caring, *shards])
        for consumer in self._consumers:
            try:
                await consumer.leave()
            except AWAY:  # others take us out in time
                return

    # --- one shard ----------------------------------------------------------------------------------------

    async def _run_shard(self, shard: int, stop: asyncio.Event) -> None:
        """Reads and stores one shard. They share no fence and no row: none waits for another."""
        pending = True
        while not stop.is_set():
            try:
                if shard in self._away:
                    await self._ask_postgresql()
                if shard in self._claimed:
                    self._claimed.discard(shard)
                    pending = True
                pending = await self._round(shard, pending=pending)
                self._mark(shard)
            except AWAY as error:
                pending = True
                self.stats.failures += 1
                self._mark(shard, error)
                await asyncio.sleep(RETRY_S)

    async def _ask_postgresql(self) -> None:
        """Until it answers nothing is read again, so that writers that reach it may take our entries over."""
        async with self._pool.acquire() as connection:
            await connection.execute("SELECT 1")

    def _mark(self, shard: int, error: BaseException | None = None) -> None:
        were_away = bool(self._away)
        if error is None:
            self._away.discard(shard)
            if were_away and not self._away:
                logger.warning("back at work")
            return
        self._away.add(shard)
        if not were_away:
            # Only our own error's text is sure to hold nothing of a row.
            reason = str(error) if isinstance(error, PartitionMissing) else type(error).__name__
            logger.warning("cannot write; entries wait", extra={"error": reason})

    async def _round(self, shard: int, *, pending: bool) -> bool:
        """One read and its commits. Whether there may be more that is pending."""
        entries = await self._consumers[shard].read(pending=pending, block_ms=BLOCK_MS)
        if not entries:
            return False
        self._busy_since[shard] = asyncio.get_running_loop().time()
        try:
            await self._take(shard, entries)
        finally:
            del self._busy_since[shard]
        return pending

    async def _take(self, shard: int, entries: Sequence[Entry]) -> None:
        """Stores what has rows. Of what has none nobody is told: nothing of it was committed (G1)."""
        with_rows = [entry for entry in entries if b"d" in entry[1]]
        most = self._most.get(shard, len(entries))
        for first in range(0, len(with_rows), most):
            await self._write(shard, with_rows[first : first + most])
        self._most.pop(shard, None)
        deleted = [entry_id for entry_id, fields in entries if not fields]
        if deleted:
            await self._consumers[shard].forget(deleted)
        for entry in entries:
            if entry[1] and b"d" not in entry[1]:
                await self._bury(shard, entry, "no rows")

    async def _write(self, shard: int, entries: Sequence[Entry]) -> None:
        """Commits and tells. A poison entry is found by halving, in this same round: it holds up nobody."""
        lost = False
        while True:
            try:
                refused = await self._commit(shard, [fields[b"d"] for _, fields in entries])
                break
            except Exception as error:
                found = Verdict.AWAY if isinstance(error, _NoConnection) else verdict(error)
                if found is Verdict.AWAY:
                    raise
                if found is Verdict.LOST:
                    self._most[shard] = max(len(entries) // 16, 1)
                if len(entries) == 1:
                    if found is Verdict.POISON or self._suspects.lost((shard, entries[0][0])):
                        await self._bury(shard, entries[0], type(error).__name__)
                        return
                elif found is Verdict.POISON or lost:
                    half = len(entries) // 2
                    await self._write(shard, entries[:half])
                    await self._write(shard, entries[half:])
                    return
                lost = True  # once more as they are: most often the connection had been cut before
        if len(self._suspects):
            for entry_id, _ in entries:
                self._suspects.clear((shard, entry_id))
        await self._tell(shard, entries, refused)

    async def _commit(self, shard: int, payloads: list[bytes]) -> Refusals:
        try:
            connection = await self._pool.acquire()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise _NoConnection(type(error).__name__) from None
        try:
            result = await commit_rows(connection, payloads, shard=shard, ttl_hours=self._ttl_hours)
        finally:
            await self._pool.release(connection)
        self.stats.rows += result.inserted
        self.stats.refused += len(result.refused)
        return list(result.refused)

    async def _tell(self, shard: int, entries: Sequence[Entry], refused: Refusals) -> None:
        await self._consumers[shard].settle(entries, refused)
        self.stats.entries += len(entries)

    async def _bury(self, shard: int, entry: Entry, why: str) -> None:
        logger.error(
            "an entry that PostgreSQL does not take was put aside", extra={"shard": shard, "error": why}
        )
        await self._consumers[shard].bury(entry, why)
        self.stats.dead += 1

    # --- now and then -------------------------------------------------------------------------------------

    async def _care(self, stop: asyncio.Event) -> None:
        """Says that we live, takes over what others left, tidies up, counts."""
        turn = 0
        while not stop.is_set():
            with suppress(*AWAY):  # the shards say so
                await self._care_once(tidy=turn % TIDY_EVERY == 0)
            turn += 1
            try:
                await asyncio.wait_for(stop.wait(), CARE_S)
            except TimeoutError:
                continue

    async def _care_once(self, *, tidy: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        for shard, consumer in enumerate(self._consumers):
            since_s = self._busy_since.get(shard)
            if since_s is not None and CARE_S / 2 < now_s - since_s < KEEP_S:
                await consumer.keep()
            if since_s is None and shard not in self._away and await consumer.claim():
                self.stats.claims += 1
                self._claimed.add(shard)
            if tidy:
                await consumer.tidy()
        self.stats.waiting = await self._lengths(stream_key)
        self.stats.dead_letters = await self._lengths(dead_key)

    async def _lengths(self, key: Callable[[int], str]) -> int:
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipeline.xlen(key(shard))
        return sum(await pipeline.execute())


class _NoConnection(OSError):
    """There is no connection to be had: nothing is said of an entry. The text is the error's name."""
