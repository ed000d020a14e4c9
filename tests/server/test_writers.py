"""Several writers at once: nothing is lost, stored twice or left, also when one dies or is stopped (G1–G3)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from db import sessions as store
from db.fence import SHARDS, shard_of
from protocol.precision import Precision
from server.consumer import Consumer
from server.streams import GROUP, commits_channel, stream_key, weight_key
from server.worker import own_name
from server.writer import Writer
from tests.server.entries import (
    GATEWAY,
    Told,
    all_done,
    join_all,
    left_in,
    one_a_shard,
    put,
    row,
    start_of,
    windows,
)
from tests.server.lives import Life, a_writer, eventually, running
from tests.server.test_worker import process


@pytest.fixture
async def told(life: Life) -> AsyncIterator[Told]:
    async with life.redis.pubsub() as pubsub:
        await pubsub.subscribe(commits_channel(GATEWAY))
        yield Told(pubsub)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)
    monkeypatch.setattr("server.writer.RETRY_S", 0.05)
    monkeypatch.setattr("server.writer.CARE_S", 0.05)


async def names_in(redis: Redis, shard: int) -> set[str]:
    return {consumer["name"].decode() for consumer in await redis.xinfo_consumers(stream_key(shard), GROUP)}


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("number", [2, 3])
async def test_writers_share_the_work_and_leave_nothing(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told,
    superuser: asyncpg.Connection, number: int,
) -> None:  # fmt: skip
    parties = await one_a_shard(life)
    ago, sent = start_of(400), Counter[str]()
    async with AsyncExitStack() as stack:
        writers: list[Writer] = []
        for n in range(number):
            writers.append(await stack.enter_async_context(a_writer(role_url("writer"), redis_url, f"w{n}")))
            await stack.enter_async_context(running(writers[-1].run))
        for n in range(60):
            for hosted in parties:
                # Each window twice, in different entries: two writers may have the same row at once.
                rows = [row(hosted, ago + 5000 * (n + more)) for more in (0, 1)]
                sent[await put(life.redis, hosted, *rows)] += 1
            if n % 10 == 0:
                await asyncio.sleep(0.05)
        heard = Counter([(await told.next())[1] for _ in range(sum(sent.values()))])
        assert heard == sent, "an entry was told twice, or another one was"
        await eventually(lambda: all_done(life.redis))
        assert await told.nothing()
    for hosted in parties:
        assert await windows(superuser, hosted) == [ago + 5000 * n for n in range(61)]
    assert sum(writer.stats.rows for writer in writers) == 61 * SHARDS
    assert all(writer.stats.entries for writer in writers), "one writer did nothing"
    assert sum(writer.stats.dead for writer in writers) == 0
    for shard in range(SHARDS):
        assert await names_in(life.redis, shard) == set(), "who left cleanly is in the group"


@contextmanager
def writer_process(log: Path, url: str, redis_url: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with process(log, "writer", "--name", name, database_url=url, redis_url=redis_url) as started:
        yield started


async def holds(redis: Redis, shard: int, name: str) -> int:
    return len(await redis.xpending_range(stream_key(shard), GROUP, "-", "+", 1000, consumername=name))


async def test_what_a_killed_writer_held_is_taken_over(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told,
    superuser: asyncpg.Connection, tmp_path: Path,
) -> None:  # fmt: skip
    """kill -9 in the middle: it has read and waits for the fence, in a shard of its own choosing."""
    parties = await one_a_shard(life)
    await join_all(life.redis)
    ago, entries = start_of(400), set()
    with writer_process(tmp_path / "first", role_url("writer"), redis_url, "first") as first:
        async with superuser.transaction():
            await superuser.execute("SELECT take_fence($1)", 5)
            for n in range(20):
                for hosted in parties:
                    entries.add(await put(life.redis, hosted, row(hosted, ago + 5000 * n)))
            await eventually(lambda: holds(life.redis, 5, "first"), 60)
            first.kill()
            first.wait()
    assert await holds(life.redis, 5, "first")
    with writer_process(tmp_path / "second", role_url("writer"), redis_url, "second"):
        started = asyncio.get_running_loop().time()
        await eventually(lambda: all_done(life.redis), 60)
        assert asyncio.get_running_loop().time() - started < 30, "10 s, and time to start on a busy machine"
        while {entry for _, entry, _ in told.heard} != entries:
            await told.next()
    for hosted in parties:
        assert await windows(superuser, hosted) == [ago + 5000 * n for n in range(20)]


async def test_a_stopped_writer_that_returns_after_a_takeover_and_a_tightening(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told,
    superuser: asyncpg.Connection, tmp_path: Path,
) -> None:  # fmt: skip
    """Its rows are there by then, or are too fine by then: it changes nothing."""
    kept, tightened = (await one_a_shard(life))[:2]
    await join_all(life.redis)
    ago = start_of(400)
    kept_rows = [row(kept, ago + 5000 * n) for n in range(10)]
    fine_rows = [row(tightened, ago + 5000 * n) for n in range(10)]
    with writer_process(tmp_path / "stopped", role_url("writer"), redis_url, "stopped") as stopped:
        async with superuser.transaction():
            for hosted in (kept, tightened):
                await superuser.execute("SELECT take_fence($1)", shard_of(hosted.id))
            ours = await put(life.redis, kept, *kept_rows)
            fine = await put(life.redis, tightened, *fine_rows)
            for hosted in (kept, tightened):
                shard = shard_of(hosted.id)
                await eventually(lambda shard=shard: holds(life.redis, shard, "stopped"), 60)
            stopped.send_signal(signal.SIGSTOP)
        # It has the fence now, and stands still with it. The tightening takes it away.
        await store.set_session_precision(life.pool, tightened.id, Precision.ROUGH)
        async with a_writer(role_url("writer"), redis_url, "other") as other, running(other.run):
            first = [await told.next(), await told.next()]
            assert {entry: len(rows) for _, entry, rows in first} == {ours: 0, fine: 10}
            assert other.stats.claims
            stopped.send_signal(signal.SIGCONT)
            later = await put(life.redis, kept, row(kept, ago + 5000 * 10))
            while later not in {entry for _, entry, _ in told.heard}:
                await told.next()
            await eventually(lambda: all_done(life.redis))
            stopped.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(stopped.wait, 30) == 0
    assert await windows(superuser, kept) == [ago + 5000 * n for n in range(11)]
    assert await windows(superuser, tightened) == []
    log = (tmp_path / "stopped").read_text()
    assert "Traceback" not in log
    assert "put aside" not in log


@pytest.mark.usefixtures("short_waits")
async def test_a_writer_at_work_is_not_robbed(
    life: Life, role_url: Callable[[str], str], redis_url: str, superuser: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its commit takes longer than a dead writer is waited for: it says that it lives."""
    monkeypatch.setattr("server.consumer.CLAIM_IDLE_MS", 800)
    (hosted, *_) = await one_a_shard(life)
    await join_all(life.redis)
    shard = shard_of(hosted.id)
    async with (
        a_writer(role_url("writer"), redis_url, "slow") as slow,
        a_writer(role_url("writer"), redis_url, "other") as other,
        running(slow.run),
    ):
        async with superuser.transaction():
            await superuser.execute("SELECT take_fence($1)", shard)
            await put(life.redis, hosted, row(hosted, start_of()))
            await eventually(lambda: holds(life.redis, shard, "slow"))
            async with running(other.run):
                await asyncio.sleep(2.5)
                assert await holds(life.redis, shard, "slow") == 1
        await eventually(lambda: all_done(life.redis))
        assert (slow.stats.rows, other.stats.claims) == (1, 0)


