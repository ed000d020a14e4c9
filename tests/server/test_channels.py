"""Pub/sub that comes back by itself, over one server and over a Cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from db.embedded import Stack
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


async def eventually(true: Callable[[], object], timeout: float = 30) -> None:
    async with asyncio.timeout(timeout):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_message_reaches_another_process(redis_url: str) -> None:
    async with listening(redis_url) as one, listening(redis_url) as two:
        one.channels.want("{s:1}:live")
        await eventually(lambda: one.joined == ["{s:1}:live"])
        await two.say("{s:1}:live", b"\x00\xff")
        await eventually(lambda: one.heard == [("{s:1}:live", b"\x00\xff")])
        assert two.heard == []


async def test_what_is_wanted_before_it_runs_is_joined_too(redis_url: str) -> None:
    ear = Ear(redis_url)
    ear.channels.want("acks:1")
    running = asyncio.create_task(ear.channels.run())
    await eventually(lambda: ear.joined == ["acks:1"])
    running.cancel()
    await asyncio.wait([running])
    await ear.link.aclose()


async def test_a_message_in_a_pipeline(redis_url: str) -> None:
    async with listening(redis_url) as ear:
        ear.channels.want("acks:1")
        await eventually(lambda: ear.joined)
        pipeline = ear.link.client.pipeline(transaction=False)
        pipeline.set("a", b"1")
        ear.channels.publish(pipeline, "acks:1", b"one")
        ear.channels.publish(pipeline, "acks:1", b"two")
        await pipeline.execute()
        await eventually(lambda: ear.heard == [("acks:1", b"one"), ("acks:1", b"two")])


async def test_what_is_dropped_is_heard_no_more_and_may_be_wanted_again(redis_url: str) -> None:
    async with listening(redis_url) as ear:
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


async def test_routes_go_by_how_a_name_begins(redis_url: str) -> None:
    async with listening(redis_url) as ear:
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


async def test_thousands_of_channels(redis_url: str) -> None:
    names = [f"{{s:{number}}}:live" for number in range(5_000)]
    async with listening(redis_url) as ear:
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
        async with asyncio.timeout(30):
            while await ear.link.client.pubsub_numsub(names[0], names[-1]) != [
                (names[0].encode(), 0),
                (names[-1].encode(), 0),
            ]:
                await asyncio.sleep(0.01)


async def test_a_mistake_of_ours_ends_the_loop(redis_url: str) -> None:
    link = connect_redis(redis_url)

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
