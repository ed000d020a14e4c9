"""A storm of joins does not starve who streams: ticks go on, and each of the storm gets in or is told to come again.

PARTYLINE_TEST_STORM sets how many come at once.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
from websockets.frames import Frame, Opcode

from server.turns import JOINS_AT_ONCE, JOINS_WAITING
from server.up import Up
from tests.e2e.conftest import Phone, new_session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STORM = int(os.environ.get("PARTYLINE_TEST_STORM", "2000"))
PARTY = 200
SILENCE_S = 5.0
"""The longest without a tick: 20 times a tick, for a machine on which the storm itself takes a processor."""


async def come(port: int, token: str, at: asyncio.Event) -> str:
    """One of the storm: `welcome`, or the reason of the close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /v1/stream HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    try:
        await reader.readuntil(b"\r\n\r\n")
        join = json.dumps({"t": "join", "token": token, "name": "Storm"}).encode()
        await at.wait()
        writer.write(Frame(Opcode.TEXT, join).serialize(mask=True))
        async with asyncio.timeout(120):
            answer = await reader.read(300)
        return next(
            (word for word in ("welcome", "unavailable") if word.encode() in answer), repr(answer[:80])
        )
    finally:
        writer.transport.abort()


async def test_2000_joins_at_once_and_a_party_streams_on(own_up: Up) -> None:
    port = urlsplit(own_up.http).port
    assert port is not None
    quiet = new_session(own_up)
    ana = await Phone.join(own_up, quiet["sharable_token"], "Ana")
    bo = await Phone.join(own_up, quiet["sharable_token"], "Bo")
    tokens = [new_session(own_up, max_members=PARTY + 1)["sharable_token"] for _ in range(-(-STORM // PARTY))]
    now = asyncio.Event()
    storm = [asyncio.create_task(come(port, tokens[n % len(tokens)], now)) for n in range(STORM)]
    await asyncio.sleep(3)  # they stand before the door
    now.set()
    longest, last = 0.0, time.monotonic()
    while not all(one.done() for one in storm):
        seq = await ana.fix(37.5, 127.0)
        await bo.until("positions", timeout=60)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await ana.acked(seq)
    ends = Counter(one.result() for one in storm)
    assert set(ends) <= {"welcome", "unavailable"}, ends
    assert ends["welcome"] >= min(STORM, JOINS_AT_ONCE + JOINS_WAITING) // 4
    assert longest < SILENCE_S, (longest, ends)
    late = await Phone.join(own_up, tokens[0], "Late")  # and the door is open again
    await late.close()
