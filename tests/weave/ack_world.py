"""The way of a fix to its ack (G1, G2) under drawn interleavings: a world of latencies around the real cores.

Phones are real `ClientSession`s; a gateway's life is a real hub with its connections, windows, batches and
ledgers; between them lie a stream that may be lost, two writers that may die anywhere, and rows behind a key
and a fence. Whatever leaves a process takes a drawn time. Nothing here knows of sockets or servers: that the
shells keep this order on real ones is for the chaos suite.

Looked at, always: a fix that its phone was told is stored has its row, and a key has one row. In the end, once
nothing fails any more: every fix is settled, and no phone has lost one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import detangle

from db.positions import _ROW_WITHOUT_ACCURACY
from db.times import PG_EPOCH_MS
from protocol.client import ClientSession
from protocol.client_events import Acked
from protocol.codec import JSON
from protocol.limits import WINDOW_MS
from protocol.messages import ClientMessage, Join, Reject, Resume
from protocol.precision import Precision
from server.batches import Batch, Refusals
from server.connection import Connection
from server.frames import frame_size
from tests.fuzz.world import welcome
from tests.server.parties import NOW, Party, RecordingSocket, make_member

T = TypeVar("T")
Key = tuple[int, int, int]

PHONES, FIXES, FAULTS = 2, 3, 2
FLUSH_S, POLL_S = 0.5, 0.3
UNKNOWN_AFTER_MS = 2_500
CLAIM_AFTER_S = 2.0
SETTLED_S = 90.0
SIZE = _ROW_WITHOUT_ACCURACY.size


class Away(Exception):
    """A server did not answer. What was asked may have been done."""


class Entry:
    """Of the stream."""

    def __init__(self, gateway: Life, payload: bytes) -> None:
        self.gateway = gateway
        self.payload = payload
        self.holder = ""
        self.since_s = 0.0


async def takes() -> None:
    """What leaves a process takes a while."""
    await asyncio.sleep(detangle.uniform(0.002, 0.4, 5))


class Stream:
    """Batches on their way; lost as a whole when its server is restarted."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.lives = 0
        self._count = 0

    async def ask(self, act: Callable[[], T]) -> T:
        """One command: it takes a while to get there and back, and the answer may be lost on either way."""
        life = self.lives
        await takes()
        if life != self.lives:
            raise Away
        answer = act()
        await takes()
        if life != self.lives:
            raise Away
        return answer

    def add(self, gateway: Life, payload: bytes) -> str:
        self._count += 1
        self.entries[str(self._count)] = Entry(gateway, payload)
        return str(self._count)

    def restart(self) -> None:
        self.entries.clear()
        self.lives += 1

    def read(self, name: str, now_s: float) -> list[tuple[str, Entry]]:
        """What is held by `name`, what nobody holds, and what somebody has held for too long."""
        found = [
            (number, entry)
            for number, entry in self.entries.items()
            if entry.holder in ("", name) or now_s - entry.since_s > CLAIM_AFTER_S
        ]
        for _, entry in found:
            entry.holder, entry.since_s = name, now_s
        return found


