"""Pub/sub that comes back by itself, over one server and over a Cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from db.embedded import RedisCluster, RedisSentinels, Stack
from server.channels import Channels
from server.redis_link import RedisLink, connect_redis


class Ear:
    """A `Channels` that runs, and what it heard."""

    def __init__(self, url: str) -> None:
        self.link: RedisLink = connect_redis(url)
        self.heard: list[tuple[str, bytes]] = []
        self.joined: list[str] = []
        self.channels = Channels(
            self.link, lambda channel, data: self.heard.append((channel, data)), self.joined.append
        )

    async def say(self, channel: str, data: bytes) -> None:
        await self.channels.publish(self.link.client, channel, data)


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ear]:
    ear = Ear(url)
    running = asyncio.create_task(ear.channels.run())
    try:
        yield ear
    finally:
        running.cancel()
        await asyncio.wait([running])
        await ear.link.aclose()
        assert running.cancelled(), running.exception()


async def unheard(ear: Ear, channel: str) -> None:
    """Waits until a message reaches nobody."""
    async with asyncio.timeout(30):
        while await ear.channels.publish(ear.link.client, channel, b""):
            await asyncio.sleep(0.01)


async def eventually(true: Callable[[], object], timeout: float = 30) -> None:
    async with asyncio.timeout(timeout):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_message_reaches_another_process(any_redis_url: str) -> None:
    async with listening(any_redis_url) as one, listening(any_redis_url) as two:
        one.channels.want("{s:1}:live")
        await eventually(lambda: one.joined == ["{s:1}:live"])
        await two.say("{s:1}:live", b"\x00\xff")
        await eventually(lambda: one.heard == [("{s:1}:live", b"\x00\xff")])
        assert two.heard == []


async def test_what_is_wanted_before_it_runs_is_joined_too(any_redis_url: str) -> None:
    ear = Ear(any_redis_url)
    ear.channels.want("acks:1")
    running = asyncio.create_task(ear.channels.run())
    await eventually(lambda: ear.joined == ["acks:1"])
    running.cancel()
    await asyncio.wait([running])
    await ear.link.aclose()


async def test_a_message_in_a_pipeline(any_redis_url: str) -> None:
    async with listening(any_redis_url) as ear:
        ear.channels.want("acks:1")
        await eventually(lambda: ear.joined)
        pipeline = ear.link.client.pipeline(transaction=False)
        pipeline.set("a", b"1")
        ear.channels.publish(pipeline, "acks:1", b"one")
        ear.channels.publish(pipeline, "acks:1", b"two")
        await pipeline.execute()
        await eventually(lambda: ear.heard == [("acks:1", b"one"), ("acks:1", b"two")])


async def test_what_is_dropped_is_heard_no_more_and_may_be_wanted_again(any_redis_url: str) -> None:
    async with listening(any_redis_url) as ear:
        for channel in ("one", "two"):
            ear.channels.want(channel)
        await eventually(lambda: len(ear.joined) == 2)
        ear.channels.drop("one")
        await ear.say("one", b"unheard")
        await ear.say("two", b"heard")
        await eventually(lambda: ear.heard)
        assert ear.heard == [("two", b"heard")]
        ear.channels.want("one")
        await eventually(lambda: ear.joined.count("one") == 2)
        await ear.say("one", b"again")
        await eventually(lambda: ear.heard[1:] == [("one", b"again")])


async def test_routes_go_by_how_a_name_begins(any_redis_url: str) -> None:
    async with listening(any_redis_url) as ear:
        acks: list[tuple[str, bytes]] = []
        joined: list[str] = []
        ear.channels.route("acks:", lambda channel, data: acks.append((channel, data)), joined.append)
        for channel in ("acks:1", "{s:1}:live"):
            ear.channels.want(channel)
        await eventually(lambda: joined and ear.joined)
        await ear.say("{s:1}:live", b"live")
        await ear.say("acks:1", b"ack")
        await eventually(lambda: acks and ear.heard)
        assert (acks, ear.heard) == ([("acks:1", b"ack")], [("{s:1}:live", b"live")])
        assert (joined, ear.joined) == (["acks:1"], ["{s:1}:live"])


async def test_thousands_of_channels(any_redis_url: str) -> None:
    names = [f"{{s:{number}}}:live" for number in range(5_000)]
    async with listening(any_redis_url) as ear:
        for name in names:
            ear.channels.want(name)
        await eventually(lambda: len(ear.joined) == len(names))
        assert set(ear.joined) == set(names)
        pipeline = ear.link.client.pipeline(transaction=False)
        for name in names:
            ear.channels.publish(pipeline, name, name.encode())
        await pipeline.execute()
        await eventually(lambda: len(ear.heard) == len(names))
        assert sorted(ear.heard) == sorted((name, name.encode()) for name in names)
        for name in names:
            ear.channels.drop(name)
        for name in names[:: len(names) - 1]:
            await unheard(ear, name)


async def test_a_mistake_of_ours_ends_the_loop(any_redis_url: str) -> None:
    link = connect_redis(any_redis_url)

    def broken(channel: str, data: bytes) -> None:
        raise ZeroDivisionError

    channels = Channels(link, broken)
    channels.want("one")
    running = asyncio.create_task(channels.run())
    while not running.done():
        await channels.publish(link.client, "one", b"")
        await asyncio.sleep(0.01)
    with pytest.raises(ExceptionGroup):
        await running
    await link.aclose()


async def test_everything_is_joined_again_after_a_restart(own_stack: Stack) -> None:
    async with listening(own_stack.redis_url) as ear:
        names = [f"{{s:{number}}}:live" for number in range(100)]
        for name in names:
            ear.channels.want(name)
        await eventually(lambda: len(ear.joined) == 100)
        ear.joined.clear()
        await asyncio.to_thread(own_stack.redis.kill)
        ear.channels.want("late")
        ear.channels.drop(names[0])
        await asyncio.sleep(0.5)
        assert ear.joined == []
        await asyncio.to_thread(own_stack.redis.start)
        await eventually(lambda: len(ear.joined) == 100)
        assert set(ear.joined) == {*names[1:], "late"}
        await ear.say("late", b"heard")
        await eventually(lambda: ear.heard == [("late", b"heard")])


async def test_a_server_that_hangs_is_left(own_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.channels.BEAT_S", 0.1)
    async with listening(own_stack.redis_url) as ear:
        ear.channels.want("one")
        await eventually(lambda: ear.joined)
        os.kill(own_stack.redis.pid, signal.SIGSTOP)
        await asyncio.sleep(2)
        assert ear.joined == ["one"]
        os.kill(own_stack.redis.pid, signal.SIGCONT)
        await eventually(lambda: len(ear.joined) >= 2)  # on a new connection: the old one was left


@pytest.mark.slow
async def test_channels_follow_their_slots(tmp_path: Path) -> None:
    """A master of the Cluster dies: its channels are joined on the replica that takes over; others go on."""
    names = [f"{{s:{number}}}:live" for number in range(60)]
    with RedisCluster(tmp_path / "cluster", replicas=1) as cluster:
        async with listening(cluster.url) as ear:
            for name in names:
                ear.channels.want(name)
            await eventually(lambda: set(ear.joined) == set(names))
            master = cluster.master_of(names[0])
            theirs = {name for name in names if cluster.master_of(name) is master}
            assert theirs < set(names)
            ear.joined.clear()
            await asyncio.to_thread(master.kill)
            untouched = next(name for name in names if name not in theirs)
            await ear.say(untouched, b"meanwhile")
            await eventually(lambda: (untouched, b"meanwhile") in ear.heard)
            await eventually(lambda: set(ear.joined) == theirs, 60)
            await ear.say(names[0], b"afterwards")
            await eventually(lambda: (names[0], b"afterwards") in ear.heard)
            await asyncio.to_thread(master.start)  # as a replica of the one that took over
            await asyncio.to_thread(cluster.await_formed)
            await ear.say(names[0], b"whole again")
            await eventually(lambda: (names[0], b"whole again") in ear.heard)


@pytest.mark.slow
async def test_channels_follow_a_slot_that_is_handed_over(tmp_path: Path) -> None:
    """Nobody dies: an operator moves the slot to another node, and the old one says so."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        async with listening(cluster.url) as ear:
            ear.channels.want("{s:1}:live")
            await eventually(lambda: ear.joined == ["{s:1}:live"])
            old = cluster.master_of("{s:1}:live")
            new = next(node for node in cluster.nodes if node is not old)
            slot, new_id = old.ask("CLUSTER", "KEYSLOT", "{s:1}:live"), new.node_id
            for node in (new, old, *cluster.nodes):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", new_id)
            await eventually(lambda: len(ear.joined) == 2)
            await ear.say("{s:1}:live", b"moved")
            await eventually(lambda: ear.heard == [("{s:1}:live", b"moved")])


@pytest.mark.slow
async def test_channels_follow_the_master_of_sentinels(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path / "sentinels") as sentinels:
        async with listening(sentinels.url) as ear:
            ear.channels.want("acks:1")
            await eventually(lambda: ear.joined == ["acks:1"])
            await ear.say("acks:1", b"before")
            await eventually(lambda: ear.heard == [("acks:1", b"before")])
            await asyncio.to_thread(sentinels.master.kill)
            await eventually(lambda: len(ear.joined) == 2, 60)
            await ear.say("acks:1", b"afterwards")
            await eventually(lambda: ear.heard[1:] == [("acks:1", b"afterwards")])
