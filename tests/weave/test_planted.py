"""The woven worlds convict: each planted fault of the order of things is found, and by the rule that it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import detangle
import pytest

from db.fence import shard_of
from protocol.precision import Precision
from server import applying
from server.acks import AckLedger
from server.batches import BatchLedger
from server.hub import Hub
from server.lease import LEASE_MS, Lease
from tests.weave import ack_world, fence_world
from tests.weave.exploring import explore

RUNS = 3_000


def convicted(world: Callable[[], Any], rule: str, runs: int = RUNS) -> None:
    with pytest.raises(detangle.BugFound) as found:
        explore(world, runs, shrink=False)
    assert rule in str(found.value)


async def ack_woven() -> None:
    await ack_world.World(shard=shard_of(1)).run()


def test_an_ack_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    note = AckLedger.note
    monkeypatch.setattr(AckLedger, "note", lambda self, window, seq: note(self, None, seq))
    say_acks = Hub.say_acks

    def say_all(self: Hub) -> None:
        self._acks |= self.connections
        say_acks(self)

    monkeypatch.setattr(Hub, "say_acks", say_all)
    convicted(ack_woven, "(G1)")


def test_an_ack_when_the_stream_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = BatchLedger.sent
    monkeypatch.setattr(BatchLedger, "sent", lambda *args: sent(*args) or [])
    convicted(ack_woven, "(G1)")


def test_a_writer_that_tells_before_it_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def writer(self: ack_world.World, name: str) -> None:
        stream = self.stream
        while True:
            try:
                found = await stream.ask(lambda: stream.read(name, self._loop.time()))
                await stream.ask(lambda found=found: self._settled(found, []))
                await ack_world.takes()
                self.table.commit([entry.payload for _, entry in found])
            except ack_world.Away:
                pass
            await asyncio.sleep(ack_world.POLL_S)

    monkeypatch.setattr(ack_world.World, "writer", writer)
    convicted(ack_woven, "(G1)")


def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def insert(self: ack_world.Table, key: ack_world.Key) -> None:
        self.rows[key] += 1

    monkeypatch.setattr(ack_world.Table, "insert", insert)
    convicted(ack_woven, "(G2)")


def fence_convicted(monkeypatch: pytest.MonkeyPatch, runs: int = RUNS) -> None:
    convicted(fence_world.woven(monkeypatch, fence_world.Counts()), "(G3)", runs)


def test_no_look_at_what_is_withheld_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubt(hub: Hub, session: Any) -> None:
        session.doubts += 1

    monkeypatch.setattr(applying, "doubt", doubt)
    fence_convicted(monkeypatch)


def test_no_look_at_the_lease_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "held", lambda self: True)
    fence_convicted(monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_lease_that_is_believed_longer_than_redis_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def renewed(self: Lease, asked_ms: int) -> None:
        self._until_ms = self._clock() + 4 * LEASE_MS

    monkeypatch.setattr(Lease, "renewed", renewed)
    fence_convicted(monkeypatch, 20_000)


def test_a_mask_after_an_await(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allowed precision is asked, somebody is waited for, and then the old answer is used."""

    def fix(self: Any, socket: Any, seq: int, at: int | None = None, **more: Any) -> None:
        member = socket.connection.member
        allowed = member.allowed

        async def later() -> None:
            await fence_world.takes()
            current, member.allowed = member.allowed, allowed
            send(self, socket, seq, self.hub.clock(), **more)
            member.allowed = current

        if allowed is not Precision.PRIVATE:
            tasks.append(asyncio.ensure_future(later()))

    tasks: list[Any] = []
    send = fence_world.Party.fix
    monkeypatch.setattr(fence_world.Party, "fix", fix)
    fence_convicted(monkeypatch)
