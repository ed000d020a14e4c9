"""Entries become rows once, and nobody is told before the commit (G1, G2); bad entries harm no others."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.embedded import Stack
from db.fence import SHARDS, shard_of
from db.pool import DatabaseUnavailable, connect
from db.positions import pack_row
from db.retention import make_partitions_ahead
from protocol.precision import Precision
from server.streams import GROUP, commits_channel, dead_key, stream_key
from server.writer import Writer
from tests.conftest import NATIVE
from tests.server.entries import (
    GATEWAY,
    Told,
    join_all,
    left_in,
    put,
    put_bytes,
    row,
    start_of,
    windows,
)
from tests.server.lives import Closed, Hosted, Life, a_life, a_writer, eventually, roles_of, running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop is seen after a wait for entries: nothing of the guarantees, only of the time that tests take."""
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)
    monkeypatch.setattr("server.writer.RETRY_S", 0.05)


@pytest.fixture
async def told(life: Life) -> AsyncIterator[Told]:
    async with life.redis.pubsub() as pubsub:
        await pubsub.subscribe(commits_channel(GATEWAY))
        yield Told(pubsub)


async def test_an_entry_becomes_rows_and_then_its_gateway_is_told(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host()
    start = start_of()
    entry = await put(life.redis, hosted, row(hosted, start), row(hosted, start + 5000))
    async with running(writer.run):
        assert await told.next() == (shard_of(hosted.id), entry, [])
        assert await windows(superuser, hosted) == [start, start + 5000], "told before the commit"
    assert await left_in(life.redis, shard_of(hosted.id)) == (0, 0)
    assert (writer.stats.rows, writer.stats.entries, writer.stats.failures) == (2, 1, 0)


async def test_the_refused_rows_are_told_with_their_reasons(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host("rough")
    start = start_of()
    entry = await put(life.redis, hosted, row(hosted, start), row(hosted, start + 5000, precision="rough"))
    async with running(writer.run):
        refused = (hosted.id, hosted.host_user_id, start, "precision")
        assert await told.next() == (shard_of(hosted.id), entry, [refused])
    assert await windows(superuser, hosted) == [start + 5000]
    assert (writer.stats.rows, writer.stats.refused) == (1, 1)


async def test_each_gateway_is_told_of_its_own_entries(life: Life, writer: Writer, told: Told) -> None:
    hosted = await life.host()
    async with life.redis.pubsub() as pubsub:
        await pubsub.subscribe(commits_channel("another"))
        another = Told(pubsub)
        mine = await put(life.redis, hosted, row(hosted, start_of()))
        others = await put(life.redis, hosted, row(hosted, start_of(3)), gateway="another")
        async with running(writer.run):
            assert (await told.next())[1] == mine
            assert (await another.next())[1] == others
            assert await told.nothing()


async def test_a_writer_that_died_between_commit_and_xack_leaves_the_same_rows(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told,
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hosted = await life.host()
    shard, starts = shard_of(hosted.id), [start_of(n) for n in (4, 3, 2)]
    entries = [await put(life.redis, hosted, row(hosted, start)) for start in starts]

    class Killed(BaseException):
        """As sudden as a SIGKILL: nothing of the writer's own handles it."""

    async def killed(*_: object) -> None:
        raise Killed

    async with a_writer(role_url("writer"), redis_url) as first:
        monkeypatch.setattr(first, "_tell", killed)
        with pytest.raises(Killed):
            await first.run(asyncio.Event())
    assert await windows(superuser, hosted) == starts
    assert await left_in(life.redis, shard) == (3, 3)
    assert await told.nothing()

    later = await put(life.redis, hosted, row(hosted, start_of(1)))
    async with a_writer(role_url("writer"), redis_url) as second, running(second.run):
        assert [(await told.next())[1] for _ in range(4)] == [*entries, later], "pending ones first"
    assert (
        await windows(superuser, hosted) == [*starts, start_of(1)]
        or len(await windows(superuser, hosted)) == 4
    )
    assert await left_in(life.redis, shard) == (0, 0)
    assert second.stats.rows == 1, "a row was inserted twice"


async def two_shards(life: Life) -> tuple[Hosted, Hosted]:
    first = await life.host()
    while shard_of((second := await life.host()).id) == shard_of(first.id):
        pass
    return first, second


async def test_a_shard_that_waits_for_a_tightening_holds_up_no_other(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    held, other = await two_shards(life)
    async with AsyncExitStack() as ending:
        async with superuser.transaction():
            await superuser.execute("SELECT take_fence($1)", shard_of(held.id))
            waiting = await put(life.redis, held, row(held, start_of(3)))
            free = await put(life.redis, other, row(other, start_of(3)))
            await ending.enter_async_context(running(writer.run))  # now, so that one round has both
            assert (await told.next())[1] == free
            assert await told.nothing()
        assert (await told.next())[1] == waiting


async def test_a_shard_that_fails_takes_no_other_with_it(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, other = await two_shards(life)
    commit, failures = writer._commit, [asyncpg.DiskFullError()]

    async def fail_once(shard: int, payloads: list[bytes]) -> Any:
        if shard == shard_of(failing.id) and failures:
            raise failures.pop()
        return await commit(shard, payloads)

    monkeypatch.setattr(writer, "_commit", fail_once)
    entries = {await put(life.redis, one, row(one, start_of(3))) for one in (failing, other)}
    async with running(writer.run):
        assert {(await told.next())[1], (await told.next())[1]} == entries
        assert await told.nothing()
    assert (writer.stats.failures, writer.stats.rows) == (1, 2)
    for one in (failing, other):
        assert await left_in(life.redis, shard_of(one.id)) == (0, 0)
        assert len(await windows(superuser, one)) == 1


def field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


INT8 = field(struct.pack(">q", 8))
POISON = {
    "no row at all": b"\x00garbage of somebody\xff",
    "another number of fields": struct.pack(">h", 3) + INT8 * 3,
    "a number too short": struct.pack(">h", 7) + field(b"\x00\x01") + INT8 * 6,
    "a field of two gigabytes": struct.pack(">h", 7) + struct.pack(">i", 2**31 - 1) + b"x",
    "a field of a negative length": struct.pack(">h", 7) + struct.pack(">i", -7) + b"x" * 80,
    "cut off": b"",  # made below from a good row
    "a null": struct.pack(">h", 7) + struct.pack(">i", -1) * 7,
    "a place that is none": b"",
    "a time without end": b"",
    "a time before all time": b"",
    "of another shard": b"",
    "an end before its time": struct.pack(">h", -1) + b"more",
}


def poison(kind: str, hosted: Hosted) -> bytes:
    good = row(hosted, start_of(9))
    when = 2 + 12 + 12 + 4
    match kind:
        case "cut off":
            return good[:-3]
        case "a place that is none":
            return good.replace(struct.pack(">i", 25), struct.pack(">i", 25), 1).replace(
                struct.pack(">i", 4326), struct.pack(">i", 77), 1
            )
        case "a time without end":
            return good[:when] + struct.pack(">q", 2**63 - 1) + good[when + 8 :]
        case "a time before all time":
            return good[:when] + struct.pack(">q", -(2**63)) + good[when + 8 :]
        case "of another shard":
            return pack_row(hosted.id + 1, hosted.host_user_id, start_of(9), 0, 37.5, 127.0, None, "exact")
        case _:
            return POISON[kind]


async def test_poison_entries_are_put_aside_and_hold_up_nobody(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host()
    shard, good, bad = shard_of(hosted.id), {}, []
    for n, kind in enumerate(POISON):
        start = start_of(3 + n)
        good[await put(life.redis, hosted, row(hosted, start))] = start
        bad.append(poison(kind, hosted))
        await put_bytes(life.redis, shard, bad[-1])
    async with running(writer.run):
        assert {(await told.next())[1] for _ in good} == set(good)
        await eventually(lambda: writer.stats.dead == len(bad))
        assert await told.nothing(), "somebody was told of rows that are not stored"
    assert await windows(superuser, hosted) == sorted(good.values())
    assert await left_in(life.redis, shard) == (0, 0)
    assert writer.stats.failures == 0
    put_aside = [dead for _, dead in await life.redis.xrange(dead_key(shard))]
    assert all(dead.pop(b"why").decode().isidentifier() for dead in put_aside)
    assert put_aside == [{b"g": GATEWAY.encode(), b"d": data} for data in bad]
    assert 0 < await life.redis.ttl(dead_key(shard)) <= 86_400


async def test_an_entry_without_rows_is_put_aside(life: Life, writer: Writer, told: Told) -> None:
    await life.redis.xadd(stream_key(3), {"some": "thing", "g": GATEWAY})
    async with running(writer.run):
        await eventually(lambda: writer.stats.dead)
        assert await told.nothing()
    assert await life.redis.xlen(stream_key(3)) == 0


async def test_a_pending_entry_that_was_deleted_is_not_told_as_committed(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    """G1: nothing of it is in PostgreSQL, so its gateway must find it missing and hand it over again."""
    hosted = await life.host()
    key = stream_key(shard_of(hosted.id))
    await join_all(life.redis)
    gone = await put(life.redis, hosted, row(hosted, start_of(3)))
    kept = await put(life.redis, hosted, row(hosted, start_of(2)))
    await life.redis.xreadgroup(GROUP, "w", {key: ">"})
    await life.redis.xdel(key, gone)
    async with running(writer.run):
        assert (await told.next())[1] == kept
        assert await told.nothing()
        await eventually(lambda: left(life.redis, shard_of(hosted.id)))
    assert len(await windows(superuser, hosted)) == 1


async def left(redis: Redis, shard: int) -> bool:
    return await left_in(redis, shard) == (0, 0)


async def test_redis_that_comes_back_empty_gets_its_groups_again(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host()
    async with running(writer.run):
        await put(life.redis, hosted, row(hosted, start_of(3)))
        await told.next()
        await life.redis.flushall()
        await put(life.redis, hosted, row(hosted, start_of(2)))
        await told.next()
    assert len(await windows(superuser, hosted)) == 2
    assert writer.stats.failures == 0, "a missing group is no failure"
    assert all([await life.redis.exists(stream_key(shard)) for shard in range(SHARDS)])


async def test_without_postgresql_entries_stay_and_the_writer_comes_back_by_itself(
    life: Life, writer: Writer, told: Told, party_database: str
) -> None:
    hosted = await life.host()
    async with running(writer.run):
        await put(life.redis, hosted, row(hosted, start_of(4)))
        await told.next()
        async with Closed(party_database):
            entry = await put(life.redis, hosted, row(hosted, start_of(3)))
            await eventually(lambda: writer.stats.failures > 1)
            assert await told.nothing()
            assert await left_in(life.redis, shard_of(hosted.id)) == (1, 1)
        assert (await told.next())[1] == entry
    stored = await asyncpg.connect(party_database)
    assert len(await windows(stored, hosted)) == 2
    await stored.close()


@pytest.mark.skipif(not NATIVE, reason="a hypertable makes its own chunks")
async def test_without_a_partition_entries_stay_until_the_keeper_has_made_it(
    life: Life,
    writer: Writer,
    told: Told,
    superuser: asyncpg.Connection,
    role_url: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hosted = await life.host()
    await superuser.execute(
        "SELECT drop_positions_chunk(chunk) FROM positions_chunks() WHERE range_end > now() - INTERVAL '1 hour'"
    )
    async with running(writer.run):
        entry = await put(life.redis, hosted, row(hosted, start_of(3)))
        await eventually(lambda: writer.stats.failures > 1)
        assert await told.nothing()
        assert writer.stats.dead == 0
        assert await left_in(life.redis, shard_of(hosted.id)) == (1, 1)
        [waiting] = [record for record in caplog.records if "entries wait" in record.message]
        assert "start the keeper" in waiting.__dict__["error"]
        keeper = await connect(role_url("keeper"), min_size=1, max_size=1, application_name="keeper")
        await make_partitions_ahead(keeper)
        await keeper.close()
        assert (await told.next())[1] == entry
    assert len(await windows(superuser, hosted)) == 1


async def test_stop_finishes_the_round(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = await life.host()
    stop = asyncio.Event()
    commit = writer._commit

    async def stopped_meanwhile(shard: int, payloads: list[bytes]) -> Any:
        stop.set()
        return await commit(shard, payloads)

    monkeypatch.setattr(writer, "_commit", stopped_meanwhile)
    entry = await put(life.redis, hosted, row(hosted, start_of()))
    await writer.run(stop)
    assert (await told.next())[1] == entry
    assert await left_in(life.redis, shard_of(hosted.id)) == (0, 0)
    await writer.run(stop)  # stopped already: nothing is read


async def test_a_writer_under_another_name_takes_over_what_a_dead_one_left(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container gets a new name each time; what its predecessor had read must not wait for ever."""
    hosted = await life.host()
    monkeypatch.setattr("server.consumer.CLAIM_IDLE_MS", 200)
    monkeypatch.setattr("server.writer.CARE_S", 0.1)
    async with a_writer(role_url("writer"), redis_url, "first"):
        await join_all(life.redis)
        entry = await put(life.redis, hosted, row(hosted, start_of()))
        await life.redis.xreadgroup(GROUP, "first", {stream_key(shard_of(hosted.id)): ">"})
    async with a_writer(role_url("writer"), redis_url, "second") as second, running(second.run):
        assert (await told.next())[1] == entry


@pytest.mark.slow
async def test_servers_that_are_killed_and_restarted(own_stack: Stack) -> None:
    from db import migrate

    migrate.upgrade(own_stack.database_url)
    role = roles_of(own_stack.database_url)
    async with AsyncExitStack() as stack:
        life = await stack.enter_async_context(a_life(role("gateway"), own_stack.redis_url))
        hosted = await life.host()
        w = await stack.enter_async_context(a_writer(role("writer"), own_stack.redis_url))
        await stack.enter_async_context(running(w.run))
        now = start_of()
        for n, server in enumerate((own_stack.redis, own_stack.postgres, own_stack.redis), 1):
            failures = w.stats.failures
            await asyncio.to_thread(server.kill)
            if server is own_stack.postgres:
                await put(life.redis, hosted, row(hosted, now - 100_000))  # waits there meanwhile
            await eventually(lambda failures=failures: w.stats.failures > failures, 60)
            await asyncio.to_thread(server.start)
            with suppress(RedisError):  # the client's own connection was cut as well
                await life.redis.ping()
            await put(life.redis, hosted, row(hosted, now - n * 5000))
            await eventually(lambda n=n: w.stats.rows == n + (n > 1), 60)
        superuser = await asyncpg.connect(own_stack.database_url)
        assert len(await windows(superuser, hosted)) == 4
        await superuser.close()


async def test_a_pool_needs_a_database_that_answers() -> None:
    with pytest.raises(DatabaseUnavailable) as raised:
        await connect(
            "postgresql://partyline_writer:a-secret@127.0.0.1:1/x",
            min_size=1,
            max_size=1,
            application_name="w",
        )
    assert "a-secret" not in str(raised.value)


async def test_the_wire_s_precisions_are_the_writer_s(life: Life) -> None:
    """What a gateway packs is what PostgreSQL judges: one list of words."""
    hosted = await life.host()
    for precision in (Precision.EXACT, Precision.ROUGH):
        assert row(hosted, start_of(), precision=precision.value)
