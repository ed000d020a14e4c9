"""A stream's bound holds whoever fills it; gateways then hold, say so, and take fixes again by themselves."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from redis.asyncio import Redis

from db.fence import SHARDS, shard_of
from protocol import messages as wire
from server.filling import bound_of
from server.streams import stream_key, weight_key
from server.writer import Writer
from tests.server.entries import all_done, join_all, windows
from tests.server.lives import (
    Hosted,
    Life,
    Lives,
    a_life,
    a_writer,
    eventually,
    member_of,
    now_ms,
    running,
    said,
    welcome,
)
from tests.server.parties import RecordingSocket

ROWS = 4_000
BOUND = bound_of(ROWS)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)
    monkeypatch.setattr("server.writer.RETRY_S", 0.05)
    monkeypatch.setattr("server.flusher.WINDOWS_A_STEP", 50)


def begin() -> int:
    return (now_ms() - 3_400_000) // 5000 * 5000


async def lies_in(redis: Redis, shard: int) -> int:
    """What the stream's payloads come to, counted one by one."""
    entries = await redis.xrange(stream_key(shard))
    return sum(len(fields[b"d"]) for _, fields in entries or [] if fields)


async def fill(life: Life, phone: RecordingSocket, start: int, most: int = 680) -> int:
    """Sends windows until its gateway holds; how many. The last of them were left out or wait."""
    for seq in range(1, most):
        life.fix(phone, seq, start + seq * 5000)
        if seq % 50 == 0:
            await life.flush()
            if life.hub.holding:
                return seq
    raise AssertionError("it never held")


async def test_the_bound_is_reached_and_left(
    live: Lives, redis_url: str, writer: Writer, superuser: asyncpg.Connection
) -> None:
    """Without a writer. The phone then goes to another gateway with everything: the stream grows no further."""
    first, second = await live(stream_rows=ROWS), await live(stream_rows=ROWS)
    hosted = await first.host()
    shard, start = shard_of(hosted.id), begin()
    phone = await first.join(hosted)
    token = welcome(phone).member_token
    sent = await fill(first, phone, start)
    assert [policy.hold for policy in said(phone, wire.Policy)] == [True]
    assert first.flusher.filling.full == {shard}
    lies = await lies_in(first.redis, shard)
    assert 0 < lies <= BOUND
    entries = await first.redis.xlen(stream_key(shard))
    for _ in range(5):
        await first.flush()
    assert await first.redis.xlen(stream_key(shard)) == entries, "added past the bound"
    assert int(await first.redis.get(weight_key(shard)) or 0) <= BOUND

    # The first gateway dies with what it holds. The phone sends everything again.
    again = await second.resume(token)
    again.said()
    for seq in range(1, sent + 1):
        second.fix(again, seq, start + seq * 5000)
        if seq % 50 == 0:
            await second.flush()
    assert await lies_in(first.redis, shard) <= BOUND
    assert second.hub.holding
    assert [policy.hold for policy in said(again, wire.Policy)] == [True]
    newcomer = await second.join(hosted, "Bo")
    assert second.hub.current_policy().hold
    second.fix(newcomer, 1, start)
    unsettled = second.hub.windows.unsettled
    second.fix(newcomer, 2, start + 5000)
    assert second.hub.windows.unsettled == unsettled, "taken while held"

    # A writer comes: everything drains, the hold ends, what was held is sent and stored.
    async with running(writer.run):

        async def let_go() -> bool:
            await second.flush()
            return not second.hub.holding and not second.hub.batches.unsent()

        await eventually(let_go, 60)
        assert [policy.hold for policy in said(again, wire.Policy)] == [False]
        for seq in range(1, sent + 1):
            second.fix(again, seq, start + seq * 5000)
        await second.flush()
        await eventually(lambda: all_done(first.redis), 60)
    assert not await first.redis.exists(weight_key(shard))
    stored = await windows(superuser, hosted)
    assert stored == [start + 5000 * seq for seq in range(1, sent + 1)]


async def test_a_full_shard_holds_back_no_other_shard_s_batches(life: Life) -> None:
    """Both hold, since a hold is the gateway's; but what the other shard has waiting goes out."""
    life.flusher.filling.bound = 5_000
    full, other = await life.host(), await life.host()
    while shard_of(other.id) == shard_of(full.id):
        other = await life.host()
    start = begin()
    phone, another = await life.join(full), await life.join(other)
    for seq in range(1, 200):
        life.fix(phone, seq, start + seq * 5000)
    life.fix(another, 1, start)
    await life.flush()
    await life.flush()
    assert life.flusher.filling.full == {shard_of(full.id)}
    assert {batch.shard for batch in life.hub.batches.unsent()} == {shard_of(full.id)}
    assert await life.redis.xlen(stream_key(shard_of(other.id))) == 1


