"""A gateway that leaves: what it has is handed on, everybody is told to come again, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
import redis

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.codec import JSON
from server.batches import shard_of
from server.flusher import stream_key
from server.leaving import COMMITS_S, HANDED_ON_S, SPREAD_S
from server.serving import Server
from server.writer import Writer
from tests.e2e.conftest import free_port
from tests.server.lives import Life, Lives, eventually, now_ms, running, welcome

LONGEST_S = COMMITS_S + SPREAD_S + 2 * HANDED_ON_S


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)


async def test_everything_is_committed_and_acked_before_the_goodbye(life: Life, writer: Writer) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    token = welcome(ana).member_token
    life.fix(ana, 1, now_ms())
    async with life.gateway.running(), running(writer.run):
        await life.gateway.drain()
    assert wire.Ack(seq=1) in ana.said()
    assert ana.closed_with == CloseCode.GOING_AWAY
    late = await life.resume(token)
    assert late.closed_with == CloseCode.GOING_AWAY


async def test_without_a_writer_it_goes_in_time_and_the_batches_are_in_the_streams(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    key = stream_key(shard_of(hosted.id))
    life.fix(ana, 1, now_ms())
    async with life.gateway.running():
        before = await life.redis.xlen(key)
        draining = asyncio.create_task(life.gateway.drain())
        await eventually(lambda: len(life.hub.batches))
        life.fix(ana, 2, now_ms() + 10_000)  # a window that opens while it waits
        async with asyncio.timeout(LONGEST_S + 10):
            await draining
        assert await life.redis.xlen(key) == before + 2
    assert ana.closed_with == CloseCode.GOING_AWAY
    assert not [message for message in ana.said() if isinstance(message, wire.Ack)]


async def test_while_redis_stalls_it_goes_in_time_too(life: Life, redis_url: str) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    life.fix(ana, 1, now_ms())
    with redis.Redis.from_url(redis_url) as stalling:
        stalling.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        try:
            async with asyncio.timeout(LONGEST_S + 10):
                await life.gateway.drain()
        finally:
            stalling.execute_command("CLIENT", "UNPAUSE")
    assert ana.closed_with == CloseCode.GOING_AWAY
    assert not [message for message in ana.said() if isinstance(message, wire.Ack)]


async def test_the_goodbyes_are_spread_and_until_then_everybody_is_in_the_party(live: Lives) -> None:
    life = await live(max_connections=1_000)
    hosted = await life.host(max_members=500, tick_ms=250)
    phones = [await life.join(hosted, f"Phone {number}") for number in range(20)]
    silent = [life.open() for _ in range(30)]
    seen: set[int] = set()
    async with life.gateway.running():
        draining = asyncio.create_task(life.gateway.drain())
        while not draining.done():
            seen.add(sum(one.closed_with is not None for one in (*phones, *silent)))
            await asyncio.sleep(0.002)
    assert len(seen) >= 6, seen
    assert {one.closed_with for one in (*phones, *silent)} == {CloseCode.GOING_AWAY}
    assert not life.hub.connections


# --- who is about to connect --------------------------------------------------------------------------------


class Waiting:
    """Connections that the kernel has made and that the gateway has not accepted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def say(self, request: str, then: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port))
        self._sockets.append(made)
        made.sendall(request.replace("\n", "\r\n").encode() + then)
        return made

    def close(self) -> None:
        for one in self._sockets:
            one.close()


HANDSHAKE = """GET /v1/stream HTTP/1.1
Host: here
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==

"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def waiting(port: int) -> Iterator[Waiting]:
    made = Waiting(port)
    yield made
    made.close()


def read_all(one: socket.socket) -> bytes:
    one.settimeout(20)
    found = b""
    while more := one.recv(65_536):
        found += more
    return found


def masked(message: object) -> bytes:
    payload = JSON.encode(message)
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload


async def test_who_waits_to_be_accepted_is_answered_and_then_nobody_can_connect(
    life: Life, port: int, waiting: Waiting
) -> None:
    hosted = await life.host()
    token = welcome(await life.join(hosted)).member_token
    server = Server(life.gateway, host="127.0.0.1", port=port)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    async with life.gateway.running():
        await server.startup()
        asked = waiting.say("GET /readyz HTTP/1.1\nHost: here\nConnection: close\n\n")
        joins = waiting.say(HANDSHAKE, masked(wire.Resume(token=token)))
        idle = waiting.say(HANDSHAKE)
        reading = [asyncio.create_task(asyncio.to_thread(read_all, one)) for one in (asked, joins, idle)]
        await server.shutdown()  # the loop has not looked at the port since they came
        answered, refused, told = await asyncio.gather(*reading)
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b'"draining":true' in answered
    for text in (refused, told):
        assert text.startswith(b"HTTP/1.1 101 ")
        assert int(CloseCode.GOING_AWAY).to_bytes(2, "big") + b"going_away" in text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
