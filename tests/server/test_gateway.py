"""The gateway's process: its loops, its lease, its goodbye; failures of a command are the asker's alone (G8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db.embedded import Stack
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.precision import Precision
from server.control_store import LEASES
from server.lease import LEASE_MS
from server.serving import serve
from server.settings import Settings, SettingsError
from server.writer import Writer
from tests.server.lives import (
    MASK_KEY,
    Life,
    Lives,
    a_life,
    eventually,
    member_of,
    now_ms,
    roles_of,
    running,
    said,
)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.writer.BLOCK_MS", 50)


async def test_the_loops_share_store_and_ack(live: Lives, writer: Writer) -> None:
    life = await live(flush_ms=50)
    hosted = await life.host(tick_ms=250)
    ana, bo = await life.join(hosted), await life.join(hosted, "Bo")
    seen: list[Any] = []
    async with life.gateway.running(), running(writer.run):
        at = now_ms() - 6_000
        life.fix(ana, 1, at)
        await eventually(lambda: seen.extend(said(bo, wire.Positions)) or seen)
        assert [row[1] for row in seen[0].p] == [at]
        await eventually(lambda: wire.Ack(seq=1) in ana.said())
    assert writer.stats.rows == 1
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], "a loop runs on"


@pytest.mark.slow
async def test_without_redis_the_lease_ends_and_nothing_is_sent(own_stack: Stack) -> None:
    from db import migrate

    migrate.upgrade(own_stack.database_url)
    async with a_life(roles_of(own_stack.database_url)("gateway"), own_stack.redis_url) as life:
        life.gateway.lease._until_ms = 0
        hosted = await life.host(tick_ms=250)
        ana, bo = await life.join(hosted), await life.join(hosted, "Bo")
        async with life.gateway.running():
            await eventually(life.gateway.lease.held)
            assert 0 < await life.redis.pttl(LEASES + life.gateway.id) <= LEASE_MS
            life.fix(ana, 1, now_ms())
            await eventually(lambda: said(bo, wire.Positions))
            for seq in (2, 3):
                heard: list[Any] = []
                await asyncio.to_thread(own_stack.redis.kill)
                await eventually(lambda: not life.gateway.lease.held())
                await eventually(lambda heard=heard: heard.extend(bo.said()) or HOLD in heard)
                bo.said()
                life.fix(ana, seq, now_ms())
                await asyncio.sleep(0.4)
                assert not said(bo, wire.Positions), "sent without a lease"
                await asyncio.to_thread(own_stack.redis.start)
                heard.clear()
                await eventually(lambda heard=heard: heard.extend(bo.said()) or of(heard, wire.Positions))
                assert GO_ON in heard


HOLD, GO_ON = wire.Policy(interval_ms=1000, hold=True), wire.Policy(interval_ms=1000, hold=False)


def of(heard: list[Any], kind: type) -> list[Any]:
    return [message for message in heard if isinstance(message, kind)]


async def test_a_loop_that_dies_ends_the_process(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def dies() -> None:
        raise ValueError("37.5663, 126.9779")

    from server.gateway import _supervised

    with pytest.raises(SystemExit) as raised:
        await _supervised(dies())
    assert raised.value.code == 1
    assert "a loop of the gateway died" in caplog.text
    assert "37.5663" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "code"),
    [(OSError("x"), CloseCode.UNAVAILABLE), (TimeoutError(), CloseCode.UNAVAILABLE), (ValueError("a-secret"), CloseCode.UNAVAILABLE)],
)  # fmt: skip
async def test_a_command_that_fails_costs_its_asker_only(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    fault: Exception, code: CloseCode,
) -> None:  # fmt: skip
    hosted = await life.host()
    ana, bo = await life.join(hosted), await life.join(hosted, "Bo")

    async def fails(*_: object) -> None:
        raise fault

    monkeypatch.setattr(life.steering, "share", fails)
    await life.send(ana, wire.Share(precision=Precision.ROUGH))
    assert ana.closed_with == code
    assert bo.closed_with is None
    assert "a-secret" not in caplog.text


async def test_reading_stops_during_a_command_and_goes_on_after(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    assert ana.reading
    async with life.registry.lock(hosted.id):
        sending = asyncio.ensure_future(life.send(ana, wire.Share(precision=Precision.ROUGH)))
        await asyncio.sleep(0.02)
        assert not ana.reading, "a second command would overtake the first"
    await sending
    assert ana.reading
    assert member_of(ana).allowed is Precision.ROUGH


async def test_a_gateway_needs_its_settings(role_url: Any, redis_url: str) -> None:
    whole = {"database_url": role_url("gateway"), "redis_url": redis_url, "mask_key": MASK_KEY}
    for name in whole:
        with pytest.raises(SettingsError, match=f"PARTYLINE_{name.upper()}"):
            await serve(Settings(**{**whole, name: ""}), host="127.0.0.1", port=1)


async def test_two_gateways_have_two_names(live: Lives) -> None:
    first, second = await live(), await live()
    assert first.gateway.id != second.gateway.id
    assert first.gateway.gauges().keys() == second.gateway.gauges().keys()
