"""Every gateway and every writer is restarted in turn under load: nothing acked is lost, nobody is away for long."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from server.up import Up
from tests.chaos.child import Child
from tests.chaos.crowds import Crowd, assert_clean
from tests.chaos.fleet import Fleet
from tests.e2e.conftest import GatewayAt, Served, free_port, new_session
from tests.e2e.travellers import Travellers, until

MEMBERS = int(os.environ.get("PARTYLINE_TEST_ROLLING_MEMBERS", "60"))
PARTY = 6
AWAY_S = 3.0
"""What is promised, from the close to the next welcome, and of who is shown as offline."""


class Direct(Fleet):
    """Without the proxies, whose threads would take the time that is measured."""

    def _child(self, name: str, *arguments: str, role: str, **more: Any) -> Child:
        for proxied in ("redis_url", "database"):
            more.pop(proxied, None)
        return super()._child(name, *arguments, role=role, **more)


def travellers(at: Served, *urls: str) -> Travellers:
    """In sessions that are made at one gateway, to be met on all."""
    made = [new_session(at, tick_ms=1000) for _ in range(MEMBERS // PARTY)]
    sessions = [(one["session"], one["sharable_token"]) for one in made]
    return Travellers(sessions, PARTY, [f"{url.replace('http', 'ws', 1)}/v1/stream" for url in urls])


async def judge(on_the_way: Travellers, database_url: str, *logs: Path) -> None:
    """What must hold once the last one has come back."""
    await until(lambda: all(one.away == 0 for one in on_the_way.all))
    await on_the_way.settled()
    measured = on_the_way.measured
    print(f"{len(on_the_way.all)} members: {measured.line()}; closes {dict(measured.closes)}")  # noqa: T201
    assert await on_the_way.lost(database_url) == []
    assert sum(len(one.acked) for one in on_the_way.all) > 5 * len(on_the_way.all)
    assert all(one.session.account.lost == 0 for one in on_the_way.all)
    assert max(measured.without) <= AWAY_S
    assert max(measured.offline, default=0) <= AWAY_S, "shown offline to the others"
    assert measured.closes[4000] >= len(on_the_way.all)
    for log in logs:
        text = log.read_text()
        assert '"level": "ERROR"' not in text, text
        assert "Traceback" not in text, text


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_gateways_and_writers_restarted_in_turn_lose_nothing_and_nobody(tmp_path: Path) -> None:
    with Direct(tmp_path / "fleet", gateways=3, writers=2) as fleet:
        with Crowd(fleet, members=MEMBERS, seed=7) as crowd:
            async with travellers(GatewayAt(fleet.urls[0]), *fleet.urls) as on_the_way:
                await asyncio.sleep(5)
                writers = [fleet.writers[0], fleet.writers[1], fleet.writers[0]]
                for gateway, writer in zip(fleet.gateways, writers, strict=True):
                    for one in (gateway, writer):
                        assert await asyncio.to_thread(one.terminate) == 0
                        one.start()
                        await asyncio.to_thread(fleet.await_ready)
                    await asyncio.sleep(1)
                await judge(on_the_way, fleet.database_url, *(one.log for one in fleet.children))
            run = await asyncio.to_thread(crowd.ended)
        print(f"crowd: {run.account}; looked up {run.audited.looked_up}")  # noqa: T201
        assert_clean(run, crowd.said)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_workers_replaced_in_turn_lose_nothing_and_nobody(tmp_path: Path) -> None:
    up = Up(data_dir=tmp_path, host="127.0.0.1", port=free_port(), demo=False, say=print, workers=2)
    log = tmp_path / "gateway.log"
    try:
        up.start()
        async with travellers(up, up.http) as on_the_way:
            for times in (1, 2):
                await asyncio.sleep(5)
                up.processes["gateway"].send_signal(signal.SIGHUP)
                await until(lambda times=times: log.read_text().count("rolling restart done") == times)  # type: ignore[misc]
            await judge(on_the_way, up.stack.database_url, log)
    finally:
        up.stop()