@pytest.mark.usefixtures("short_waits")
async def test_a_writer_that_cannot_reach_postgresql_lets_go(
    life: Life, role_url: Callable[[str], str], redis_url: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.consumer.CLAIM_IDLE_MS", 300)
    (hosted, *_) = await one_a_shard(life)
    await join_all(life.redis)
    shard = shard_of(hosted.id)
    async with (
        a_writer(role_url("writer"), redis_url, "cut off") as cut_off,
        a_writer(role_url("writer"), redis_url, "other") as other,
        running(cut_off.run),
    ):
        cut_off._pool.terminate()  # from now on it has no connection, and gets none
        entry = await put(life.redis, hosted, row(hosted, start_of()))
        await eventually(lambda: cut_off.stats.failures > 1)
        assert await holds(life.redis, shard, "cut off") == 1
        async with running(other.run):
            assert (await told.next())[1] == entry
        assert other.stats.claims


async def test_who_leaves_is_taken_out_only_with_nothing_pending(life: Life) -> None:
    await join_all(life.redis)
    parties = await one_a_shard(life)
    await put(life.redis, parties[2], row(parties[2], start_of()))
    us, others = Consumer(life.redis, 2, "us"), Consumer(life.redis, 2, "others")
    (entry,) = await us.read(pending=False, block_ms=1000)
    await others.read(pending=True, block_ms=1)
    await us.leave()
    assert "us" in await names_in(life.redis, 2)
    assert await left_in(life.redis, 2) == (1, 1)
    await us.settle([entry], [])
    await us.leave()
    assert "us" not in await names_in(life.redis, 2)


async def test_who_is_gone_for_long_is_taken_out(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer has a name of its own at each start: the groups do not grow with them."""
    await join_all(life.redis)
    gone = [Consumer(life.redis, 4, f"gone-{n}") for n in range(50)]
    for consumer in gone:
        await consumer.read(pending=False, block_ms=1)
    parties = await one_a_shard(life)
    await put(life.redis, parties[4], row(parties[4], start_of()))
    holding = Consumer(life.redis, 4, "holding")
    assert await holding.read(pending=False, block_ms=1000)
    us = Consumer(life.redis, 4, "us")
    await us.tidy()
    assert len(await names_in(life.redis, 4)) == 51, "not long enough"
    monkeypatch.setattr("server.consumer.GONE_MS", 200)
    await asyncio.sleep(0.4)
    await us.read(pending=False, block_ms=1)
    await us.tidy()
    assert await names_in(life.redis, 4) == {"holding", "us"}
    await gone[0].read(pending=False, block_ms=1)  # it was only stopped: it is back
    assert await left_in(life.redis, 4) == (1, 1)


async def test_an_entry_that_two_settle_counts_once(life: Life) -> None:
    """Both committed it. Whatever the count was, an empty stream weighs nothing."""
    await join_all(life.redis)
    parties = await one_a_shard(life)
    consumer = Consumer(life.redis, 1, "us")
    for n in range(3):
        await put(life.redis, parties[1], row(parties[1], start_of(n)))
    await life.redis.set(weight_key(1), 3 * 290)
    first, second, third = await consumer.read(pending=False, block_ms=1000)
    for _ in range(3):
        await consumer.settle([first], [])
        assert await life.redis.get(weight_key(1)) == b"580"
    await life.redis.set(weight_key(1), 5)
    await consumer.bury(second, "a test")
    assert await life.redis.get(weight_key(1)) == b"0"
    await consumer.settle([second, third], [])
    assert not await life.redis.exists(weight_key(1))
    assert await left_in(life.redis, 1) == (0, 0)


def test_names_are_of_their_own() -> None:
    assert len({own_name() for _ in range(20)}) == 20
