"""The client's end of a WebSocket against a real server: frames of every kind, and how connections end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from load_tests import client_socket
from load_tests.client_socket import CUT, MAX_SERVER_FRAME, PROTOCOL_ERROR, ClientSocket
from load_tests.place import Place

NAME = "partyline.v1.json"
Script = Callable[[ServerConnection], Awaitable[None]]


class Ear:
    """Hears a socket; each thing can be waited for."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.is_open = asyncio.Event()
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def opened(self) -> None:
        self.is_open.set()

    def received(self, payload: bytes) -> None:
        self.heard.put_nowait(payload)

    def writable(self) -> None: ...

    def lost(self, code: int) -> None:
        self.over.set_result(code)


@asynccontextmanager
async def talking(
    script: Script, *, status: HTTPStatus | None = None, offered: str = NAME
) -> AsyncIterator[tuple[ClientSocket, Ear]]:
    """A socket that dials a server which runs the script."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return None if status is None else connection.respond(status, "no\n")

    async with serve(
        script,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(offered)],
        compression=None,
        process_request=answer,
        max_size=None,
    ) as server:
        place = Place.of(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/stream")
        ear = Ear()
        socket = ClientSocket(place.url, NAME, ear)
        await place.dial(socket)
        try:
            async with asyncio.timeout(10):
                yield socket, ear
        finally:
            socket.abort()
            await asyncio.sleep(0)


async def stay(peer: ServerConnection) -> None:
    await peer.wait_closed()


async def echo(peer: ServerConnection) -> None:
    try:
        async for message in peer:
            await peer.send(message)
    except ConnectionClosed:
        return


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("text", [True, False])
async def test_messages_of_every_length_go_both_ways(size: int, text: bool) -> None:
    async with talking(echo) as (socket, ear):
        await ear.is_open.wait()
        for letter in (b"a", b"b"):
            socket.send(letter * size, text=text)
        assert await ear.heard.get() == b"a" * size
        assert await ear.heard.get() == b"b" * size


async def test_fragments_are_put_together_and_pings_answered() -> None:
    ponged: list[float] = []

    async def script(peer: ServerConnection) -> None:
        await peer.send([b"one ", b"two ", b"three"], text=True)
        ponged.append(await (await peer.ping(b"there?")))
        await peer.send("after")
        await peer.wait_closed()

    async with talking(script) as (_, ear):
        assert await ear.heard.get() == b"one two three"
        assert await ear.heard.get() == b"after"
        assert len(ponged) == 1


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=40))
def test_however_the_network_cuts_the_bytes_the_frames_are_the_same(payload: bytes, cuts: list[int]) -> None:
    heard: list[bytes] = []

    class Kept:
        def opened(self) -> None: ...
        def received(self, payload: bytes) -> None:
            heard.append(payload)

        def writable(self) -> None: ...
        def lost(self, code: int) -> None: ...

    class Wire(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

    socket = ClientSocket("ws://127.0.0.1/", NAME, Kept())
    socket._transport, socket.open = Wire(), True
    socket._ws.state = client_socket.State.OPEN
    length = len(payload)
    head = bytes((0x81, length)) if length < 126 else bytes((0x81, 126)) + length.to_bytes(2, "big")
    stream = (head + payload) * 3
    pos = 0
    for cut in cuts:
        socket.data_received(stream[pos : pos + cut])
        pos += cut
    socket.data_received(stream[pos:])
    assert heard == [payload] * 3


@pytest.mark.parametrize("code", [1000, 1001, 4000, 4503])
async def test_the_peers_close_code_is_told(code: int) -> None:
    async def script(peer: ServerConnection) -> None:
        await peer.close(code, "bye")

    async with talking(script) as (_, ear):
        assert await ear.over == code


async def test_a_cut_is_told_as_one() -> None:
    async def script(peer: ServerConnection) -> None:
        peer.transport.abort()

    async with talking(script) as (_, ear):
        assert await ear.over == CUT


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (HTTPStatus.SERVICE_UNAVAILABLE, CUT),
        (HTTPStatus.TOO_MANY_REQUESTS, CUT),
        (HTTPStatus.NOT_FOUND, PROTOCOL_ERROR),
        (HTTPStatus.FORBIDDEN, PROTOCOL_ERROR),
    ],
)
async def test_a_refused_handshake_may_pass_or_not(status: HTTPStatus, code: int) -> None:
    async with talking(stay, status=status) as (_, ear):
        assert await ear.over == code
        assert not ear.is_open.is_set()


async def test_another_subprotocol_is_refused() -> None:
    async with talking(stay, offered="partyline.v2.json") as (_, ear):
        assert await ear.over == PROTOCOL_ERROR


async def test_a_frame_beyond_all_bounds_is_refused() -> None:
    async def script(peer: ServerConnection) -> None:
        await peer.send("x" * (MAX_SERVER_FRAME + 1))
        await peer.wait_closed()

    async with talking(script) as (_, ear):
        assert await ear.over == PROTOCOL_ERROR


async def test_what_is_no_websocket_is_a_cut_or_refused() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        place = Place.of(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        ear = Ear()
        await place.dial(ClientSocket(place.url, NAME, ear))
        assert await asyncio.wait_for(ear.over, 10) == PROTOCOL_ERROR


async def test_a_dismissed_socket_says_goodbye_and_tells_nothing_more() -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def script(peer: ServerConnection) -> None:
        await peer.wait_closed()
        codes.put_nowait(peer.close_code)

    async with talking(script) as (socket, ear):
        await ear.is_open.wait()
        socket.dismiss(1002)
        assert await codes.get() == 1002
        await asyncio.sleep(0.05)
        assert not ear.over.done()


async def test_who_does_not_read_hears_nothing_until_it_does() -> None:
    async with talking(echo) as (socket, ear):
        await ear.is_open.wait()
        socket.read(False)
        socket.read(False)
        socket.send(b"x", text=True)
        await asyncio.sleep(0.1)
        assert ear.heard.empty()
        socket.read(True)
        assert await ear.heard.get() == b"x"
