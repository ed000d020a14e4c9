"""Members of one session on different gateways: they see each other, and the host's hand reaches everywhere."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from tests.chaos.fleet import Fleet
from tests.e2e.conftest import Phone, http, new_session, now_ms

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), gateways=2, writers=1) as running:
        yield running


def at(fleet: Fleet, number: int) -> Any:
    """One gateway, as the phones of `conftest` take it."""
    return SimpleNamespace(http=f"http://127.0.0.1:{fleet.ports[number]}")


async def test_positions_cross_within_a_tick_and_a_little(fleet: Fleet) -> None:
    one, two = at(fleet, 0), at(fleet, 1)
    session = new_session(one)
    ana = await Phone.join(one, session["sharable_token"], "Ana")
    bo = await Phone.join(two, session["sharable_token"], "Bo")
    assert {member["name"] for member in bo.welcome["members"]} >= {"Host", "Ana", "Bo"}
    await ana.until("member", m=bo.welcome["you"], state="live")
    await asyncio.sleep(0.5)
    delays = []
    for turn in range(12):
        sent_ms = now_ms()
        await ana.fix(37.5 + turn / 1e4, 127.0, at=sent_ms)
        while sent_ms not in [row[1] for row in (await bo.until("positions"))["p"]]:
            pass
        delays.append(now_ms() - sent_ms)
        await asyncio.sleep(0.13)
    delays.sort()
    assert delays[len(delays) // 2] <= 250 + 100, delays  # the tick is 250 ms; a busy machine may spoil a few


async def test_the_hosts_hand_reaches_the_other_gateway_before_it_returns(fleet: Fleet) -> None:
    one, two = at(fleet, 0), at(fleet, 1)
    session = new_session(one)
    ana = await Phone.join(two, session["sharable_token"], "Ana")
    bo = await Phone.join(two, session["sharable_token"], "Bo")
    await ana.fix(37.5, 127.0)
    await bo.until("positions")
    token = session["host"]["member_token"]
    path = f"/v1/sessions/{session['session']}"
    status, _ = await asyncio.to_thread(http, one, "PATCH", path, {"precision": "private"}, token)
    assert status == 200
    returned = now_ms()
    for turn in range(5):
        await ana.fix(37.6 + turn / 100, 127.0)
        await asyncio.sleep(0.1)
    await bo.until("precision", precision="private")
    with pytest.raises(TimeoutError):
        while (await bo.next(timeout=1.5))["t"] != "positions":
            pass
    assert not [m for m in bo.seen if m["t"] == "positions" and m["at"] > returned]
    status, _ = await asyncio.to_thread(
        http, one, "DELETE", f"{path}/members/{ana.welcome['you']}", None, token
    )
    assert status == 204
    assert await ana.closed() == 4502
    status, _ = await asyncio.to_thread(http, one, "DELETE", path, None, token)
    assert status == 204
    assert await bo.closed() == 4503


async def test_a_member_is_on_one_gateway_at_a_time(fleet: Fleet) -> None:
    one, two = at(fleet, 0), at(fleet, 1)
    session = new_session(one)
    host = await Phone.resume(one, session["host"]["member_token"])
    ana = await Phone.join(one, session["sharable_token"], "Ana")
    again = await Phone.resume(two, ana.welcome["member_token"])
    assert again.welcome["you"] == ana.welcome["you"]
    assert await ana.closed() == 4507
    path = f"/v1/sessions/{session['session']}/members"
    for gateway in (one, two):
        _, found = await asyncio.to_thread(http, gateway, "GET", path, None, session["host"]["member_token"])
        assert {m["m"]: m["state"] for m in found["members"]} == {1: "live", again.welcome["you"]: "live"}
    await again.close()
    await host.until("member", m=again.welcome["you"], state="offline")


async def test_a_session_on_one_gateway_publishes_its_hello_and_nothing_more(fleet: Fleet) -> None:
    one = at(fleet, 0)
    session = new_session(one)
    channel = f"{{s:{session['session']}}}:live"
    with redis.Redis.from_url(fleet.redis_url) as client, client.pubsub() as heard:
        heard.subscribe(channel)
        ana = await Phone.join(one, session["sharable_token"], "Ana")
        bo = await Phone.join(one, session["sharable_token"], "Bo")
        for turn in range(8):
            await ana.fix(37.5 + turn / 1e4, 127.0)
            await bo.until("positions")
        messages = [m for m in iter(lambda: heard.get_message(timeout=0.2), None) if m["type"] == "message"]
    assert len(messages) <= 1


async def test_who_was_on_a_gateway_that_died_is_offline_soon(fleet: Fleet) -> None:
    one, two = at(fleet, 0), at(fleet, 1)
    session = new_session(one)
    host = await Phone.resume(one, session["host"]["member_token"])
    ana = await Phone.join(two, session["sharable_token"], "Ana")
    await host.until("member", m=ana.welcome["you"], state="live")
    fleet.gateways[1].kill()
    try:
        began = time.monotonic()
        await host.until("member", m=ana.welcome["you"], state="offline")
        assert time.monotonic() - began < 10
    finally:
        fleet.gateways[1].start()
    await asyncio.to_thread(_ready, two.http)
    back = await Phone.resume(two, ana.welcome["member_token"])
    await host.until("member", m=back.welcome["you"], state="live")


def _ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
                json.loads(answer.read())
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError
