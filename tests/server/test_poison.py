"""What PostgreSQL does not take is put aside in the same round, within bounds, and holds up nobody (G8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.embedded import Stack
from db.fence import SHARDS, shard_of
from server.consumer import Consumer
from server.streams import commits_channel, dead_key, stream_key
from server.writer import Writer
from tests.server.entries import (
    GATEWAY,
    Told,
    all_done,
    join_all,
    one_a_shard,
    put,
    put_bytes,
    row,
    start_of,
    windows,
)
from tests.server.lives import Life, a_life, a_writer, eventually, roles_of, running

BAD_ACCURACY = 666.0
"""The trigger knows by it the row that it does harm for."""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)
    monkeypatch.setattr("server.writer.RETRY_S", 0.05)
    monkeypatch.setattr("server.writer.CARE_S", 0.1)


@pytest.fixture
async def told(life: Life) -> AsyncIterator[Told]:
    async with life.redis.pubsub() as pubsub:
        await pubsub.subscribe(commits_channel(GATEWAY))
        yield Told(pubsub)


@asynccontextmanager
async def harm(superuser: asyncpg.Connection, does: str) -> AsyncIterator[None]:
    """While it lasts PostgreSQL does this when the bad row is stored."""
    await superuser.execute(
        "CREATE FUNCTION do_harm() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
        f"IF NEW.accuracy_m = {BAD_ACCURACY} THEN {does} END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER harm BEFORE INSERT ON party_positions FOR EACH ROW EXECUTE FUNCTION do_harm()"
    )
    try:
        yield
    finally:
        await superuser.execute("DROP TRIGGER harm ON party_positions; DROP FUNCTION do_harm()")


async def dead(life: Life, shard: int) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await life.redis.xrange(dead_key(shard))]


async def test_a_row_that_ends_the_connection_is_put_aside_and_the_others_are_stored(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host()
    shard, good = shard_of(hosted.id), {}
    async with harm(superuser, "PERFORM pg_terminate_backend(pg_backend_pid());"):
        for n in range(30):
            start = start_of(100 + n)
            good[await put(life.redis, hosted, row(hosted, start))] = start
        bad = row(hosted, start_of(99), acc=BAD_ACCURACY)
        await put(life.redis, hosted, bad)
        start = start_of(98)
        good[await put(life.redis, hosted, row(hosted, start))] = start
        async with running(writer.run):
            assert {(await told.next())[1] for _ in good} == set(good)
            await eventually(lambda: writer.stats.dead)
            await eventually(lambda: all_done(life.redis))
            assert await told.nothing()
    assert await windows(superuser, hosted) == sorted(good.values())
    (put_aside,) = await dead(life, shard)
    assert put_aside[b"d"] == bad
    assert writer.stats.failures == 0, "the shard waited"


@pytest.mark.slow
async def test_a_row_that_kills_the_backend_is_put_aside(own_stack: Stack) -> None:
    """As a fault of the server does: every connection of everybody ends with it, and PostgreSQL recovers."""
    from db import migrate

    migrate.upgrade(own_stack.database_url)
    role = roles_of(own_stack.database_url)
    async with a_life(role("gateway"), own_stack.redis_url) as life:
        parties = await one_a_shard(life)
        superuser = await asyncpg.connect(own_stack.database_url)
        await superuser.execute(
            "CREATE FUNCTION do_harm() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
            f"IF NEW.accuracy_m = {BAD_ACCURACY} THEN COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'; END IF; "
            "RETURN NEW; END $$; "
            "CREATE TRIGGER harm BEFORE INSERT ON party_positions FOR EACH ROW EXECUTE FUNCTION do_harm()"
        )
        await superuser.close()
        await put(life.redis, parties[3], row(parties[3], start_of(50), acc=BAD_ACCURACY))
        for hosted in parties:
            await put(life.redis, hosted, *[row(hosted, start_of(51 + n)) for n in range(5)])
        async with a_writer(role("writer"), own_stack.redis_url) as writer, running(writer.run):
            await eventually(lambda: writer.stats.dead, 120)
            await eventually(lambda: all_done(life.redis), 120)
            assert writer.stats.failures
        put_aside = [fields for shard in range(SHARDS) for fields in await dead(life, shard)]
        assert row(parties[3], start_of(50), acc=BAD_ACCURACY)[-13:] in [
            fields[b"d"][-13:] for fields in put_aside
        ]
        superuser = await asyncpg.connect(own_stack.database_url)
        stored = await superuser.fetchval("SELECT count(*) FROM party_positions")
        # Another shard's entry may have lost its connection as often: its gateway sends it again.
        assert stored >= 5 * (SHARDS - (len(put_aside) - 1))
        await superuser.close()


@pytest.mark.parametrize("state", ["25006", "53100", "53200", "57P03", "58030"])
async def test_what_the_server_cannot_do_now_is_no_poison(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection, state: str
) -> None:
    hosted = await life.host()
    entry = await put(life.redis, hosted, row(hosted, start_of(), acc=BAD_ACCURACY))
    async with running(writer.run):
        async with harm(superuser, f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}';"):
            await eventually(lambda: writer.stats.failures > 5)
            assert await told.nothing()
        assert (await told.next())[1] == entry
    assert writer.stats.dead == 0


async def test_one_poison_among_a_full_read_costs_few_commits(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by halving."""
    await join_all(life.redis)
    hosted = await life.host()
    shard, commits, commit = shard_of(hosted.id), [], writer._commit

    async def counted(shard: int, payloads: list[bytes]) -> Any:
        commits.append(len(payloads))
        return await commit(shard, payloads)

    monkeypatch.setattr(writer, "_commit", counted)
    for n in range(128):
        data = b"\x00\x07 half a row" if n == 77 else row(hosted, start_of(200 + n))
        await put_bytes(life.redis, shard, data)
    async with running(writer.run):
        await eventually(lambda: all_done(life.redis))
    assert len(await windows(superuser, hosted)) == 127
    assert writer.stats.dead == 1
    assert len(commits) <= 1 + 2 * 7 + 2
    assert writer.stats.failures == 0


async def test_huge_entries_and_strange_fields(
    life: Life, writer: Writer, told: Told, superuser: asyncpg.Connection
) -> None:
    hosted = await life.host()
    shard, key = shard_of(hosted.id), stream_key(shard_of(hosted.id))
    good_row = row(hosted, start_of(50))
    await put_bytes(life.redis, shard, good_row + b"\x00" * 8_000_000)
    await life.redis.xadd(key, {"d": good_row[:40]})  # no gateway, half a row
    await life.redis.xadd(key, {"g": GATEWAY, "x": b"y" * 100_000})
    await life.redis.xadd(key, {b"\xff\xfe": b"\x00", b"g": b"\xff" * 1000})
    await life.redis.xadd(key, {f"field {n}": "x" for n in range(500)})
    nobody_s = row(hosted, start_of(49))
    await life.redis.xadd(key, {"d": nobody_s})  # good, but for that nobody asks
    entry = await put(life.redis, hosted, row(hosted, start_of(48)))
    async with running(writer.run):
        assert (await told.next())[1] == entry
        await eventually(lambda: all_done(life.redis))
        await eventually(lambda: writer.stats.dead_letters == 5)
    assert len(await windows(superuser, hosted)) == 2
    put_aside = await dead(life, shard)
    assert len(put_aside) == writer.stats.dead == 5
    assert all(
        len(name) <= 65_536 and len(value) <= 65_536 for one in put_aside for name, value in one.items()
    )
    assert await life.redis.memory_usage(dead_key(shard)) < 1_000_000
    assert writer.stats.failures == 0


async def test_dead_letters_are_bounded(life: Life, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.consumer.DEAD_BOUND", 7)
    for n in range(20):
        await put_bytes(life.redis, 2, b"poison %d" % n)
    async with running(writer.run):
        await eventually(lambda: writer.stats.dead == 20)
    assert [one[b"d"] for one in await dead(life, 2)] == [b"poison %d" % n for n in range(13, 20)], (
        "the newest"
    )


async def test_a_full_redis_does_not_keep_poison(life: Life, redis_url: str) -> None:
    """Without memory Redis takes nothing new: an entry must be put aside all the same, or it is in the way."""
    await join_all(life.redis)
    await put_bytes(life.redis, 6, b"poison")
    consumer = Consumer(life.redis, 6, "us")
    (entry,) = await consumer.read(pending=False, block_ms=1000)
    before = (await life.redis.config_get("maxmemory"))["maxmemory"]
    try:
        await life.redis.config_set("maxmemory", 1)
        await consumer.bury(entry, "a test")
    finally:
        await life.redis.config_set("maxmemory", before)
    assert await life.redis.xlen(stream_key(6)) == 0
    assert [one[b"d"] for one in await dead(life, 6)] == [b"poison"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_bytes_harm_no_other_entry(
    role_url: Callable[[str], str], redis_url: str, party_database: str, data: st.DataObject
) -> None:
    """Mutated rows, cut rows, joined rows and noise, in any order between good entries."""
    async with (
        a_life(role_url("gateway"), redis_url) as life,
        a_writer(role_url("writer"), redis_url) as writer,
    ):
        await join_all(life.redis)
        hosted = await life.host()
        shard, starts = shard_of(hosted.id), []
        for n in range(data.draw(st.integers(1, 12))):
            good = row(hosted, start_of(300 + n))
            kind = data.draw(st.sampled_from(["good", "noise", "cut", "changed"]))
            if kind == "good":
                starts.append(await put(life.redis, hosted, good))
            elif kind == "noise":
                await put_bytes(life.redis, shard, data.draw(st.binary(min_size=1, max_size=200)))
            elif kind == "cut":
                await put_bytes(life.redis, shard, good[: data.draw(st.integers(1, len(good) - 1))])
            else:
                changed = bytearray(good)
                changed[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
                await put_bytes(life.redis, shard, bytes(changed))
        async with running(writer.run):
            await eventually(lambda: all_done(life.redis))
        assert writer.stats.failures == 0
        assert writer.stats.entries >= len(starts)
        stored = await asyncpg.connect(party_database)
        assert len(await windows(stored, hosted)) >= len(starts)
        await stored.close()
