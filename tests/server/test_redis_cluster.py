"""The same over a Redis Cluster: batches and acks, erasure, steering. The tests are other modules', the Redis is not.

And what only a Cluster's client can do wrong.
"""

from __future__ import annotations

import asyncio

import pytest

from db.fence import SHARDS
from server.redis_link import connect_redis
from server.streams import GROUP, stream_key

# ruff: noqa: F401
from tests.server.test_erasure import (
    test_a_writer_that_died_with_entries_of_theirs_is_taken_over_at_once,
    test_an_entry_that_is_put_aside_afterwards_is_taken_as_it_lies_there,
    test_entries_that_a_writer_holds_at_this_moment,
    test_what_is_on_its_way_goes_and_the_others_rows_arrive,
    test_what_was_put_aside_goes_too,
)
from tests.server.test_flusher import (
    listening,
    test_a_commit_settles_windows_and_acks_the_fixes_of_them,
    test_only_what_is_shown_is_cached,
)


@pytest.fixture
def redis_url(redis_cluster_url: str) -> str:
    """Instead of the one server."""
    return redis_cluster_url


async def test_many_first_commands_at_once(redis_url: str) -> None:
    """Before it knows where keys are, redis-py tries any node, and then closes what others are using."""
    link = connect_redis(redis_url)

    async def use(shard: int) -> None:
        key = stream_key(shard % SHARDS)
        await link.client.xadd(key, {"d": b"x"})
        await link.client.xread({key: "0"}, block=1)
        pipeline = link.client.pipeline(transaction=False)
        pipeline.xlen(key)
        await pipeline.execute()

    await asyncio.gather(*map(use, range(64)))
    assert [await link.client.xlen(stream_key(shard)) for shard in range(SHARDS)] == [8] * SHARDS
    await link.aclose()


async def test_waiting_readers_are_not_disturbed_by_a_new_map(redis_url: str) -> None:
    link = connect_redis(redis_url)
    for shard in range(SHARDS):
        await link.client.xgroup_create(stream_key(shard), GROUP, id="0", mkstream=True)
    reading = [
        asyncio.ensure_future(link.client.xreadgroup(GROUP, "w", {stream_key(shard): ">"}, block=20_000))
        for shard in range(SHARDS)
    ]
    await asyncio.sleep(0.2)
    await link.client.aclose()  # as redis-py does to read the map anew
    await link.refresh()
    for shard in range(SHARDS):
        await link.client.xadd(stream_key(shard), {"d": b"%d" % shard})
    answers = await asyncio.gather(*reading)
    assert [str(shard).encode() in repr(answer).encode() for shard, answer in enumerate(answers)] == [
        True
    ] * 8
    await link.aclose()
