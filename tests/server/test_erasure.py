"""Nothing of the erased stays in PostgreSQL, memory or Redis (G7), and what others have on its way arrives (G1)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from db import sessions as store
from db.fence import SHARDS, shard_of
from db.positions import commit_rows, pack_row
from protocol import messages as wire
from protocol.close_codes import CloseCode
from server.session import Member
from server.snapshots import key, mask_key
from server.streams import GROUP, dead_key, stream_key
from server.writer import Writer
from tests.server.lives import (
    SEOUL,
    Closed,
    Hosted,
    Life,
    Lives,
    eventually,
    member_of,
    now_ms,
    running,
    said,
)
from tests.server.parties import RecordingSocket
from tests.server.test_flusher import hearing

PLACE = 37.1234567890123
"""A latitude that nobody else is at."""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)
    monkeypatch.setattr("server.writer.RETRY_S", 0.05)


async def erase(life: Life, user_id: int) -> store.Receipt:
    return await life.gateway.erasures.erase(user_id)


async def kept_in(redis: Redis) -> bytes:
    """Every key, its name, and its bytes as Redis would copy them elsewhere: deleted entries that linger, too."""
    await redis.config_set("rdbcompression", "no")  # or a search would find nothing that is there
    kept = [redis_key + (await redis.dump(redis_key) or b"") async for redis_key in redis.scan_iter()]
    return b"\n".join(kept)


def traces(user_id: int, lat: float = PLACE) -> list[bytes]:
    return [
        struct.pack(order + kind, value) for order in "<>" for kind, value in (("q", user_id), ("d", lat))
    ]


async def found_in(redis: Redis, user_id: int) -> list[bytes]:
    kept = await kept_in(redis)
    return [trace for trace in traces(user_id) if trace in kept]


async def a_large_number(superuser: asyncpg.Connection) -> None:
    """So that a search for a user's number finds that and nothing else."""
    await superuser.execute(
        "SELECT setval(name, greatest(2199023255552, nextval(name) + 1000)) "
        "FROM pg_get_serial_sequence('users', 'id') AS name"
    )


async def crowd(life: Life, superuser: asyncpg.Connection) -> tuple[Hosted, RecordingSocket, RecordingSocket]:
    """A host, and Ana, who is to be erased."""
    await a_large_number(superuser)
    hosted = await life.host()
    host, ana = await life.resume(hosted.host_token), await life.join(hosted)
    return hosted, host, ana


def fixes(life: Life, host: RecordingSocket, ana: RecordingSocket, seq: int) -> None:
    """Both in one window, and so in one entry."""
    at = now_ms() - 60_000 + seq * 5_000
    life.fix(host, seq, at)
    life.fix(ana, seq, at, lat=PLACE)


def acks(socket: RecordingSocket) -> list[int]:
    return [ack.seq for ack in said(socket, wire.Ack)]


async def rows_of(superuser: asyncpg.Connection, hosted: Hosted) -> list[tuple[int, int]]:
    found = await superuser.fetch(
        "SELECT user_id, count(*) AS n FROM party_positions WHERE session_id = $1 GROUP BY 1", hosted.id
    )
    return [(row["user_id"], row["n"]) for row in found]


