"""Erasure while a crowd streams (G7): afterwards a search of pg_dump, Redis and the logs finds nothing of the person.

The person has an account, a party of their own, posts, feedback, trips, missions; their phones go on sending and
coming back through it all. The writer works, or was stopped with their rows on its hands.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest
import redis
from websockets.exceptions import ConnectionClosed

from db.embedded.dump import pg_dump
from server.up import Up
from tests.db.test_erasure import Author
from tests.e2e.conftest import Phone, http, new_session, now_ms, rows, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "a secret of the product's accounts, 32+"
NUMBER = 7_340_033_817
"""A user's number that nothing else in the database looks like."""
DAY_MS = 86_400_000


@pytest.fixture
def signing_up(tmp_path: Path) -> Iterator[Up]:
    """A server of one's own, which knows the product's accounts."""
    running = started(tmp_path, PARTYLINE_JWT_SECRET=SECRET)
    yield running
    with suppress(ProcessLookupError):
        os.kill(running.processes["writer"].pid, signal.SIGCONT)
    running.stop()


PLACE = (-67.123456712, -163.987654321)
SPREAD = 1e-10
"""Where nobody else is; every fix of theirs is within a millimetre, so that all of them begin alike."""


def some_place() -> tuple[float, float]:
    return PLACE[0] - random.random() * SPREAD, PLACE[1] - random.random() * SPREAD


def how_they_begin() -> Iterator[bytes]:
    """A coordinate as text, as the bytes of a double in both orders, and as these in hexadecimal."""
    for value in PLACE:
        begin = struct.pack(">d", value)[:5]
        assert struct.pack(">d", value - SPREAD).startswith(begin)
        yield f"{-value:.7f}".encode()
        for packed in (begin, begin[::-1]):
            yield from (packed, packed.hex().encode(), packed.hex().upper().encode())


class Person:
    """Who is to be erased."""

    def __init__(self, up: Up, number: int) -> None:
        self.up = up
        self.number = number
        self.token = jwt.encode({"sub": str(number), "exp": int(time.time()) + 3600}, SECRET, "HS256")
        self.codes: list[int] = []

    async def stream(self, phone: Phone, sharable: str) -> None:
        """Sends, and when it is thrown out comes back by every way there is, until it is cancelled."""
        member_token = phone.welcome["member_token"]
        while True:
            try:
                await phone.fix(*some_place(), at=now_ms() - random.randrange(2) * DAY_MS)
                await asyncio.sleep(0.02)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                self.codes.append(closed.rcvd.code)
                phone = await Phone.open(self.up)
                with suppress(ConnectionClosed):
                    if len(self.codes) % 2:
                        await phone.say(t="resume", token=member_token)
                    else:
                        await phone.say(t="join", token=sharable, name="Mina", user=self.token)
                await asyncio.sleep(0.05)

    def found_in(self, kept: bytes) -> set[bytes]:
        """Number, e-mail, name and coordinates, as text and as the bytes that COPY, WKB and MessagePack hold."""
        traces = [text.encode() for text in (Author.EMAIL, Author.EMAIL.upper(), "Mina")]
        traces += [struct.pack(order + "q", self.number) for order in "<>"]
        found = {trace for trace in [*traces, *how_they_begin()] if trace in kept}
        return found | set(re.findall(rb"(?<!\d)%d(?!\d)" % self.number, kept))


def redis_of(up: Up) -> bytes:
    """Every key and its bytes, deleted entries that linger too."""
    with redis.Redis.from_url(up.stack.redis_url) as client:
        client.config_set("rdbcompression", "no")
        kept = b"\n".join(key + (client.dump(key) or b"") for key in client.scan_iter())
        return kept + repr(client.slowlog_get(1000)).encode()


def logs_of(up: Up) -> bytes:
    return b"\n".join(log.read_bytes() for log in up.data_dir.rglob("*.log"))


def dump_of(up: Up) -> bytes:
    dump = pg_dump(up.stack.database_url, [])
    assert "COPY _timescaledb_internal._hyper" in dump or "COPY public.party_positions_p" in dump
    return dump.encode()


