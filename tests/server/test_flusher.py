"""Batches out and commits back: nothing is lost with Redis, nothing is acked unheard, nothing finer is cached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from db.embedded import Stack
from db.fence import shard_of
from protocol import messages as wire
from protocol.precision import Precision
from server.announcer import Unconfirmed
from server.batches import Batch, Refusals
from server.flusher import BATCHES_A_FLUSH
from server.snapshots import key, mask_key, read_snapshots
from server.streams import ACKS, commits_channel, encode_commit, stream_key
from server.windows import WindowState
from server.writer import Writer
from tests.server.lives import (
    Hosted,
    Life,
    a_life,
    a_writer,
    eventually,
    member_of,
    now_ms,
    roles_of,
    running,
    said,
)
from tests.server.parties import RecordingSocket


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)


async def party(life: Life, precision: str = "exact") -> tuple[Hosted, RecordingSocket]:
    hosted = await life.host(precision)
    ana = await life.join(hosted)
    ana.said()
    return hosted, ana


async def entries(life: Life, hosted: Hosted) -> list[tuple[str, dict[bytes, bytes]]]:
    found = await life.redis.xrange(stream_key(shard_of(hosted.id)))
    return [(entry.decode(), fields) for entry, fields in found]


@pytest.fixture
async def listening(life: Life) -> AsyncIterator[None]:
    async with hearing(life):
        yield


class hearing:
    """The gateway listens for commits while the block lasts."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def __aenter__(self) -> None:
        joined: list[str] = []
        channels, flusher = self._life.gateway.channels, self._life.flusher
        channels.route(ACKS, lambda _, data: flusher.committed(data), joined.append)
        self._task = asyncio.ensure_future(channels.run())
        await eventually(lambda: joined)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_commit_settles_windows_and_acks_the_fixes_of_them(
    life: Life, writer: Writer, listening: None
) -> None:
    hosted, ana = await party(life)
    start = (now_ms() - 60_000) // 5000 * 5000
    for seq, at in enumerate([start, start + 4999, start + 5000, start + 12_000], 1):
        life.fix(ana, seq, at)
    await life.flush()
    life.hub.say_acks()
    assert not said(ana, wire.Ack), "acked before the commit"
    async with running(writer.run):
        await eventually(lambda: not len(life.hub.batches))
    assert [ack.seq for ack in said(ana, wire.Ack)] == [4]
    assert life.hub.windows.unsettled == 0
    assert life.hub.stats.rows_committed == 3