@pytest.mark.parametrize("role", ["member", "host"])
@pytest.mark.parametrize("precision", ["exact", "rough"])
async def test_nothing_of_the_erased_stays(
    life: Life, superuser: asyncpg.Connection, role: str, precision: str
) -> None:
    await a_large_number(superuser)
    hosted = await life.host(precision)
    host, ana = await life.resume(hosted.host_token), await life.join(hosted)
    erased, other = (ana, host) if role == "member" else (host, ana)
    user_id = member_of(erased).user_id
    life.fix(host, 1, now_ms() - 6_000, lat=PLACE)
    life.fix(ana, 1, now_ms() - 6_000, lat=PLACE)
    await life.flush()
    assert await life.redis.exists(mask_key(user_id)) is int(precision == "rough")
    life.fix(erased, 2, now_ms() - 1_000)
    receipt = await erase(life, user_id)
    assert (receipt.redis_rows_deleted, receipt.sessions_ended) == (1, int(role == "host"))
    assert erased.closed_with in (CloseCode.BAD_TOKEN, CloseCode.ENDED)
    assert (other.closed_with == CloseCode.ENDED) is (role == "host")
    assert not life.hub.knows_masks_of(user_id)
    await life.flush()
    assert not await life.redis.exists(key(hosted.id), mask_key(user_id))
    assert not [trace for trace in traces(user_id)[::2] if trace in await kept_in(life.redis)]
    row = pack_row(hosted.id, user_id, (now_ms() - 6_000) // 5000 * 5000, 0, *SEOUL, 5.0, "rough")
    refused = (await commit_rows(superuser, [row], shard=shard_of(hosted.id), ttl_hours=168)).refused
    assert [refusal[3] for refusal in refused] == ["gone"]


async def test_what_is_on_its_way_goes_and_the_others_rows_arrive(
    life: Life, writer: Writer, superuser: asyncpg.Connection
) -> None:
    """The writer is away; entries hold rows of both, and some were consumed and linger in the stream's node."""
    hosted, host, ana = await crowd(life, superuser)
    user_id, stream = member_of(ana).user_id, stream_key(shard_of(hosted.id))
    for seq in range(1, 4):
        fixes(life, host, ana, seq)
        await life.flush()
    (first, *_), *others = await life.redis.xrange(stream)
    await life.redis.xdel(stream, first)
    life.hub.batches.committed(shard_of(hosted.id), first.decode(), [])
    assert len(await found_in(life.redis, user_id)) == 2, "the search can find"
    fixes(life, host, ana, 4)  # still in memory
    receipt = await erase(life, user_id)
    assert receipt.finished_at_ms is not None
    assert receipt.redis_rows_deleted == 2
    assert await found_in(life.redis, user_id) == []
    assert [entry for entry, _ in await life.redis.xrange(stream)] == [entry for entry, _ in others]
    await life.flush()
    assert await found_in(life.redis, user_id) == []
    host.said()
    async with hearing(life), running(writer.run):
        await eventually(lambda: len(life.hub.batches) == 0)
    assert acks(host)[-1] == 4
    assert await rows_of(superuser, hosted) == [(hosted.host_user_id, 3)], "the first was acked by hand"
    assert life.hub.stats.resent_batches == 0
    assert await superuser.fetchval("SELECT count(*) FROM party_members WHERE user_id = $1", user_id) == 0


async def test_entries_that_a_writer_holds_at_this_moment(
    life: Life, writer: Writer, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read them, and commits after the erasure: told by the same numbers, stored once, nothing comes back."""
    hosted, host, ana = await crowd(life, superuser)
    user_id, stream = member_of(ana).user_id, stream_key(shard_of(hosted.id))
    reached, go_on, commit = asyncio.Event(), asyncio.Event(), writer._commit

    async def held_up(*arguments: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await commit(*arguments)

    monkeypatch.setattr(writer, "_commit", held_up)
    host.said()
    async with hearing(life), running(writer.run):
        fixes(life, host, ana, 1)
        await life.flush()
        await reached.wait()
        fixes(life, host, ana, 2)
        await life.flush()
        await erase(life, user_id)
        assert await found_in(life.redis, user_id) == []
        go_on.set()
        await eventually(lambda: len(life.hub.batches) == 0)
        await eventually(lambda: _empty(life.redis, stream))
    assert acks(host)[-1] == 2
    assert await rows_of(superuser, hosted) == [(hosted.host_user_id, 2)]
    assert await found_in(life.redis, user_id) == []
    assert (await life.redis.xpending(stream, GROUP))["pending"] == 0
    assert writer.stats.dead == 0


async def _empty(redis: Redis, stream: str) -> bool:
    return await redis.xlen(stream) == 0


async def test_a_writer_that_died_with_entries_of_theirs_is_taken_over_at_once(
    life: Life, writer: Writer, superuser: asyncpg.Connection
) -> None:
    hosted, host, ana = await crowd(life, superuser)
    stream = stream_key(shard_of(hosted.id))
    fixes(life, host, ana, 1)
    await life.flush()
    for shard in range(SHARDS):
        await life.redis.xgroup_create(stream_key(shard), GROUP, id="0", mkstream=True)
    await life.redis.xreadgroup(GROUP, "dead", {stream: ">"})
    await erase(life, member_of(ana).user_id)
    async with hearing(life), running(writer.run):
        await eventually(lambda: len(life.hub.batches) == 0)
    assert await rows_of(superuser, hosted) == [(hosted.host_user_id, 1)]


async def test_what_was_put_aside_goes_too(life: Life, superuser: asyncpg.Connection) -> None:
    hosted, host, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    start = (now_ms() - 6_000) // 5000 * 5000
    theirs = pack_row(hosted.id, user_id, start, 0, PLACE, 127.0, None, "exact")
    others = pack_row(hosted.id, hosted.host_user_id, start, 0, 37.5, 127.0, 5.0, "exact")
    dead = dead_key(shard_of(hosted.id))
    for data in (others + theirs + others, theirs, theirs + b"no row", others, b"\x00\x07 no row", b""):
        await life.redis.xadd(dead, {"g": "somebody", "d": data})
    await life.redis.xadd(dead, {"no": "rows"})
    await life.redis.expire(dead, 1_000)
    ids = [entry for entry, _ in await life.redis.xrange(dead)]
    await erase(life, user_id)
    assert await found_in(life.redis, user_id) == []
    left = [(entry, fields.get(b"d")) for entry, fields in await life.redis.xrange(dead)]
    assert left == [
        *[(ids[0], others + others), (ids[3], others), (ids[4], b"\x00\x07 no row"), (ids[5], b"")],
        (ids[6], None),
    ]
    assert 0 < await life.redis.ttl(dead) <= 1_000


async def test_an_entry_that_is_put_aside_afterwards_is_taken_as_it_lies_there(
    life: Life, writer: Writer, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer read it before the erasure, and finds only then that PostgreSQL does not take it."""
    hosted, host, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def refused(*_: Any) -> Any:
        reached.set()
        await go_on.wait()
        raise ValueError

    monkeypatch.setattr(writer, "_commit", refused)
    async with running(writer.run):
        fixes(life, host, ana, 1)
        await life.flush()
        await reached.wait()
        await erase(life, user_id)
        go_on.set()
        await eventually(lambda: writer.stats.dead > 0)
    assert await life.redis.xlen(dead_key(shard_of(hosted.id))) == 1
    assert await found_in(life.redis, user_id) == []


async def test_new_entries_never_get_the_number_of_one_that_went(
    life: Life, superuser: asyncpg.Connection
) -> None:
    hosted, _, ana = await crowd(life, superuser)
    stream = stream_key(shard_of(hosted.id))
    await life.redis.xadd(stream, {"g": "far", "d": b""}, id="99999999999999-5")
    await life.redis.xdel(stream, "99999999999999-5")
    life.fix(ana, 1, now_ms() - 6_000, lat=PLACE)
    await life.flush()
    ((_, last),) = [(0, (await life.redis.xinfo_stream(stream))["last-generated-id"])]
    await erase(life, member_of(ana).user_id)
    after = await life.redis.xadd(stream, {"g": "x", "d": b""})
    assert [int(part) for part in after.split(b"-")] > [int(part) for part in last.split(b"-")]


async def test_a_flush_that_is_under_way_brings_nothing_back(
    life: Life, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, host, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    under_way, go_on = asyncio.Event(), asyncio.Event()
    pipeline = life.redis.pipeline(transaction=False)
    send = pipeline.execute

    async def held_up(*arguments: Any, **more: Any) -> Any:
        under_way.set()
        await go_on.wait()
        return await send(*arguments, **more)

    monkeypatch.setattr(pipeline, "execute", held_up)
    with monkeypatch.context() as patch:
        patch.setattr(life.redis, "pipeline", lambda **_: pipeline)
        fixes(life, host, ana, 1)
        flush = asyncio.ensure_future(life.flush())
        await under_way.wait()
    erasing = asyncio.ensure_future(erase(life, user_id))
    await asyncio.wait([erasing], timeout=0.3)
    assert not erasing.done()
    go_on.set()
    await asyncio.gather(erasing, flush)
    await life.flush()
    assert await found_in(life.redis, user_id) == []


async def test_rows_of_who_left_before_are_found_as_well(life: Life, superuser: asyncpg.Connection) -> None:
    """Windows outlive a member: they are in no session any more, and still on their way."""
    hosted, host, ana = await crowd(life, superuser)
    member = member_of(ana)
    life.fix(ana, 1, now_ms() - 6_000, lat=PLACE)
    await life.steering.leave(life.session(hosted), member)
    await erase(life, member.user_id)
    await life.flush()
    assert await found_in(life.redis, member.user_id) == []
    assert life.hub.windows.unsettled == 0
    assert _windows_of(life, member) == []


def _windows_of(life: Life, member: Member) -> list[Any]:
    waiting = [window for windows in life.hub.windows._closing.values() for window in windows]
    batches = [*life.hub.batches._unsent, *life.hub.batches._by_entry.values()]
    waiting += [window for batch in batches for window in batch.windows]
    return [window for window in waiting if window.member.user_id == member.user_id]


async def test_a_lost_batch_comes_back_without_them(
    life: Life, writer: Writer, superuser: asyncpg.Connection
) -> None:
    hosted, host, ana = await crowd(life, superuser)
    fixes(life, host, ana, 1)
    await life.flush()
    await erase(life, member_of(ana).user_id)
    assert _windows_of(life, member_of(ana)) == []
    await life.redis.flushall()
    for batch in life.hub.batches.older_than(now_ms() + 1_000, 10):
        life.hub.batches.lost(batch)
    await life.flush()
    assert await found_in(life.redis, member_of(ana).user_id) == []
    async with hearing(life), running(writer.run):
        await eventually(lambda: len(life.hub.batches) == 0)
    assert await rows_of(superuser, hosted) == [(hosted.host_user_id, 1)]


@asynccontextmanager
async def without_redis(life: Life) -> AsyncIterator[None]:
    kwargs = life.redis.connection_pool.connection_kwargs
    port = kwargs["port"]
    await life.redis.connection_pool.disconnect()
    life.redis.connection_pool.reset()
    kwargs["port"] = 1
    yield
    kwargs["port"] = port
    life.redis.connection_pool.reset()


async def test_without_redis_it_is_finished_when_it_is_back(
    life: Life, live: Lives, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.announcer.CONFIRM_MS", 300)
    hosted, host, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    fixes(life, host, ana, 1)
    await life.flush()
    async with without_redis(life):
        receipt = await erase(life, user_id)
        assert receipt.finished_at_ms is None
        assert ana.closed_with == CloseCode.BAD_TOKEN
        assert await superuser.fetchval("SELECT count(*) FROM users WHERE id = $1", user_id) == 0
        await life.gateway.erasures.finish_old(0)
    assert len(await store.unfinished_erasures(life.pool, 0)) == 1
    another = await live()  # ours may have died meanwhile
    await another.gateway.erasures.finish_old()
    assert len(await found_in(life.redis, user_id)) == 2, "its own gateway may be at it"
    await another.gateway.erasures.finish_old(0)
    assert await found_in(life.redis, user_id) == []
    finished = await superuser.fetchrow("SELECT * FROM erasure_receipts WHERE id = $1", receipt.id)
    assert finished["finished_at"] is not None
    assert finished["redis_rows_deleted"] == 1
    assert await store.unfinished_erasures(life.pool, 0) == []


async def test_without_postgresql_nothing_is_half_done(
    life: Life, party_database: str, superuser: asyncpg.Connection
) -> None:
    hosted, host, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    async with Closed(party_database):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await erase(life, user_id)
        await life.gateway.erasures.finish_old(0)
    assert ana.closed_with is None
    assert await eventually(lambda: store.find_user(life.pool, user_id))


async def test_nobody_is_erased_twice(life: Life, superuser: asyncpg.Connection) -> None:
    _, _, ana = await crowd(life, superuser)
    user_id = member_of(ana).user_id
    outcomes = await asyncio.gather(*(erase(life, user_id) for _ in range(3)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoSuchUser", "NoSuchUser", "Receipt"]
    with pytest.raises(LookupError):
        await erase(life, user_id)
