"""Every gateway and every writer is restarted in turn under load: nothing acked is lost, nobody is away for long."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from server.up import Up
from tests.e2e.conftest import free_port, new_session
from tests.e2e.travellers import Travellers, until

MEMBERS = int(os.environ.get("PARTYLINE_TEST_ROLLING_MEMBERS", "60"))
PARTY = 6
AWAY_S = 3.0
"""What is promised, from the close to the next welcome."""


class Several(Up):
    """`up` with several gateways, each on a port of its own, and two writers."""

    def add(self, *ports: int) -> None:
        self._arguments = {
            f"gateway-{number}": ("--host", "127.0.0.1", "--port", str(port))
            for number, port in enumerate(ports, 2)
        } | {"writer": ("--name", "writer-1"), "writer-2": ("--name", "writer-2")}
        for name in self._arguments:
            if name != "writer":
                self.start_process(name, *self._arguments[name])

    async def restart(self, name: str) -> None:
        """SIGTERM, and the same again when it has ended."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
        self.start_process(name, *self._arguments.get(name, ()))


async def ready(port: int) -> None:
    def answers() -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    async with asyncio.timeout(60):
        while not await asyncio.to_thread(answers):
            await asyncio.sleep(0.05)


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/v1/stream"


def parties(up: Up) -> list[tuple[int, str]]:
    made = [new_session(up, tick_ms=1000) for _ in range(MEMBERS // PARTY)]
    return [(one["session"], one["sharable_token"]) for one in made]


async def judged(up: Up, travellers: Travellers) -> None:
    """What must hold once the last one has come back."""
    await until(lambda: all(one.away == 0 for one in travellers.all))
    await travellers.settled()
    measured = travellers.measured
    print(f"{len(travellers.all)} members: {measured.line()}; closes {dict(measured.closes)}")  # noqa: T201
    assert await travellers.lost(up.stack.database_url) == []
    assert sum(len(one.acked) for one in travellers.all) > 5 * len(travellers.all)
    assert all(one.session.account.lost == 0 for one in travellers.all)
    assert max(measured.without) <= AWAY_S
    assert measured.closes[4000] >= len(travellers.all)
    for name in [name for name in up.processes if name.startswith(("gateway", "writer"))]:
        log = (up.data_dir / f"{name}.log").read_text()
        assert '"level": "ERROR"' not in log, log
        assert "Traceback" not in log, log


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Several]:
    up = Several(data_dir=tmp_path, host="127.0.0.1", port=free_port(), demo=False, say=print)
    try:
        up.start()
        yield up
    finally:
        up.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_gateways_and_writers_restarted_in_turn_lose_nothing_and_nobody(several: Several) -> None:
    ports = [several._port, free_port(), free_port()]
    several.add(*ports[1:])
    for port in ports:
        await ready(port)
    async with Travellers(parties(several), PARTY, list(map(url, ports))) as travellers:
        await asyncio.sleep(6)
        for port, *names in zip(
            ports, ("gateway", "gateway-2", "gateway-3"), ("writer", "writer-2", "writer"), strict=True
        ):
            for name in names:
                await several.restart(str(name))
                await ready(port)
            await asyncio.sleep(1)
        await judged(several, travellers)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_workers_replaced_in_turn_lose_nothing_and_nobody(tmp_path: Path) -> None:
    up = Up(data_dir=tmp_path, host="127.0.0.1", port=free_port(), demo=False, say=print, workers=2)
    log = tmp_path / "gateway.log"
    try:
        up.start()
        async with Travellers(parties(up), PARTY, [url(up._port)]) as travellers:
            for times in (1, 2):
                await asyncio.sleep(5)
                up.processes["gateway"].send_signal(signal.SIGHUP)
                await until(lambda times=times: log.read_text().count("rolling restart done") == times)  # type: ignore[misc]
            await judged(up, travellers)
    finally:
        up.stop()