async def test_a_commit_that_is_told_before_redis_has_answered_counts(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer takes, commits and tells while the answer to the gateway's own XADD is on its way."""
    hosted, ana = await party(life)
    start = (now_ms() - 60_000) // 5000 * 5000
    life.fix(ana, 1, start)
    life.fix(ana, 2, start + 5000)
    user = member_of(ana).user_id
    sent = life.hub.batches.sent

    def told_first(batch: Batch, entry_id: str, at_ms: int) -> Refusals | None:
        refused = [(hosted.id, user, start, wire.Reject.PRECISION)]
        life.flusher.committed(encode_commit((batch.shard, entry_id, refused)))
        assert life.hub.windows.unsettled == 2
        return sent(batch, entry_id, at_ms)

    monkeypatch.setattr(type(life.hub.batches), "sent", lambda _, *args: told_first(*args))
    await life.flush()
    life.hub.say_acks()
    told = [message for message in ana.said() if isinstance(message, wire.Rejected | wire.Ack)]
    assert told == [wire.Rejected(seq=1, code=wire.Reject.PRECISION), wire.Ack(seq=2)]
    assert life.hub.windows.unsettled == 0
    assert len(life.hub.batches) == 0
    assert life.hub.stats.rows_committed == life.hub.stats.rows_refused == 1


async def test_refused_rows_are_rejected_before_the_ack(life: Life, writer: Writer, listening: None) -> None:
    hosted, ana = await party(life)
    start = (now_ms() - 60_000) // 5000 * 5000
    life.fix(ana, 1, start)
    await life.flush()
    life.fix(ana, 2, start + 5000)
    await life.steering.share(life.session(hosted), member_of(ana), Precision.ROUGH)
    async with running(writer.run):
        await eventually(lambda: not len(life.hub.batches))
    told = [m for m in ana.said() if isinstance(m, wire.Rejected | wire.Ack)]
    rejects = {m.seq: m.code for m in told if isinstance(m, wire.Rejected)}
    assert rejects == {1: wire.Reject.PRECISION, 2: wire.Reject.PRECISION}
    assert isinstance(told[-1], wire.Ack)
    assert told[-1].seq == 2


async def test_one_entry_a_flush_and_shard(life: Life) -> None:
    parties = [await party(life) for _ in range(9)]
    start = (now_ms() - 60_000) // 5000 * 5000
    for _, ana in parties:
        for seq in range(1, 4):
            life.fix(ana, seq, start + seq * 5000)
    await life.flush()
    shards = {shard_of(hosted.id) for hosted, _ in parties}
    assert sum([await life.redis.xlen(stream_key(shard)) for shard in shards]) == len(shards) == 8
    for _, fields in await entries(life, parties[0][0]):
        assert fields[b"g"].decode() == life.gateway.id
    await life.flush()
    assert life.hub.stats.batches == 8, "handed over twice"


async def test_one_flush_hands_over_everything_in_steps(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of windows close together: between two steps the loop is free for ticks."""
    monkeypatch.setattr("server.flusher.WINDOWS_A_STEP", 3)
    hosted, ana = await party(life)
    start = (now_ms() - 120_000) // 5000 * 5000
    for seq in range(1, 11):
        life.fix(ana, seq, start + seq * 5000)
    await life.flush()
    assert len(await entries(life, hosted)) == 4, "3 + 3 + 3 + 1"
    assert {window.state for window in member_of(ana).windows.values()} == {WindowState.IN_FLIGHT}
    assert life.hub.batches.unsent() == []


async def test_an_entry_that_redis_lost_is_handed_over_again(
    life: Life, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, ana = await party(life)
    life.fix(ana, 1, now_ms() - 60_000)
    await life.flush()
    ((entry, _),) = await entries(life, hosted)

    await life.flusher.look_up_unknown()
    await life.flush()
    assert [e for e, _ in await entries(life, hosted)] == [entry], "looked up too soon"

    monkeypatch.setattr("server.flusher.UNKNOWN_AFTER_MS", -1)
    await life.flusher.look_up_unknown()
    await life.flush()
    assert [e for e, _ in await entries(life, hosted)] == [entry], "it still lies in the stream"
    assert life.hub.stats.resent_batches == 0

    await life.redis.xdel(stream_key(shard_of(hosted.id)), entry)
    await life.flusher.look_up_unknown()
    await life.flush()
    ((again, _),) = await entries(life, hosted)
    assert again != entry
    assert life.hub.stats.resent_batches == 1

    await life.redis.flushall()
    await life.flusher.look_up_unknown()
    await life.flush()
    assert len(await entries(life, hosted)) == 1
    async with hearing(life), running(writer.run):
        await eventually(lambda: not len(life.hub.batches))
    assert [ack.seq for ack in said(ana, wire.Ack)] == [1]


async def test_a_commit_that_was_not_heard_is_asked_for_again(
    life: Life, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer told it while nobody listened: the same rows go again, make no row more, and are acked."""
    hosted, ana = await party(life)
    life.fix(ana, 1, now_ms() - 60_000)
    await life.flush()
    async with running(writer.run):
        await eventually(lambda: writer.stats.entries)
        assert len(life.hub.batches) == 1
        monkeypatch.setattr("server.flusher.UNKNOWN_AFTER_MS", -1)
        async with hearing(life):
            await life.flusher.look_up_unknown()
            await life.flush()
            await eventually(lambda: not len(life.hub.batches))
    assert writer.stats.rows == 1
    assert [ack.seq for ack in said(ana, wire.Ack)] == [1]


async def test_a_commit_told_twice_or_of_an_unknown_entry_changes_nothing(life: Life) -> None:
    hosted, ana = await party(life)
    life.fix(ana, 1, now_ms() - 60_000)
    await life.flush()
    ((entry, _),) = await entries(life, hosted)
    shard = shard_of(hosted.id)
    for other in ((shard, "1-1", []), ((shard + 1) % 8, entry, []), (shard, "", []), (99, entry, [])):
        life.flusher.committed(encode_commit(other))
    assert len(life.hub.batches) == 1
    assert not said(ana, wire.Ack)
    for _ in range(3):
        life.flusher.committed(encode_commit((shard, entry, [])))
    assert [ack.seq for ack in said(ana, wire.Ack)] == [1]
    assert life.hub.stats.rows_committed == 1


async def test_garbage_on_the_channel_is_survived(
    life: Life, writer: Writer, listening: None, caplog: pytest.LogCaptureFixture
) -> None:
    hosted, ana = await party(life)
    life.fix(ana, 1, now_ms() - 60_000)
    await life.flush()
    ((entry, _),) = await entries(life, hosted)
    shard = shard_of(hosted.id)
    garbage: list[Any] = [
        b"", b"\xc1", b"hello", b"\x00" * 100, b"\xff" * 3,
        msgspec.msgpack.encode([shard, entry]),
        msgspec.msgpack.encode({"shard": shard}),
        msgspec.msgpack.encode([shard, entry, [[1, 2, 3, "no such reason"]]]),
        msgspec.msgpack.encode([shard, entry, [[2**70 // 2**7, 2, 3, None]]]),
        msgspec.msgpack.encode([str(shard), entry, []]),
    ]  # fmt: skip
    for data in garbage:
        await life.redis.publish(commits_channel(life.gateway.id), data)
    await eventually(lambda: caplog.text.count("could not be read") == len(garbage))
    assert len(life.hub.batches) == 1
    async with running(writer.run):
        await eventually(lambda: said(ana, wire.Ack))


async def test_only_what_is_shown_is_cached(life: Life) -> None:
    hosted, ana = await party(life)
    bo = await life.join(hosted, "Bo", precision=Precision.ROUGH)
    eve = await life.join(hosted, "Eve", precision=Precision.PRIVATE)
    start = (now_ms() - 60_000) // 5000 * 5000
    for socket in (ana, bo, eve):
        life.fix(socket, 1, start + 10_000, lat=37.123456)
        life.fix(socket, 2, start, lat=37.654321)  # late: its own window, not the shown one
    await life.flush()
    cached = await read_snapshots(life.redis, hosted.id)
    assert set(cached) == {member_of(ana).number, member_of(bo).number}
    exact, rough = cached[member_of(ana).number], cached[member_of(bo).number]
    assert (exact.at, exact.lat, exact.precision) == (start + 10_000, 37.123456, Precision.EXACT)
    assert rough.precision is Precision.ROUGH
    assert rough.lat not in (37.123456, 37.654321)
    assert await life.redis.exists(mask_key(member_of(bo).user_id))
    assert not await life.redis.exists(mask_key(member_of(ana).user_id), mask_key(member_of(eve).user_id))


async def cached_exact(life: Life, hosted: Hosted) -> list[Any]:
    found = await read_snapshots(life.redis, hosted.id)
    return [position for position in found.values() if position.precision is Precision.EXACT]


async def test_no_flush_brings_back_what_a_tightening_dropped(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G3, with a flush that was encoded before the tightening and reaches Redis as late as it can."""
    hosted, ana = await party(life)
    pipeline = life.redis.pipeline(transaction=False)
    send, go_on, under_way = pipeline.execute, asyncio.Event(), asyncio.Event()

    async def held_up(*arguments: Any, **more: Any) -> Any:
        under_way.set()
        await go_on.wait()
        return await send(*arguments, **more)

    monkeypatch.setattr(pipeline, "execute", held_up)
    with monkeypatch.context() as patch:
        patch.setattr(life.redis, "pipeline", lambda **_: pipeline)
        life.fix(ana, 1, now_ms() - 6_000)
        flush = asyncio.ensure_future(life.flush())
        await under_way.wait()
    await life.steering.set_session_precision(hosted.id, Precision.ROUGH)
    assert await cached_exact(life, hosted) == []
    go_on.set()
    await flush
    assert await cached_exact(life, hosted) == [], "masked before the tightening, and refused"
    for seq in range(2, 6):
        life.fix(ana, seq, now_ms() - 5_000 + seq)
        await life.flush()
        assert await cached_exact(life, hosted) == []


async def test_nothing_of_the_ended_and_of_who_is_gone_is_cached_again(life: Life, listening: None) -> None:
    """Windows outlive a member: their flush must not bring back a snapshot, nor a mask (G7)."""
    hosted, ana = await party(life, "rough")
    other, bo = await party(life)
    ended, eve = await party(life, "rough")
    for socket in (ana, bo, eve):
        life.fix(socket, 1, now_ms() - 6_000)
    users = [member_of(socket).user_id for socket in (ana, bo, eve)]
    await life.gateway.erasures.erase(users[0])
    await life.steering.kick(other.id, member_of(bo).number)
    await life.steering.end(ended.id, "over")
    await life.flush()
    assert not await life.redis.exists(key(hosted.id), key(other.id), key(ended.id))
    assert not await life.redis.exists(mask_key(users[0]))


async def test_more_batches_than_a_flush_takes_wait_for_the_next(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BATCHES_A_FLUSH >= 8
    monkeypatch.setattr("server.flusher.BATCHES_A_FLUSH", 3)
    for _ in range(8):
        _, ana = await party(life)
        life.fix(ana, 1, now_ms() - 6_000)
    await life.flush()
    assert len(life.hub.batches.unsent()) == 5
    await life.flush()
    await life.flush()
    assert life.hub.batches.unsent() == []


async def test_batches_wait_while_redis_is_away_and_go_out_after(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the entries that Redis forgot with its restart, and the cache that was to be dropped meanwhile."""
    monkeypatch.setattr("server.announcer.CONFIRM_MS", 300)
    from db import migrate

    migrate.upgrade(own_stack.database_url)
    role = roles_of(own_stack.database_url)
    async with (
        a_life(role("gateway"), own_stack.redis_url, backlog_rows=100) as life,
        a_writer(role("writer"), own_stack.redis_url) as writer,
    ):
        hosted, ana = await party(life)
        start = (now_ms() - 3_000_000) // 5000 * 5000
        life.fix(ana, 1, start)
        await life.flush()
        await asyncio.to_thread(own_stack.redis.kill)
        for seq in range(2, 10):
            life.fix(ana, seq, start + seq * 5000)
            await life.flush()
        assert len(life.hub.batches.unsent()) == 8
        assert not said(ana, wire.Ack)
        with pytest.raises(Unconfirmed):  # it holds here
            await life.steering.set_session_precision(hosted.id, Precision.ROUGH)
        await asyncio.to_thread(own_stack.redis.start)
        await life.flush()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("server.flusher.UNKNOWN_AFTER_MS", -1)
            await life.flusher.look_up_unknown()
        await life.flush()
        assert life.hub.batches.unsent() == []
        assert await cached_exact(life, hosted) == []
        async with hearing(life), running(writer.run):
            await eventually(lambda: not len(life.hub.batches))
        assert {m.seq for m in said(ana, wire.Rejected)} == set(range(1, 10)), "exact rows after a tightening"


async def test_a_backlog_at_its_bound_holds_and_says_so(live: Any) -> None:
    life = await live(backlog_rows=100)
    _, ana = await party(life)
    start = (now_ms() - 3_000_000) // 5000 * 5000
    for seq in range(1, 101):
        life.fix(ana, seq, start + seq * 5000)
    await life.flush()
    assert [policy.hold for policy in said(ana, wire.Policy)] == [True]
    life.fix(ana, 101, start + 101 * 5000)
    assert life.hub.windows.unsettled == 100
    for batch in list(life.hub.batches.older_than(now_ms() + 1, 1000)):
        life.flusher.committed(encode_commit((batch.shard, batch.entry_id, [])))
    await life.flush()
    assert [policy.hold for policy in said(ana, wire.Policy)] == [False]
