"""Phones that stop reading cost a constant (G6): the gateway's memory is flat, however long they stand.

They go on sending a fix now and then, so that the keepalive keeps them. PARTYLINE_TEST_SLOW_READERS and
PARTYLINE_TEST_SLOW_READERS_S set how many and how long.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from server.up import Up
from tests.e2e.conftest import new_session, now_ms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

READERS = int(os.environ.get("PARTYLINE_TEST_SLOW_READERS", "150"))
SECONDS = int(os.environ.get("PARTYLINE_TEST_SLOW_READERS_S", "45"))
PARTY = 50
WALKERS = 3
BOUND_KIB_EACH = 64
"""16 KiB here, the control queue's frames, the slot: what one of them may weigh when all is full."""


def frame_of(message: dict[str, object]) -> bytes:
    return Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True)


async def stopped_reader(up: Up, token: str) -> socket.socket:
    """A phone that joins and never reads again; its kernel takes next to nothing."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", urlsplit(up.http).port))
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /v1/stream HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    assert (await loop.sock_recv(sock, 1024)).startswith(b"HTTP/1.1 101")
    await loop.sock_sendall(sock, frame_of({"t": "join", "token": token, "name": "Stopped"}))
    assert b"welcome" in await loop.sock_recv(sock, 1024)
    return sock


async def walk(up: Up, token: str, until: float) -> int:
    """A member who streams and reads. Returns how many frames of positions came."""
    heard = 0
    async with connect(
        f"{up.http.replace('http', 'ws')}/v1/stream", compression=None, proxy=None, ping_interval=None
    ) as ws:

        async def stream() -> None:
            await ws.send(json.dumps({"t": "join", "token": token, "name": "Walker"}))
            await asyncio.sleep(1)
            seq = 0
            while time.monotonic() < until:
                seq += 1
                await ws.send(
                    json.dumps(
                        {"t": "fix", "seq": seq, "at": now_ms(), "lat": 37.5 + seq / 1e5, "lon": 127.0}
                    )
                )
                await asyncio.sleep(0.25)

        streaming = asyncio.create_task(stream())
        while time.monotonic() < until:
            message = await asyncio.wait_for(ws.recv(decode=False), 30)
            heard += b'"positions"' in message[:40]
        await streaming
    return heard


def rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


async def test_five_minutes_of_phones_that_do_not_read_are_flat(
    own_up: Up, record_property: Callable[[str, object], None]
) -> None:
    parties = [new_session(own_up, max_members=500) for _ in range(-(-READERS // PARTY))]
    tokens = [party["sharable_token"] for party in parties]
    pid = own_up.processes["gateway"].pid
    before = rss_kib(pid)
    sockets = [await stopped_reader(own_up, tokens[number % len(tokens)]) for number in range(READERS)]
    until = time.monotonic() + SECONDS
    walkers = [asyncio.create_task(walk(own_up, token, until)) for token in tokens for _ in range(WALKERS)]
    seen, cut, seq = [], set(), 0
    while time.monotonic() < until - 1:
        seq += 1
        fix = frame_of({"t": "fix", "seq": seq, "at": now_ms(), "lat": 37.5 + seq / 1e5, "lon": 127.1})
        for sock in sockets:
            try:
                sock.send(fix)
            except OSError:
                cut.add(sock)
        seen.append(rss_kib(pid))
        record_property(
            f"rss_kib_{int(time.monotonic() - until + SECONDS):04}s", f"{seen[-1]} cut {len(cut)}"
        )
        await asyncio.sleep(min(5, max(0.1, until - time.monotonic() - 1)))
    heard = await asyncio.gather(*walkers)
    for sock in sockets:
        sock.close()
    assert min(heard) > SECONDS, "who reads goes on getting more than a frame a second (a tick is 250 ms)"
    assert max(seen) - before < READERS * BOUND_KIB_EACH + 20_000
    settled = seen[len(seen) // 3 :]
    assert max(settled) - min(settled) < 8_000, "flat once the queues are full"
