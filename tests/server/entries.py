"""Entries as gateways add them, and what is left of them in Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from redis.asyncio import Redis

from db.fence import SHARDS, shard_of
from db.positions import pack_row
from server.consumer import Consumer
from server.streams import GROUP, decode_commit, stream_key
from tests.server.lives import Hosted, Life, now_ms

GATEWAY = "0123456789abcdef"


def start_of(ago_windows: int = 2) -> int:
    return (now_ms() // 5000 - ago_windows) * 5000


def row(hosted: Hosted, start: int, lat: float = 37.5, precision: str = "exact", acc: float = 5.0) -> bytes:
    return pack_row(hosted.id, hosted.host_user_id, start, 250, lat, 127.0, acc, precision)


async def put(redis: Redis, hosted: Hosted, *rows: bytes, gateway: str = GATEWAY) -> str:
    return await put_bytes(redis, shard_of(hosted.id), b"".join(rows), gateway)


async def put_bytes(redis: Redis, shard: int, data: bytes, gateway: str = GATEWAY) -> str:
    entry: bytes = await redis.xadd(stream_key(shard), {"g": gateway, "d": data})
    return entry.decode()


class Told:
    """What a gateway hears."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub
        self.heard: list[tuple[int, str, list[Any]]] = []

    async def next(self) -> tuple[int, str, list[Any]]:
        message = None
        async with asyncio.timeout(30):
            while message is None:
                message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
        self.heard.append(decode_commit(message["data"]))
        return self.heard[-1]

    async def nothing(self) -> bool:
        return await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0.3) is None


async def join_all(redis: Redis) -> None:
    for shard in range(SHARDS):
        await Consumer(redis, shard, "anybody").join()


async def windows(superuser: asyncpg.Connection, hosted: Hosted) -> list[int]:
    found = await superuser.fetch(
        "SELECT (extract(epoch FROM recorded_at) * 1000)::bigint AS start FROM party_positions "
        "WHERE session_id = $1 ORDER BY 1",
        hosted.id,
    )
    return [record["start"] for record in found]


async def left_in(redis: Redis, shard: int) -> tuple[int, int]:
    """(entries, pending entries) of a stream."""
    key = stream_key(shard)
    return await redis.xlen(key), (await redis.xpending(key, GROUP))["pending"]


async def all_done(redis: Redis) -> bool:
    """No shard has an entry, and no writer holds one."""
    return all([await left_in(redis, shard) == (0, 0) for shard in range(SHARDS)])


async def one_a_shard(life: Life) -> list[Hosted]:
    """A session in each shard, in their order."""
    found: dict[int, Hosted] = {}
    while len(found) < SHARDS:
        hosted = await life.host()
        found[shard_of(hosted.id)] = hosted
    return [found[shard] for shard in range(SHARDS)]