async def sign_up(up: Up) -> Person:
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        await connection.execute(f"ALTER TABLE users ALTER id RESTART WITH {NUMBER}")
        number = await connection.fetchval("SELECT create_account('x@y.example', 'argon2')")
        await connection.execute("UPDATE users SET location_opt_in = true WHERE id = $1", number)
        await Author().live(connection, number)
        return Person(up, number)
    finally:
        await connection.close()


async def others_stream(phone: Phone, stop: asyncio.Event) -> int:
    """Somebody else, who must not notice."""
    seq = 0
    while not stop.is_set():
        seq = await phone.fix(37.5, 127.0)
        await asyncio.sleep(0.05)
    return seq


@asynccontextmanager
async def streaming(person: Person, phones: list[Phone], sharable: str) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(person.stream(phone, sharable)) for phone in phones]
    yield
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), outcome


@pytest.mark.parametrize("writer", ["works", "is stopped"])
async def test_while_a_crowd_streams(signing_up: Up, writer: str) -> None:
    up = signing_up
    person = await sign_up(up)
    sharing = new_session(up, started_at=now_ms() - 3 * DAY_MS)
    own = http(
        up,
        "POST",
        "/v1/sessions",
        {"display_name": "Mina", "options": {"started_at": now_ms() - 3 * DAY_MS}},
        person.token,
    )[1]
    crowd = [await Phone.join(up, sharing["sharable_token"], f"Crowd {n}") for n in range(4)]
    theirs = [
        await Phone.join(up, sharing["sharable_token"], "Mina", user=person.token),
        await Phone.resume(up, own["host"]["member_token"]),
    ]
    stop = asyncio.Event()
    others = [asyncio.create_task(others_stream(phone, stop)) for phone in crowd]
    process = up.processes["writer"].pid
    async with streaming(person, theirs, sharing["sharable_token"]):
        for phone in theirs:
            await phone.acked(1)
        if writer == "is stopped":
            os.kill(process, signal.SIGSTOP)
        await asyncio.sleep(5)
        # What the searches below do not find is there to be found.
        dumped, cached = person.found_in(dump_of(up)), person.found_in(redis_of(up))
        assert {str(person.number).encode(), Author.EMAIL.encode(), b"Mina"} < dumped
        assert dumped & set(how_they_begin())
        assert struct.pack(">q", person.number) in cached or writer == "works"
        assert cached & set(how_they_begin())
        status, receipt = await asyncio.to_thread(http, up, "DELETE", "/v1/me", token=person.token)
        assert status == 200, receipt
        # At once, with everybody still streaming, and the writer perhaps still stopped.
        assert person.found_in(redis_of(up)) == set()
        assert person.found_in(dump_of(up)) == set()
        os.kill(process, signal.SIGCONT)
        await asyncio.sleep(8)  # windows closed, batches judged
    stop.set()
    for phone, last in zip(crowd, await asyncio.gather(*others), strict=True):
        await phone.acked(last, timeout=60)
    for kept in (dump_of(up), redis_of(up), logs_of(up)):
        assert person.found_in(kept) == set()
    assert len(person.codes) > 4
    assert set(person.codes) <= {4501, 4503}, "bad token, and the end of their own party"
    check_receipt(receipt, on_their_way=writer == "is stopped")
    stored = await rows(up, sharing["session"])
    assert len({row["user_id"] for row in stored}) == len(crowd)
    assert http(up, "DELETE", "/v1/me", token=person.token)[0] == 401


def check_receipt(receipt: dict[str, Any], *, on_their_way: bool) -> None:
    deleted, kept = receipt["deleted"], receipt["kept"]
    assert receipt["finished_at"] >= receipt["erased_at"]
    assert receipt["sessions_ended"] == 1
    assert deleted["positions"] > 0
    assert deleted["on_their_way"] > 0 or not on_their_way
    assert (deleted["posts"], deleted["missions"], deleted["features"]) == (5, 1, 1)
    assert kept == {"sessions": 2, "posts": 1, "feedback": 1, "trips": 1}
