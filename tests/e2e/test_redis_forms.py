"""The way of a fix over a Redis Cluster and over Sentinel, with the real processes, and a master that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from db.embedded import RedisCluster, RedisSentinels
from db.fence import shard_of
from server.control_store import CONTROL
from server.redis_link import connect_redis
from server.snapshots import key as snapshots_key
from server.streams import stream_key
from server.up import Up
from tests.e2e.conftest import Phone, free_port, http, new_session, now_ms, rows

pytestmark = pytest.mark.slow
SEOUL = (37.5759, 126.9769)

Group = RedisCluster | RedisSentinels


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def group(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    folder = tmp_path_factory.mktemp(request.param) / "redis"
    made: Group = RedisCluster(folder, replicas=1) if request.param == "cluster" else RedisSentinels(folder)
    with made:
        yield made


@pytest.fixture(scope="module")
def away_up(group: Group, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything, on that Redis."""
    up = Up(
        data_dir=tmp_path_factory.mktemp("up"),
        host="127.0.0.1",
        port=free_port(),
        demo=False,
        say=lambda text: None,
        redis_url=group.url,
    )
    try:
        up.start()
        yield up
    finally:
        up.stop()


async def test_a_fix_is_seen_stored_acked_and_cached(away_up: Up, group: Group) -> None:
    session = new_session(away_up)
    ana = await Phone.join(away_up, session["sharable_token"], "Ana")
    bo = await Phone.join(away_up, session["sharable_token"], "Bo")
    at = now_ms() - 20_000
    seq = await ana.fix(*SEOUL, at=at, acc=5)
    seen = await bo.until("positions")
    assert seen["p"] == [[ana.welcome["you"], at, *SEOUL, 5.0, None, None]]
    await ana.acked(seq)
    (row,) = await rows(away_up, session["session"])
    assert (row["lat"], row["lon"]) == SEOUL
    link = connect_redis(group.url)
    try:
        assert await link.client.hlen(snapshots_key(session["session"])) == 1
        assert [await link.client.xlen(stream_key(shard)) for shard in range(8)] == [0] * 8
    finally:
        await link.aclose()
    late = await Phone.join(away_up, session["sharable_token"], "Late")
    assert [position[2:4] for position in late.welcome["positions"]] == [list(SEOUL)]


async def test_a_tightening_drops_what_is_cached(away_up: Up, group: Group) -> None:
    session = new_session(away_up)
    ana = await Phone.join(away_up, session["sharable_token"])
    await ana.acked(await ana.fix(*SEOUL, at=now_ms() - 20_000))
    path, host = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    status, _ = http(away_up, "PATCH", path, {"precision": "rough"}, host)
    assert status == 200
    link = connect_redis(group.url)
    try:
        assert await link.client.exists(snapshots_key(session["session"])) == 0
    finally:
        await link.aclose()


async def test_an_erased_user_leaves_nothing(away_up: Up) -> None:
    session = new_session(away_up)
    ana = await Phone.join(away_up, session["sharable_token"])
    await ana.acked(await ana.fix(*SEOUL, at=now_ms() - 20_000))
    await ana.fix(*SEOUL)  # in a window that is open
    status, receipt = http(away_up, "DELETE", "/v1/me", token=ana.welcome["member_token"])
    assert status == 200, receipt
    assert receipt["finished_at"] is not None, receipt
    assert await rows(away_up, session["session"]) == []


async def test_a_master_dies_and_nothing_that_was_acked_is_lost(away_up: Up, group: Group) -> None:
    """Fixes go on meanwhile; everything comes back by itself, and every fix is stored and acked in the end."""
    begin, last = now_ms() - 3_000_000, 0
    session = new_session(away_up, started_at=begin - 60_000)
    ana = await Phone.join(away_up, session["sharable_token"])
    for name in (stream_key(shard_of(session["session"])), CONTROL):
        master = group.master_of(name) if isinstance(group, RedisCluster) else group.master
        await asyncio.to_thread(master.kill)
        for _ in range(20):
            last = await ana.fix(*SEOUL, at=begin + 5_000 * last)
            await asyncio.sleep(0.2)
        await ana.acked(last, timeout=90)
        assert len(await rows(away_up, session["session"])) == last
        await asyncio.to_thread(master.start)
        await asyncio.to_thread(group.await_formed)
    for _ in range(300):  # the lease is back, and with it what the party sees
        await ana.fix(*SEOUL, at=now_ms())
        with suppress(TimeoutError):
            await ana.until("positions", timeout=0.2)
            break
    else:
        pytest.fail("positions are not sent any more")
    assert [name for name, process in away_up.processes.items() if process.poll() is not None] == []
