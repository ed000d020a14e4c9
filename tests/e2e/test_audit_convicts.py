"""The audit of crowd runs convicts a real gateway of each planted fault, by the rule that it breaks, and
acquits the same gateway without one. Real phones, PostgreSQL, Redis and writer; see `faulty_gateway.py`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.request import urlopen

import pytest

from load_tests.audit.party import PartyAudit
from load_tests.audit.rows import stored_rows
from load_tests.phone import Phone
from load_tests.run.notes import Audited
from protocol.client import ClientSession
from protocol.client_events import Acked, Event, PositionsSeen, PrecisionSeen, RejectedFix, Welcomed
from protocol.codec import JSON
from protocol.precision import Precision
from server.up import Up
from tests.e2e.conftest import http, new_session, now_ms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

ROOT = Path(__file__).parent.parent.parent
FIXES, EVERY_S = 16, 0.3
SETTLED_S = 20.0
EXACT, ROUGH, PRIVATE = Precision


@contextmanager
def gateway_with(up: Up, fault: str) -> Iterator[None]:
    """The gateway is replaced by one with a fault; by a good one again afterwards."""
    _end(up.processes.pop("gateway"))
    environment = os.environ | {
        "PARTYLINE_REDIS_URL": up.stack.redis_url,
        "PARTYLINE_MASK_KEY": up._secrets.get("mask_key"),
        "PARTYLINE_ALLOW_GUESTS": "1",
        "PARTYLINE_DATABASE_URL": up._url_of("gateway"),
    }
    command = [sys.executable, "-m", "tests.e2e.faulty_gateway", fault, "--host", "127.0.0.1"]
    with (up.data_dir / "faulty.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--port", str(up._port)], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        _wait_until_ready(up)
        yield
    finally:
        process.kill()  # nothing of it is needed any more
        process.wait()
        up.start_process("gateway")
        _wait_until_ready(up)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


def _wait_until_ready(up: Up) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"{up.http}/readyz", timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline, "the gateway is not ready"
            time.sleep(0.05)


class Walker:
    """A phone that walks, and tells the audit."""

    def __init__(self, party: Party, number: int, own: Precision, member_token: str = "") -> None:
        self._audit, self._own, self._random = party.audit, own, Random(number)
        token = "" if member_token else party.sharable
        session = ClientSession(
            JSON, name=f"Walker {number}", token=token, precision=own, member_token=member_token
        )
        url = party.up.http.replace("http", "ws") + "/v1/stream"
        self.phone = Phone(
            session, JSON, url, jitter=self._random.random, seen=self._seen, closed=self._closed
        )
        self.m = 0
        self._lat, self._lon = 37.5 + number / 50, 127.0 + number / 50

    def step(self) -> None:
        self._lat += self._random.uniform(1e-5, 3e-5)
        self._lon += self._random.uniform(1e-5, 3e-5)
        at = now_ms()
        seq = self.phone.offer(at, self._lat, self._lon, acc=5.0, spd=1.4, hdg=45.0)
        self._audit.offered(self.m, seq, at, self._lat, self._lon, at, live=self.phone.ready)

    def _seen(self, event: Event) -> None:
        match event:
            case Welcomed(welcome):
                self.m = welcome.you
                self._audit.welcomed(self.m, welcome, now_ms(), self._own)
            case PositionsSeen(frame):
                self._audit.positions(self.m, frame, now_ms())
            case Acked(times):
                self._audit.acked(self.m, times, now_ms())
            case RejectedFix(seq, code):
                self._audit.rejected(self.m, seq, code, now_ms())
            case PrecisionSeen(precision, revision):
                self._audit.precision_seen(self.m, precision, revision, now_ms())

    def _closed(self, code: int) -> None:
        self._audit.disconnected(self.m, now_ms())


class Party:
    """A host, two exact members, a rough and a private one."""

    def __init__(self, up: Up) -> None:
        self.up = up
        made = new_session(up)
        self.session, self.sharable = made["session"], made["sharable_token"]
        self._host_token = made["host"]["member_token"]
        self.audit = PartyAudit(self.session, precision=EXACT, tick_ms=250)
        self.walkers = [Walker(self, 0, EXACT, self._host_token)]
        self.walkers += [Walker(self, 1 + n, own) for n, own in enumerate((EXACT, EXACT, ROUGH, PRIVATE))]

    async def join(self) -> None:
        for walker in self.walkers:
            walker.phone.start()
            await walker.phone.joined()

    async def walk(self) -> None:
        for _ in range(FIXES):
            for walker in self.walkers:
                walker.step()
            await asyncio.sleep(EVERY_S)

    async def change(self, to: Precision) -> None:
        self.audit.session_asked(to, now_ms())
        path = f"/v1/sessions/{self.session}"
        status, answer = await asyncio.to_thread(
            http, self.up, "PATCH", path, {"precision": to.value}, self._host_token
        )
        assert status == 200, answer
        self.audit.session_returned(to, now_ms())

    async def settled(self) -> None:
        """Until every fix is acked or rejected, or that takes too long."""
        deadline = time.monotonic() + SETTLED_S
        while any(one.phone.session.account.held for one in self.walkers) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)

    async def judged(self) -> Audited:
        """Of what there is by now."""
        for walker in self.walkers:
            await walker.phone.stop()
        rows = await stored_rows(self.up.stack.database_url, self.session)
        return self.audit.finish({one.m: one.phone.session.account for one in self.walkers}, rows)


async def walked(up: Up, *changes: Precision, settled: bool = True) -> Audited:
    """A party that walks, after each of the host's changes again."""
    party = Party(up)
    await party.join()
    await party.walk()
    for change in changes:
        await party.change(change)
        await party.walk()
    if settled:
        await party.settled()
    return await party.judged()