async def test_a_redis_without_memory_holds(life: Life) -> None:
    hosted = await life.host()
    phone = await life.join(hosted)
    phone.said()
    life.fix(phone, 1, begin())
    before = str((await life.redis.config_get("maxmemory"))["maxmemory"])
    try:
        await life.redis.config_set("maxmemory", 1)
        await life.flush()
        assert life.hub.holding
        assert [policy.hold for policy in said(phone, wire.Policy)] == [True]
    finally:
        await life.redis.config_set("maxmemory", before)
    await life.flush()
    assert [policy.hold for policy in said(phone, wire.Policy)] == [False]
    assert await life.redis.xlen(stream_key(shard_of(hosted.id))) == 1


@pytest.mark.parametrize(
    "away",
    [
        (
            "ALTER ROLE partyline_writer SET default_transaction_read_only = on",
            "ALTER ROLE partyline_writer RESET ALL",
        ),
        ("ALTER ROLE partyline_writer CONNECTION LIMIT 0", "ALTER ROLE partyline_writer CONNECTION LIMIT -1"),
    ],
    ids=["read-only", "no connections"],
)
async def test_a_database_that_takes_no_rows_fills_the_streams_and_then_holds(
    live: Lives, writer: Writer, superuser: asyncpg.Connection, away: tuple[str, str]
) -> None:
    life = await live(stream_rows=ROWS)
    hosted = await life.host()
    start = begin()
    phone = await life.join(hosted)
    phone.said()
    cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'partyline_writer'"
    async with running(writer.run):
        try:
            await superuser.execute(away[0])
            await superuser.execute(cut)
            sent = await fill(life, phone, start)
            await eventually(lambda: writer.stats.failures > 2)
            assert await lies_in(life.redis, shard_of(hosted.id)) <= BOUND
            assert await windows(superuser, hosted) == []
        finally:
            await superuser.execute(away[1])
            await superuser.execute(cut)

        async def let_go() -> bool:
            await life.flush()
            return not life.hub.holding and not life.hub.batches.unsent()

        await eventually(let_go, 60)
        await eventually(lambda: all_done(life.redis), 60)
    assert writer.stats.dead == 0
    stored = await windows(superuser, hosted)
    assert stored == [start + 5000 * seq for seq in range(1, len(stored) + 1)]
    assert len(stored) >= sent - 50
    assert [policy.hold for policy in said(phone, wire.Policy)] == [True, False]


async def shards_of(life: Life) -> list[tuple[Hosted, RecordingSocket]]:
    found: dict[int, Hosted] = {}
    while len(found) < SHARDS:
        hosted = await life.host()
        found[shard_of(hosted.id)] = hosted
    return [(hosted, await life.join(hosted)) for hosted in found.values()]


async def test_on_a_cluster_batches_are_stored_and_settled(
    role_url: object, any_redis_url: str, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers, every shard: stored, told, taken out; the bound holds there too."""
    assert callable(role_url)
    monkeypatch.setattr("server.writer.CARE_S", 0.1)
    async with a_life(role_url("gateway"), any_redis_url, stream_rows=ROWS) as life:
        await join_all(life.redis)
        parties, start = await shards_of(life), begin()
        for _, phone in parties:
            for seq in range(1, 30):
                life.fix(phone, seq, start + seq * 5000)
        await life.flush()
        listening = asyncio.ensure_future(life.gateway.channels.run())
        async with (
            a_writer(role_url("writer"), any_redis_url, "first") as first,
            a_writer(role_url("writer"), any_redis_url, "second") as second,
            running(first.run),
            running(second.run),
        ):
            await eventually(lambda: all_done(life.redis), 60)
            monkeypatch.setattr("server.flusher.UNKNOWN_AFTER_MS", -1)

            async def settled() -> bool:  # a commit that was told before we listened is asked for again
                await life.flusher.look_up_unknown()
                await life.flush()
                await asyncio.sleep(0.1)
                return not len(life.hub.batches)

            await eventually(settled, 60)
            assert first.stats.failures + second.stats.failures == 0
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        for hosted, phone in parties:
            assert await windows(superuser, hosted) == [start + seq * 5000 for seq in range(1, 30)]
            assert said(phone, wire.Ack)[-1].seq == 29
            assert member_of(phone).session.id == hosted.id
            assert not await life.redis.exists(weight_key(shard_of(hosted.id)))
        hosted, phone = parties[0]
        life.flusher.filling.bound = 5_000
        for seq in range(30, 300):
            life.fix(phone, seq, start + seq * 5000)
        await life.flush()
        assert life.hub.holding
        assert await lies_in(life.redis, shard_of(hosted.id)) <= 5_000
