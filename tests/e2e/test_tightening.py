"""A tightening holds when the host hears of it (G3), and a loosening waits for each member's yes (G4), at random
instants, while three phones stream.

How the check is exact. Every fix says `acc` 5, so a row with that accuracy is an exact one; a rough row says
353 or more. A row that was *sent* after the call returned shows in one of two ways:

- It comes after the `precision` message of that call on its connection. The gateway writes that message
  before the call returns, and a connection keeps its order, so this needs no clock (`Order`).
- It was written before that message, and waited inside the gateway. Then it is not at the reader's socket
  when the call returns: on the loopback, what the kernel has taken of a connection that is being read is
  at the other end at once. So each `Listener` is read empty, without waiting, in the thread that made the
  call, as its first act after the return; no exact row may be in what it reads later.

Both ways together leave no gap: a row of the second kind that is sent between the return and that reading
comes before the `precision` message, so that message is not in the reading; `tighten` asserts that it is.

What is cached and stored is read right after the return, and again before the next loosening: nothing
exact may be in the cache either time, and no exact row may have been added. Each fix lies in a window of its
own, so that exact rows are on their way to PostgreSQL at every instant. (That the call waits for a writer
which judged by the old precision shows exactly in `tests/server/test_steering.py`: here the time between the
return and the reading of the rows, a millisecond or two, is not seen.)
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from protocol.precision import Precision
from server.snapshots import read_snapshots
from server.up import Up
from tests.e2e.conftest import http, new_session, now_ms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROUNDS = 60
PHONES = 3
FIXES_PER_S = 20
ACC = 5.0
SUBPROTOCOL = "partyline.v1.json"


class Order:
    """What one connection was told, in order: no exact row between a tightening and the next loosening."""

    def __init__(self) -> None:
        self.tight = False
        self.exact = 0
        self.rough = 0
        self.after_a_tightening: list[Any] = []

    def take(self, message: dict[str, Any]) -> list[Any]:
        """Returns the exact rows in it."""
        if message["t"] == "welcome":
            self.tight = message["session_precision"] != "exact"
        elif message["t"] == "precision":
            self.tight = message["precision"] != "exact"
        rows = message.get("p") or message.get("positions") or []
        exact = [row for row in rows if row[4] == ACC]
        self.exact += len(exact)
        self.rough += len(rows) - len(exact)
        if self.tight:
            self.after_a_tightening += exact
        return exact


class Listener:
    """A member who only reads, and only when told to: by a socket of its own, without a thread."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self.order = Order()
        self.opened = 0
        self._open()

    def _open(self) -> None:
        uri = parse_uri(self._url)
        self._socket = socket.create_connection((uri.host, uri.port), 10)
        self._protocol = ClientProtocol(uri, subprotocols=[SUBPROTOCOL], max_size=None)  # type: ignore[list-item]
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._protocol.receive_data(self._socket.recv(65_536))
        self._protocol.events_received()
        self._protocol.send_text(json.dumps({"t": "resume", "token": self._token}).encode())
        self._flush()
        self.opened += 1

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

    def read(self, seconds: float = 0.0) -> tuple[list[Any], list[dict[str, Any]]]:
        """(exact rows, messages) of all that is there, and of what comes within `seconds`. Comes again when cut."""
        exact, messages, end = [], [], time.monotonic() + seconds
        while select.select([self._socket], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                data = self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
            except ConnectionResetError:
                data = b""
            if not data:
                self.close()
                self._open()
                continue
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    messages.append(json.loads(event.data))
                    exact += self.order.take(messages[-1])
            self._flush()
        return exact, messages

    def close(self) -> None:
        self._socket.close()


class Streamer:
    """A phone that sends a fix every 50 ms, each in a window of its own, and comes again when it is cut."""

    def __init__(self, url: str, token: str, number: int, start_ms: int) -> None:
        self._url, self._token, self._number, self._at = url, token, number, start_ms
        self.order = Order()
        self.opened = 0
        self.sent = 0
        self._say: list[dict[str, Any]] = []

    def share_exact(self) -> None:
        """From another thread: the member's own yes."""
        self._say.append({"t": "share", "precision": "exact"})

    async def run(self) -> None:
        while True:
            async with connect(self._url, subprotocols=[SUBPROTOCOL], compression=None, proxy=None) as socket:  # type: ignore[list-item]
                self.opened += 1
                await socket.send(json.dumps({"t": "resume", "token": self._token}))
                reading = asyncio.ensure_future(self._read(socket))
                try:
                    while True:
                        await self._send(socket)
                        await asyncio.sleep(1 / FIXES_PER_S)
                except ConnectionClosed:
                    continue
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    async def _send(self, socket: Any) -> None:
        while self._say:
            await socket.send(json.dumps(self._say[0]))
            self._say.pop(0)
        self.sent += 1
        self._at += 5_000
        place = {"lat": 37.5 + self._number / 100 + self.sent / 1e6, "lon": 127.0}
        await socket.send(json.dumps({"t": "fix", "seq": self.sent, "at": self._at, "acc": ACC, **place}))

    async def _read(self, socket: Any) -> None:
        async for text in socket:
            self.order.take(json.loads(text))


@contextmanager
def streaming(streamers: list[Streamer]) -> Iterator[None]:
    """All of them, on a loop and thread of their own."""
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[None]] = []

    async def all_of_them() -> None:
        tasks.extend(asyncio.ensure_future(streamer.run()) for streamer in streamers)
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(all_of_them()))
    thread.start()
    try:
        yield
        assert not [task for task in tasks if task.done()], "a phone gave up"
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        thread.join(20)
        loop.close()