async def test_an_honest_gateway_is_acquitted(up: Up) -> None:
    with gateway_with(up, "none"):
        audited = await walked(up, ROUGH, EXACT, PRIVATE)
    assert (audited.violations, audited.broken) == ([], {})
    assert audited.deliveries > 3 * FIXES, "it saw too little to judge"
    assert audited.looked_up > audited.acked_windows / 4 > 0
    assert audited.rows >= 3, "the first windows of who is exact"


@pytest.mark.parametrize(
    ("fault", "rule", "changes"),
    [
        ("lose_a_row", "G1", ()),
        ("leak_rough", "G4", ()),
        ("leak_private", "G4", ()),
        ("show_the_raw_place", "G4", ()),
        ("leak_rough", "G3", (ROUGH,)),
        ("show_the_raw_place", "G3", (ROUGH,)),
        ("tighten_nobody", "G3", (ROUGH,)),
        ("tighten_nobody", "G3", (PRIVATE,)),
        ("loosen_for_others", "G4", (ROUGH, EXACT)),
        ("show_an_old_one", "order", ()),
        ("mix_up", "G2", ()),
    ],
)
async def test_a_planted_fault_is_convicted(
    up: Up, fault: str, rule: str, changes: tuple[Precision, ...]
) -> None:
    with gateway_with(up, fault):
        audited = await walked(up, *changes, settled=rule == "G1")
    assert rule in audited.broken, f"{fault}: {audited.broken}"
    (first, *_) = [violation for violation in audited.violations if violation.rule == rule]
    assert first.evidence


async def test_an_ack_without_a_row_is_convicted(up: Up) -> None:
    with gateway_with(up, "ack_early"):
        _end(up.processes.pop("writer"))
        try:
            audited = await walked(up)
        finally:
            up.start_process("writer")
    assert audited.broken["G1"] >= audited.looked_up > 0


async def test_a_row_that_goes_after_its_ack_is_convicted(up: Up) -> None:
    import asyncpg

    party = Party(up)
    await party.join()
    await party.walk()
    await party.settled()
    connection = await asyncpg.connect(up.stack.database_url)
    await connection.execute(
        "DELETE FROM party_positions WHERE session_id = $1 AND recorded_at = (SELECT min(recorded_at)"
        " FROM party_positions WHERE session_id = $1 AND precision = 'exact')",
        party.session,
    )
    await connection.close()
    audited = await party.judged()
    assert set(audited.broken) == {"G1"}
