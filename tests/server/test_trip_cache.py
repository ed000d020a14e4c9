"""Recommendations in Redis in front of the table: never past their time, either store may be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from redis.asyncio import Redis

from db.context import context_hash
from db.pool import Pool, connect
from server import trip_cache as module
from server.redis_link import connect_redis
from server.trip_cache import TripCache, TripCacheUnavailable, key
from tests.server.lives import Closed, now_ms

HASH = context_hash(minutes=180, budget_max=30_000, weather="clear")
OTHER = context_hash(minutes=180, budget_max=30_000, weather="rain")
TRIPS = {"trips": [3, 1, 2], "title": "서울숲 산책"}
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def party_database(migrated_database: str) -> str:
    """One for each test: rows are counted here."""
    return migrated_database


@pytest.fixture
async def pool(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    pool = await connect(role_url("backend"), min_size=1, max_size=4, application_name="backend")
    yield pool
    pool.terminate()


@pytest.fixture
async def redis(any_redis_url: str) -> AsyncIterator[Redis]:
    link = connect_redis(any_redis_url)
    yield link.client
    await link.aclose()


@pytest.fixture
async def no_redis() -> AsyncIterator[Redis]:
    client = Redis.from_url(NOWHERE, socket_connect_timeout=0.2)
    yield client
    await client.aclose()


@pytest.fixture
def cache(pool: Pool, redis: Redis) -> TripCache:
    return TripCache(pool=pool, redis=redis)


async def test_what_was_put_is_got_from_redis_and_after_a_flush_from_the_table(
    cache: TripCache, redis: Redis
) -> None:
    assert await cache.get(HASH) is None
    await cache.put(HASH, TRIPS, 60)
    reads = cache.table_reads
    assert await cache.get(HASH) == TRIPS
    assert (cache.hits, cache.table_reads) == (1, reads)
    await redis.flushall()
    assert await cache.get(HASH) == TRIPS
    assert cache.table_reads == reads + 1
    assert await cache.get(HASH) == TRIPS, "the read filled Redis"
    assert cache.table_reads == reads + 1
    assert await cache.get(OTHER) is None


async def test_the_copy_ends_when_the_row_does(
    cache: TripCache, redis: Redis, superuser: asyncpg.Connection
) -> None:
    await cache.put(HASH, TRIPS, 60)
    row_ends = await superuser.fetchval(
        "SELECT floor(extract(epoch FROM valid_until) * 1000)::bigint FROM trip_cache"
    )
    assert await redis.pexpiretime(key(HASH)) == row_ends
    await redis.flushall()
    await cache.get(HASH)
    assert await redis.pexpiretime(key(HASH)) == row_ends


async def test_nothing_is_served_past_its_time(
    pool: Pool, redis: Redis, superuser: asyncpg.Connection
) -> None:
    ahead = TripCache(pool=pool, redis=redis, clock=lambda: now_ms() + 61_000)
    cache = TripCache(pool=pool, redis=redis)
    await cache.put(HASH, TRIPS, 60)
    assert await ahead.get(HASH) is None, "by this process's clock"
    assert await cache.get(HASH) == TRIPS
    await cache.put(OTHER, TRIPS, 1)
    await asyncio.sleep(1.1)
    assert await cache.get(OTHER) is None, "by the stores' clocks"
    await redis.flushall()
    await superuser.execute(
        "UPDATE trip_cache SET created_at = now() - interval '2 h', valid_until = now() - interval '1 h'"
    )
    assert await cache.get(HASH) is None
    assert await redis.exists(key(HASH)) == 0


async def test_a_newer_one_takes_its_place(cache: TripCache, redis: Redis) -> None:
    await cache.put(HASH, TRIPS, 60)
    await cache.put(HASH, {"trips": []}, 30)
    assert await cache.get(HASH) == {"trips": []}
    await redis.flushall()
    assert await cache.get(HASH) == {"trips": []}


async def test_redis_away_the_table_answers(pool: Pool, no_redis: Redis) -> None:
    cache = TripCache(pool=pool, redis=no_redis)
    await cache.put(HASH, TRIPS, 60)
    assert await cache.get(HASH) == TRIPS
    assert cache.failures >= 2
    with pytest.raises(TripCacheUnavailable, match="again"):
        await cache.invalidate(HASH)
    assert await cache.get(HASH) is None


async def test_the_table_away_redis_answers(
    cache: TripCache, redis: Redis, pool: Pool, party_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cache.put(HASH, TRIPS, 60)
    async with Closed(party_database):
        assert await cache.get(HASH) == TRIPS
        assert await cache.get(OTHER) is None
        await cache.put(OTHER, TRIPS, 60)
        assert await cache.get(OTHER) == TRIPS
        await redis.flushall()
        assert await cache.get(HASH) is None
    assert cache.failures >= 3


async def test_both_away_says_so(pool: Pool, no_redis: Redis, party_database: str) -> None:
    cache = TripCache(pool=pool, redis=no_redis)
    async with Closed(party_database):
        assert await cache.get(HASH) is None
        with pytest.raises(TripCacheUnavailable, match="neither"):
            await cache.put(HASH, TRIPS, 60)


async def test_concurrent_misses_read_the_table_once(cache: TripCache, redis: Redis) -> None:
    await cache.put(HASH, TRIPS, 60)
    await redis.flushall()
    before = cache.table_reads
    assert await asyncio.gather(*(cache.get(HASH) for _ in range(50))) == [TRIPS] * 50
    assert cache.table_reads == before + 1


async def test_who_leaves_does_not_take_the_others_answer_along(cache: TripCache, redis: Redis) -> None:
    await cache.put(HASH, TRIPS, 60)
    await redis.flushall()
    first = asyncio.ensure_future(cache.get(HASH))
    while not cache._reading:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(cache.get(HASH))
    first.cancel()
    assert await second == TRIPS


async def test_a_read_that_began_before_does_not_bring_a_forgotten_one_back(
    cache: TripCache, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cache.put(HASH, TRIPS, 60)
    await redis.flushall()
    slow, go_on = asyncio.Event(), asyncio.Event()
    read = module.table.read

    async def read_slowly(*values: object) -> object:
        kept = await read(*values)  # type: ignore[arg-type]
        slow.set()
        await go_on.wait()
        return kept

    monkeypatch.setattr(module.table, "read", read_slowly)
    reading = asyncio.ensure_future(cache.get(HASH))
    await slow.wait()
    await cache.invalidate(HASH)
    go_on.set()
    await reading
    monkeypatch.undo()
    assert await cache.get(HASH) is None
    await cache.put(HASH, {"trips": [9]}, 60)
    assert await cache.get(HASH) == {"trips": [9]}, "a mark does not keep a new one out"


async def test_what_does_not_decode_is_a_miss(cache: TripCache, redis: Redis) -> None:
    await cache.put(HASH, TRIPS, 60)
    await redis.set(key(HASH), b"\xc1 nonsense", px=60_000)
    assert await cache.get(HASH) == TRIPS


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"trips": "x" * 300_000}, "at most"),
        ({"trips": [1] * 100_000}, "trip_cache_payload_size"),
        ({"trips": "\x00"}, "NUL"),
        ({"trips": object()}, "JSON object"),
        ([1, 2], "JSON object"),
    ],
)
async def test_a_bad_payload_is_refused_and_kept_nowhere(
    cache: TripCache, redis: Redis, superuser: asyncpg.Connection, payload: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        await cache.put(HASH, payload, 60)
    assert await redis.keys("trip:*") == []
    assert await superuser.fetchval("SELECT count(*) FROM trip_cache") == 0


@pytest.mark.parametrize("valid_for_s", [0, -1, 10**9])
async def test_a_time_has_bounds(cache: TripCache, valid_for_s: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        await cache.put(HASH, TRIPS, valid_for_s)


@pytest.mark.parametrize("wrong", ["", "abc", HASH.upper(), HASH + "0", "../" + HASH])
async def test_a_hash_that_is_none_is_refused(cache: TripCache, wrong: str) -> None:
    for call in (cache.get(wrong), cache.put(wrong, TRIPS, 60), cache.invalidate(wrong)):
        with pytest.raises(ValueError, match="64 hexadecimal"):
            await call
