"""Moves closed windows to Redis and commits back to acks (G1). Commit, then publish, then ack.

Every `flush_ms`: snapshots into the sessions' hashes and one stream entry per shard. The writer tells on
`acks:<gateway>` which entries are committed. What Redis lost is handed over again; what Redis does not
take, or a stream that is full, waits here, bounded by the hub's backlog. Both hold fixes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import OutOfMemoryError, RedisError

from protocol.messages import MemberState
from server.batches import Batch, Refusals
from server.filling import Filling, bound_of
from server.hub import Hub
from server.session import Member
from server.settings import Settings
from server.snapshots import add_masks, add_snapshots, forget_snapshots
from server.streams import decode_commit, stream_key, weight, weight_key
from server.windows import Window

UNKNOWN_AFTER_MS = 10_000
"""A batch whose commit was not told for this long is looked up in its stream."""
LOOKUPS = 64
"""Batches looked up at once."""
BATCHES_A_FLUSH = 256
"""Stream entries handed over in one go; the rest waits for the next flush."""
WINDOWS_A_STEP = 512
"""Windows of all members close together: so many of them are handed over at once, and ticks go in between."""

_ADD = (Path(__file__).parent / "add.lua").read_text(encoding="utf-8")

logger = logging.getLogger("partyline.flusher")


def _is_there(member: Member) -> bool:
    """Windows outlive their member; of who has left, was erased, or whose session ended nothing is cached,
    nor of a session that may be coarser by now.
    """
    session = member.session
    return member.state is not MemberState.LEFT and not session.ended and not session.withheld


class Flusher:
    """The gateway's side of the batches."""

    def __init__(
        self, *, hub: Hub, redis: Redis, gateway_id: str, stream_rows: int = Settings.stream_rows
    ) -> None:
        self._hub = hub
        self._redis = redis
        self._gateway_id = gateway_id
        self._flushing = asyncio.Lock()
        self._forget: dict[int, int] = {}
        self._down = False
        self.filling = Filling(bound_of(stream_rows))
        self._is_cluster = isinstance(redis, RedisCluster)

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """While held, no flush is under way."""
        async with self._flushing:
            yield

    def forget_later(self, session_id: int, revision: int) -> None:
        """The session's cached snapshots must go as soon as Redis is there again."""
        self._forget[session_id] = max(revision, self._forget.get(session_id, 0))

    async def flush(self, *, everything: bool = False) -> None:
        """Hands over what is closed (or everything, when draining)."""
        while True:
            async with self._flushing:
                hub, now_ms = self._hub, self._hub.clock()
                closed = hub.windows.take_closed(now_ms, everything=everything, most=WINDOWS_A_STEP)
                hub.batches.collect(closed, now_ms)
                try:
                    await self._hand_over(closed, now_ms)
                    self._mark(down=False)
                except (RedisError, OSError):
                    self._mark(down=True)
                hub.streams_full = bool(self.filling.full)
                hub.hold(now_ms)
                if self._down or len(closed) < WINDOWS_A_STEP:
                    return

    async def _hand_over(self, closed: list[Window], now_ms: int) -> None:
        hub = self._hub
        for window in hub.batches.refuse_finer():
            if window.member.connection is not None:
                hub.want_ack(window.member.connection)
        batches = self.filling.chosen(hub.batches.unsent(), BATCHES_A_FLUSH)
        to_ask = self.filling.to_ask(batches)
        if not (batches or closed or to_ask or self._forget):
            return
        for session_id, revision in list(self._forget.items()):
            await forget_snapshots(self._redis, session_id, revision)
            self._forget.pop(session_id, None)
        pipeline = self._redis.pipeline(transaction=False)
        there = (window.member for window in closed if _is_there(window.member) and hub.may_send())
        members = {id(member): member for member in there}.values()
        snapshots = add_snapshots(pipeline, members)
        add_masks(pipeline, members)
        asked: list[tuple[int, Batch | None]] = [(batch.shard, batch) for batch in batches]
        asked += [(shard, None) for shard in to_ask]
        answers, failure = await self._add(pipeline, asked)
        hub.stats.snapshots += snapshots
        for (shard, batch), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                failure = answer
                if batch is not None and isinstance(answer, OutOfMemoryError):
                    self.filling.answered(shard, refused=True, weighs=0)
            else:
                self._added(shard, batch, answer, now_ms)
        if failure is not None:
            raise failure

    async def _add(
        self, pipeline: Any, asked: list[tuple[int, Batch | None]]
    ) -> tuple[list[Any], BaseException | None]:
        """The streams' answers, each an error if need be, and what went wrong beside them.

        One way there and back. On a Cluster the shards go apart: one that cannot be reached must not hide
        that others have taken theirs, or they would get them again at each flush.
        """
        if not self._is_cluster:
            for shard, batch in asked:
                self._queue(pipeline, shard, batch)
            answers = await pipeline.execute(raise_on_error=False)
            return answers[len(answers) - len(asked) :], None
        pipelines = {shard: self._redis.pipeline(transaction=False) for shard, _ in asked}
        for shard, batch in asked:
            self._queue(pipelines[shard], shard, batch)
        ways = [p.execute(raise_on_error=False) for p in (*pipelines.values(), pipeline)]
        *said, beside = await asyncio.gather(*ways, return_exceptions=True)
        of_shard = {
            shard: iter(one) if isinstance(one, list) else repeat(one)
            for shard, one in zip(pipelines, said, strict=True)
        }
        return [next(of_shard[shard]) for shard, _ in asked], _error(beside)

    def _queue(self, pipeline: Any, shard: int, batch: Batch | None) -> None:
        arguments: tuple[Any, ...] = (self.filling.bound,)
        if batch is not None:
            payload = batch.payload()
            arguments += (self._gateway_id, weight(payload), payload)
        pipeline.eval(_ADD, 2, stream_key(shard), weight_key(shard), *arguments)

    def _added(self, shard: int, batch: Batch | None, answer: Any, now_ms: int) -> None:
        hub = self._hub
        entry_id, weighs = answer
        self.filling.answered(shard, refused=batch is not None and entry_id is None, weighs=weighs)
        if batch is None or entry_id is None:
            return
        hub.stats.batches += 1
        early = hub.batches.sent(batch, entry_id.decode(), now_ms)
        if early is not None:
            self._settle(shard, entry_id.decode(), early)

    async def look_up_unknown(self) -> None:
        """Puts back what the stream has lost; what it still has is waiting for a writer."""
        hub = self._hub
        old: list[Batch] = hub.batches.older_than(hub.clock() - UNKNOWN_AFTER_MS, LOOKUPS)
        if not old:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for batch in old:
            pipeline.xrange(stream_key(batch.shard), batch.entry_id, batch.entry_id, count=1)
        for batch, found in zip(old, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(found, Exception):
                continue
            if not found:
                hub.stats.resent_batches += 1
                hub.batches.lost(batch)
            else:
                batch.since_ms = hub.clock()

    def committed(self, data: bytes) -> None:
        """The writer's word on one entry."""
        try:
            shard, entry_id, refused = decode_commit(data)
        except msgspec.MsgspecError:
            logger.error("a commit could not be read")
            return
        self._settle(shard, entry_id, refused)
        self._hub.say_acks()

    def _settle(self, shard: int, entry_id: str, refused: Refusals) -> None:
        hub, now_ms = self._hub, self._hub.clock()
        windows = hub.batches.committed(shard, entry_id, refused)
        hub.stats.rows_committed += len(windows) - len(refused) if windows else 0
        hub.stats.rows_refused += len(refused) if windows else 0
        for window in windows:
            hub.stats.acked((now_ms - window.opened_ms) / 1000)
            connection = window.member.connection
            if connection is not None:
                hub.want_ack(connection)

    def _mark(self, *, down: bool) -> None:
        if down != self._down:
            self._down = down
            logger.warning("Redis is away: batches wait here" if down else "Redis is back")


def _error(answer: Any) -> BaseException | None:
    return answer if isinstance(answer, BaseException) else None
