"""A place is looked up once, and dialled with a phone's own buffer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from load_tests.client_socket import ClientSocket
from load_tests.place import Place

NAME = "partyline.v1.json"


class Ear:
    """Hears the first message."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def opened(self) -> None: ...
    def received(self, payload: bytes) -> None:
        self.heard.set_result(payload)

    def writable(self) -> None: ...
    def lost(self, code: int) -> None: ...


async def greet(peer: ServerConnection) -> None:
    await peer.send("hello")
    await peer.wait_closed()


@pytest.mark.parametrize("buffer", [None, 4096])
async def test_a_name_becomes_a_number_that_is_dialled_and_a_dead_one_is_an_error(buffer: int | None) -> None:
    async with serve(greet, "127.0.0.1", 0, subprotocols=[Subprotocol(NAME)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        found = await Place.of(f"ws://localhost:{port}/v1/stream").found()
        assert (found.host, found.port, found.url) == ("127.0.0.1", port, f"ws://localhost:{port}/v1/stream")
        found = replace(found, buffer=buffer)
        ear = Ear()
        socket = ClientSocket(found.url, NAME, ear)
        await found.dial(socket)
        assert await asyncio.wait_for(ear.heard, 10) == b"hello"
        socket.abort()
    with pytest.raises(OSError, match=r".*"):
        await found.dial(ClientSocket(found.url, NAME, Ear()))


def test_only_a_secure_address_is_encrypted() -> None:
    assert Place.of("ws://h:1/v1/stream").tls is None
    place = Place.of("wss://party.example/v1/stream")
    assert (place.host, place.port) == ("party.example", 443)
    assert place.tls is not None
    assert Place.of("wss://other.example/").tls is place.tls