class Table:
    """Rows behind a primary key, and the fence of a session's precision."""

    def __init__(self) -> None:
        self.rows: Counter[Key] = Counter()
        self.precision = Precision.EXACT

    def insert(self, key: Key) -> None:
        """ON CONFLICT DO NOTHING."""
        if key not in self.rows:
            self.rows[key] = 1

    def commit(self, payloads: list[bytes]) -> Refusals:
        """One transaction: at one instant, or not at all."""
        refused: Refusals = []
        for payload in payloads:
            for at in range(0, len(payload), SIZE):
                row = _ROW_WITHOUT_ACCURACY.unpack_from(payload, at)
                key = (row[2], row[4], row[6] // 1000 + PG_EPOCH_MS)
                precision = Precision(row[-1].decode())
                if precision.coarseness < self.precision.coarseness:
                    refused.append((*key, Reject.PRECISION))
                else:
                    self.insert(key)
        return refused


class Life:
    """One life of a gateway: real cores, and the order in which its shell uses them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.party = Party()
        self.party.hub.clock = world.now_ms
        self.party.hub.command = self._command
        self.party.session.precision = world.table.precision
        self.alive = True
        self.tasks = [asyncio.ensure_future(self._flushes()), asyncio.ensure_future(self._look_ups())]

    def _command(self, connection: Connection, step: object, message: ClientMessage) -> None:
        assert isinstance(message, Join | Resume)
        session, number = self.party.session, int(message.token)
        member = session.members.get(number) or make_member(session, number)
        self.party.hub.restrict(session)
        self.party.hub.attach(connection, member, self._world.now_ms())
        connection.say(welcome(session, member, self._world.now_ms(), message.token))

    async def _flushes(self) -> None:
        hub, stream = self.party.hub, self._world.stream
        while True:
            await asyncio.sleep(FLUSH_S)
            now_ms = self._world.now_ms()
            hub.batches.collect(hub.windows.take_closed(now_ms), now_ms)
            for window in hub.batches.refuse_finer():
                if window.member.connection is not None:
                    hub.want_ack(window.member.connection)
            with suppress(Away):
                for batch in hub.batches.unsent():
                    payload = batch.payload()
                    entry_id = await stream.ask(lambda payload=payload: stream.add(self, payload))
                    early = hub.batches.sent(batch, entry_id, now_ms)
                    if early is not None:
                        self._settle(batch.shard, entry_id, early)
            hub.say_acks()

    async def _look_ups(self) -> None:
        hub, stream = self.party.hub, self._world.stream
        while True:
            await asyncio.sleep(1.0)
            old: list[Batch] = hub.batches.older_than(self._world.now_ms() - UNKNOWN_AFTER_MS, 8)
            for batch in old:
                with suppress(Away):
                    if await stream.ask(lambda batch=batch: batch.entry_id in stream.entries):
                        batch.since_ms = self._world.now_ms()
                    else:
                        hub.batches.lost(batch)

    def heard(self, shard: int, entry_id: str, refused: Refusals) -> None:
        """A writer's word."""
        if self.alive:
            self._settle(shard, entry_id, refused)
            self.party.hub.say_acks()

    def _settle(self, shard: int, entry_id: str, refused: Refusals) -> None:
        hub = self.party.hub
        for window in hub.batches.committed(shard, entry_id, refused):
            if window.member.connection is not None:
                hub.want_ack(window.member.connection)

    def kill(self) -> None:
        self.alive = False
        for task in self.tasks:
            task.cancel()

    async def tighten(self) -> None:
        """As a steering call does it: here first, then behind the writers' fence."""
        session = self.party.session
        session.precision = Precision.PRIVATE
        self.party.hub.restrict(session)
        await takes()
        self._world.table.precision = Precision.PRIVATE
        await takes()


class World:
    """All of them, and what goes wrong."""

    def __init__(self, *, shard: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.stream, self.table = Stream(), Table()
        self._shard = shard
        self._writers = [asyncio.ensure_future(self.writer(name)) for name in ("one", "other")]
        self.life = Life(self)
        self._phones = [asyncio.ensure_future(self.phone(number)) for number in range(1, PHONES + 1)]
        self.acked = 0

    def now_ms(self) -> int:
        return NOW + int(self._loop.time() * 1000)

    async def writer(self, name: str) -> None:
        """Commit, then out of the stream, then tell."""
        stream, table = self.stream, self.table
        while True:
            try:
                found = await stream.ask(lambda: stream.read(name, self._loop.time()))
                if not found:
                    await asyncio.sleep(POLL_S)
                    continue
                await takes()
                refused = table.commit([entry.payload for _, entry in found])
                await takes()
                await stream.ask(lambda found=found, refused=refused: self._settled(found, refused))
            except Away:
                await asyncio.sleep(POLL_S)

    def _settled(self, found: list[tuple[str, Entry]], refused: Refusals) -> None:
        for number, entry in found:
            self.stream.entries.pop(number, None)
            if detangle.flip(0.9):  # what is published may be lost
                late_s = detangle.uniform(0.001, 0.5, 4)
                self._loop.call_later(late_s, entry.gateway.heard, self._shard, number, refused)

    async def phone(self, number: int) -> None:
        """Offers its fixes, and stays until all of them are settled."""
        session = ClientSession(JSON, name="Ana", token=str(number))
        offered = 0
        while offered < FIXES or session.account.held:
            life = self.life
            if not life.alive:
                await asyncio.sleep(POLL_S)
                continue
            connection = Connection(life.party.hub)
            socket = RecordingSocket(connection)
            connection.opened(socket, JSON.subprotocol, "")  # type: ignore[arg-type]
            connection.received(session.connect(self._loop.time()))
            while life.alive and (offered < FIXES or session.account.held):
                if offered < FIXES and detangle.flip(0.6):
                    offered += 1
                    session.offer(self.now_ms() - detangle.choice([0, 6_000, 3_000]), 37.0, 127.0)
                while (frame := session.next_frame(detangle.choice([1, 500]))) is not None:
                    connection.received(frame)
                await asyncio.sleep(detangle.uniform(0.05, 0.6, 4))
                self._hear(number, session, socket)
            connection.lost()
            session.closed(1006, self._loop.time(), 0.5)
        assert session.account.lost == 0

    def _hear(self, number: int, session: ClientSession, socket: RecordingSocket) -> None:
        """What was written until now comes, also from who was killed meanwhile."""
        written, socket.written = b"".join(socket.written), []
        at = 0
        while at < len(written):
            header, length = frame_size(written, at)
            for event in session.receive(written[at + header : at + header + length]):
                if isinstance(event, Acked):
                    self._is_stored(number, event.times)
            at += header + length

    def _is_stored(self, number: int, times: tuple[int, ...]) -> None:
        for at in times:
            key = (self.life.party.session.id, 1000 + number, at - at % WINDOW_MS)
            private = self.life.party.session.precision is Precision.PRIVATE
            assert key in self.table.rows or private, "a fix was acked, and its row is not there (G1)"
            self.acked += 1

    async def fail(self) -> None:
        """What may go wrong, at drawn moments."""
        for _ in range(detangle.randint(0, FAULTS)):
            await asyncio.sleep(detangle.uniform(0.1, 6.0, 8))
            match detangle.randint(0, 3):
                case 0:
                    self.stream.restart()
                case 1:
                    self.life.kill()
                    await asyncio.sleep(detangle.uniform(0.1, 3.0, 3))
                    self.life = Life(self)
                case 2:
                    which = detangle.randint(0, 1)
                    self._writers[which].cancel()
                    self._writers[which] = asyncio.ensure_future(self.writer(f"new {self._loop.time()}"))
                case _:
                    await self.life.tighten()

    async def run(self) -> None:
        """Until all is settled."""
        await self.fail()
        async with asyncio.timeout(SETTLED_S):
            await asyncio.gather(*self._phones)
        for task in (*self._writers, *self.life.tasks):
            task.cancel()
        assert set(self.table.rows.values()) <= {1}, "a window has two rows (G2)"
