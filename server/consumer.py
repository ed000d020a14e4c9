"""One writer's place in the group of one shard's stream. It knows Redis, and nothing of PostgreSQL.

What a writer was given stays pending under its name until it is settled or put aside. A name that was not
heard of for `CLAIM_IDLE_MS` is taken for dead and its entries are taken over. Should it be alive after all,
both commit the same rows, and the key makes them one (G2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError, ResponseError

from server.batches import Refusals
from server.streams import (
    GROUP,
    commits_channel,
    dead_key,
    encode_commit,
    stream_key,
    weight,
    weight_key,
)

ENTRIES_A_ROUND = 256
"""Entries read from a stream at once; each holds one flush of one gateway and shard."""
CLAIM_IDLE_MS = 6_000
"""An entry whose writer was not heard of for this long is taken over."""
GONE_MS = 60_000
"""A writer with nothing pending that was not heard of for this long is taken out of the group."""

DEAD_BOUND = 100
"""Dead letters kept of a shard, for a person to look at, for a day."""
DEAD_EXPIRY_S = 86_400
DEAD_FIELD_BYTES = 65_536
"""Of a field of a dead letter that is longer, the begin is kept."""

Entry = tuple[bytes, dict[bytes, bytes]]
Publish = Callable[[Any, str, bytes], Any]
"""Queues a message on a pipeline: `(pipeline, channel, data)`."""


def _script(name: str) -> str:
    return (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")


_SETTLE, _BURY, _KEEP, _LEAVE = map(_script, ("settle", "bury", "keep", "leave"))


def publish_plain(pipeline: Any, channel: str, data: bytes) -> None:
    """On one server."""
    pipeline.publish(channel, data)


class Consumer:
    """The writer `name` at the stream of `shard`. Every method raises `RedisError`, `OSError`."""

    def __init__(self, redis: Redis, shard: int, name: str, publish: Publish = publish_plain) -> None:
        self._redis = redis
        self._shard = shard
        self._key = stream_key(shard)
        self._name = name
        self._publish = publish
        self._is_cluster = isinstance(redis, RedisCluster)

    async def read(self, *, pending: bool, block_ms: int) -> list[Entry]:
        """What is pending under our name, or new entries, for which it waits. Makes the group if need be."""
        try:
            found = await self._redis.xreadgroup(
                GROUP,
                self._name,
                {self._key: "0" if pending else ">"},
                count=ENTRIES_A_ROUND,
                block=None if pending else block_ms,
            )
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            await self.join()
            return []
        return entries_of(found)

    async def join(self) -> None:
        """Makes the group where there is none. It begins with the oldest entry."""
        try:
            await self._redis.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def claim(self) -> bool:
        """Takes over what writers left that were not heard of. Whether there was any."""
        try:
            answer = await self._redis.xautoclaim(
                self._key, GROUP, self._name, CLAIM_IDLE_MS, count=ENTRIES_A_ROUND, justid=True
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            return False
        return bool(answer)

    async def keep(self) -> None:
        """What is pending under our name is being worked on."""
        await self._ask(_KEEP, self._name, 2 * ENTRIES_A_ROUND)

    async def tidy(self) -> None:
        """Takes writers out of the group that are gone for long."""
        await self._ask(_LEAVE, "", GONE_MS)

    async def leave(self) -> None:
        """Takes us out of the group, unless something is pending: that is for who takes it over."""
        await self._ask(_LEAVE, self._name, GONE_MS)

    async def _ask(self, script: str, *arguments: str | int) -> None:
        try:
            await self._redis.eval(script, 1, self._key, GROUP, *arguments)
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise

    async def forget(self, entry_ids: Sequence[bytes]) -> None:
        """They were deleted from the stream while they were pending."""
        await self._redis.xack(self._key, GROUP, *entry_ids)

    async def settle(self, entries: Sequence[Entry], refused: Refusals) -> None:
        """They are committed but for the refused rows: out of the stream, and their gateways are told."""
        weights: list[bytes | int] = []
        for entry_id, fields in entries:
            weights += (entry_id, weight(fields[b"d"]))
        script: tuple[Any, ...] = (_SETTLE, 2, self._key, weight_key(self._shard), GROUP, *weights)
        pipeline = self._redis.pipeline(transaction=False)
        if not self._is_cluster:  # one way there and back
            pipeline.eval(*script)
            self._say(pipeline, entries, refused)
            await pipeline.execute()
            return
        await self._redis.eval(*script)
        self._say(pipeline, entries, refused)
        try:
            await pipeline.execute()
        except (RedisError, OSError):
            return  # the channels' nodes are others, and gateways ask for what they did not hear

    def _say(self, pipeline: Any, entries: Sequence[Entry], refused: Refusals) -> None:
        for entry_id, fields in entries:
            gateway = fields.get(b"g", b"").decode("ascii", "replace")
            said = encode_commit((self._shard, entry_id.decode(), refused))
            self._publish(pipeline, commits_channel(gateway), said)

    async def bury(self, entry: Entry, why: str) -> None:
        """Puts an entry aside. Nobody is told: nothing of it was committed (G1)."""
        keys = (self._key, weight_key(self._shard), dead_key(self._shard))
        bounds = (DEAD_BOUND, DEAD_EXPIRY_S, DEAD_FIELD_BYTES)
        weighed = weight(entry[1].get(b"d", b""))
        await self._redis.eval(_BURY, 3, *keys, GROUP, entry[0], weighed, *bounds, why)


def entries_of(found: Any) -> list[Entry]:
    """The entries of one stream: redis-py answers a list of pairs or, with RESP3, a mapping."""
    if not found:
        return []
    if isinstance(found, dict):
        return [entry for parts in found.values() for part in parts for entry in part]
    return [entry for _, entries in found for entry in entries]
