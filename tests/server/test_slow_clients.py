"""800 of 800 clients that never come to the point are closed: silent, half, dripping; before and after the handshake.

uvicorn alone would keep every one of them. Meanwhile a party goes on.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from websockets.frames import Frame, Opcode

from server.up import Up
from tests.e2e.conftest import Phone, new_session, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CLIENTS = 800
CLOSED_WITHIN_S = 60
"""5 s for a head or a join, 10 to 15 s for a body, 3 s for a close that nobody answers; and a busy machine."""


def handshake() -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /v1/stream HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


JOIN = Frame(Opcode.TEXT, json.dumps({"t": "join", "token": "x" * 40, "name": "Ana"}).encode())
GET = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"

# What a client sends at once, and what it sends then, a byte a second.
KINDS: dict[str, tuple[bytes, bytes]] = {
    "silent": (b"", b""),
    "half a handshake": (handshake()[:80], b""),
    "a dripping handshake": (b"", handshake()),
    "no join": (handshake(), b""),
    "half a join": (handshake() + JOIN.serialize(mask=True)[:20], b""),
    "a dripping join": (handshake(), JOIN.serialize(mask=True)),
    "a dripping second request": (GET, GET * 9),
    "half a body": (POST + b"Content-Length: 500\r\n\r\n{", b""),
    "a dripping body": (POST + b"Content-Length: 500\r\n\r\n{", b" " * 499),
    "a body that nobody asked for": (GET[:-2] + b"Content-Length: 500\r\n\r\n", b" " * 500),
}


@pytest.fixture(scope="module")
def limited_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Limits by address hold for this machine too, but are wide enough for everybody."""
    up = started(
        tmp_path_factory.mktemp("up"),
        PARTYLINE_UNLIMITED_ADDRESSES="192.0.2.1",
        PARTYLINE_CONNECTIONS_PER_ADDRESS=str(CLIENTS + 50),
        PARTYLINE_JOINS_BURST="2000",
    )
    yield up
    up.stop()


async def is_closed(port: int, opening: bytes, drip: bytes) -> bool:
    """Whether the server closes it, though it never closes anything itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def dripping() -> None:
        with suppress(OSError):
            for byte in drip:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)

    writer.write(opening)
    drips = asyncio.create_task(dripping())
    try:
        async with asyncio.timeout(CLOSED_WITHIN_S):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    finally:
        drips.cancel()
        writer.transport.abort()
    return True


async def test_800_of_800_are_closed_and_a_party_goes_on(limited_up: Up) -> None:
    up = limited_up
    port = urlsplit(up.http).port
    assert port is not None
    session = new_session(up)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    names = [name for name in KINDS for _ in range(CLIENTS // len(KINDS))]
    clients = [asyncio.create_task(is_closed(port, *KINDS[name])) for name in names]
    while not all(client.done() for client in clients):
        seq = await ana.fix(37.5, 127.0)
        await bo.until("positions")
        await ana.acked(seq)
    closed = Counter(name for name, client in zip(names, clients, strict=True) if client.result())
    assert closed == Counter(names)
    assert closed.total() == CLIENTS


async def test_a_request_of_many_parts_that_comes_in_time_is_answered(limited_up: Up) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(limited_up.http).port)
    body = json.dumps({"display_name": "Host"}).encode()
    head = POST + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    for part in (head[:40], head[40:], body[:5], body[5:]):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.3)
    assert (await reader.read()).startswith(b"HTTP/1.1 201 ")
    writer.close()