class Kept:
    """What is cached and stored of the session."""

    def __init__(self, up: Up, session: int) -> None:
        self._session = session
        self._redis = up.stack.redis_url
        self._database = psycopg.connect(up.stack.database_url, autocommit=True)

    def exact_in_cache(self) -> list[int]:
        async def read() -> list[int]:
            async with redis.asyncio.Redis.from_url(self._redis) as client:
                found = await read_snapshots(client, self._session)
                return [number for number, position in found.items() if position.precision is Precision.EXACT]

        return asyncio.run(read())

    def exact_rows(self) -> set[tuple[int, Any]]:
        rows = self._database.execute(
            "SELECT user_id, recorded_at FROM party_positions WHERE session_id = %s AND precision = 'exact'",
            [self._session],
        )
        return {(user, at) for user, at in rows}

    def close(self) -> None:
        self._database.close()


def member_token(up: Up, sharable: str, name: str) -> str:
    async def join() -> str:
        from tests.e2e.conftest import Phone

        phone = await Phone.join(up, sharable, name)
        await phone.close()
        return str(phone.welcome["member_token"])

    return asyncio.run(join())


def wait_for(listeners: list[Listener], true: Callable[[list[Any]], bool], what: str) -> None:
    """Reads until the exact rows that one of them saw satisfy `true`."""
    deadline = time.monotonic() + 20
    seen: list[Any] = []
    while not true(seen):
        assert time.monotonic() < deadline, what
        for listener in listeners:
            seen += listener.read(0.02)[0]


def test_at_random_instants(up: Up) -> None:
    seed = secrets.randbelow(2**32)
    print(f"\nseed {seed}")  # noqa: T201
    dice = random.Random(seed)
    start = now_ms() - 20 * 3_600_000
    session = new_session(up, started_at=start)
    host, path, url = (
        session["host"]["member_token"],
        f"/v1/sessions/{session['session']}",
        up.http.replace("http", "ws") + "/v1/stream",
    )
    numbers = set(range(2, 2 + PHONES))
    streamers = [
        Streamer(url, member_token(up, session["sharable_token"], f"phone {n}"), n, start)
        for n in range(PHONES)
    ]
    tokens = [host, member_token(up, session["sharable_token"], "reader")]
    listeners = [Listener(url, token) for token in tokens]
    kept = Kept(up, session["session"])

    def change(to: str) -> None:
        status, answer = http(up, "PATCH", path, {"precision": to}, host)
        assert status == 200, answer

    rounds_with_new_rows, stored = 0, 0
    with streaming(streamers):
        for n in range(ROUNDS):
            wait_for(listeners, lambda seen: {row[0] for row in seen} >= numbers, "nobody is seen exactly")
            # Long enough, every other time, for rows of this phase to be on every part of their way.
            end = time.monotonic() + dice.uniform(0, 0.4) + n % 2 * dice.uniform(1.0, 2.2)
            while time.monotonic() < end:
                for listener in listeners:
                    listener.read()

            to = dice.choice(["rough", "private"])
            opened = [listener.opened for listener in listeners]
            change(to)
            at_return = [listener.read() for listener in listeners]  # what was sent before the return
            rows, in_cache = kept.exact_rows(), kept.exact_in_cache()
            for listener, was_opened, (_, messages) in zip(listeners, opened, at_return, strict=True):
                told = [m for m in messages if m["t"] in ("precision", "welcome")]
                assert told or listener.opened > was_opened, f"round {n}: not told before the return"
            assert in_cache == [], f"round {n}: in the cache at the return"

            end = time.monotonic() + dice.uniform(0.05, 0.5)
            while time.monotonic() < end:
                for listener in listeners:
                    assert listener.read(0.01)[0] == [], f"round {n}: exact after {to} had returned"
            assert kept.exact_in_cache() == [], f"round {n}: in the cache again"
            assert kept.exact_rows() == rows, f"round {n}: exact rows stored after the return"
            rounds_with_new_rows += len(rows) > stored
            stored = len(rows)

            change("exact")
            for listener in listeners:
                assert listener.read(dice.uniform(0, 0.1))[0] == [], f"round {n}: loosened by the host alone"
            for streamer in streamers:
                streamer.share_exact()

    everybody = [*listeners, *streamers]
    for one in everybody:
        assert one.order.after_a_tightening == []
        assert one.order.exact > ROUNDS, "it could not have seen any"
    assert sum(one.order.rough for one in everybody), "no rough row in any round"
    assert rounds_with_new_rows > ROUNDS / 4, "too few rows to tell"
    for listener in listeners:
        listener.close()
    kept.close()
