"""Hopping between gateways at a tightening: whoever comes in elsewhere finds nothing finer there, and no older cell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from server.up import Up
from tests.e2e.conftest import Phone, free_port, http, new_session, now_ms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LAT, LON = 37.5731928, 126.9768374
ROUNDS = int(os.environ.get("PARTYLINE_TEST_HOPPING_ROUNDS", "3"))
HOPPING_S = 1.5


@dataclass
class Address:
    """As much of an `Up` as phones and calls need."""

    http: str


@pytest.fixture
def other(up: Up) -> Iterator[Any]:
    """A second gateway of the same party: another port, the same key, database and Redis."""
    port = free_port()
    environment = os.environ | {
        "PARTYLINE_REDIS_URL": up.stack.redis_url,
        "PARTYLINE_MASK_KEY": up._secrets.get("mask_key"),
        "PARTYLINE_ALLOW_GUESTS": "1",
        "PARTYLINE_DATABASE_URL": up._url_of("gateway"),
    }
    command = [sys.executable, "-m", "server.cli", "gateway", "--host", "127.0.0.1", "--port", str(port)]
    with (up.data_dir / "other.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = Address(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, (up.data_dir / "other.log").read_text()
            assert time.monotonic() < deadline
            try:
                with urllib.request.urlopen(address.http + "/readyz", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


async def send_on(up: Any, member_token: str, stop: asyncio.Event) -> None:
    """A phone on this gateway: exact readings, as fast as a party is ticked and faster."""
    phone = await Phone.resume(up, member_token)
    reading = asyncio.create_task(read(phone, [], stop))
    while not stop.is_set():
        await phone.fix(LAT, LON, acc=3.5)
        await asyncio.sleep(0.03)
    await reading


async def read(phone: Phone, rows: list[tuple[int, list[Any]]], stop: asyncio.Event) -> None:
    opened = now_ms()
    while not stop.is_set():
        try:
            message = await phone.next(0.2)
        except TimeoutError:
            continue
        except ConnectionClosed:
            return
        rows.extend((opened, row) for row in message.get("p", ()))


async def hop(
    gateways: list[Any], token: str, rows: list[tuple[int, list[Any]]], stop: asyncio.Event
) -> None:
    """Comes in by turns, and keeps every position with the time at which its connection was opened."""
    turn = 0
    while not stop.is_set():
        opened = now_ms()
        phone = await Phone.resume(gateways[turn % len(gateways)], token)
        rows.extend((opened, row) for row in phone.welcome["positions"])
        until = time.monotonic() + (0.15 if turn % 3 else 0.4)
        with suppress(TimeoutError, ConnectionClosed):
            while (left_s := until - time.monotonic()) > 0:
                message = await phone.next(left_s)
                rows.extend((opened, row) for row in message.get("p", ()))
        await phone.close()
        turn += 1


async def test_hopping_gateways_at_a_tightening(up: Up, other: Any) -> None:
    for number in range(ROUNDS):
        here, there = (up, other) if number % 2 else (other, up)
        session = new_session(up, rough_cell_m=1000)
        path, host = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
        ana = await Phone.join(there, session["sharable_token"], "Ana")
        eves = [await Phone.join(there, session["sharable_token"], f"Eve {n}") for n in range(3)]
        rows: list[tuple[int, list[Any]]] = []
        stop, moved = asyncio.Event(), asyncio.Event()
        phones = [send_on(there, ana.welcome["member_token"], moved)]
        phones += [hop([here, there][:: n % 2 * 2 - 1], eve.welcome["member_token"], rows, stop) for n, eve in enumerate(eves)]  # fmt: skip
        tasks = [asyncio.create_task(phone) for phone in phones]
        await asyncio.sleep(1.0 + number * 0.07)
        status, _ = await asyncio.to_thread(http, here, "PATCH", path, {"precision": "rough"}, host)
        returned = now_ms()
        assert status == 200
        await asyncio.sleep(HOPPING_S / 2)
        moved.set()  # the sender hops, too
        await tasks[0]
        tasks[0] = asyncio.create_task(send_on(here, ana.welcome["member_token"], stop))
        await asyncio.sleep(HOPPING_S)
        stop.set()
        await asyncio.gather(*tasks)
        exact = [(opened, row) for opened, row in rows if row[4] != 708.0]
        rough = [(opened, row) for opened, row in rows if row[4] == 708.0]
        assert exact, "nothing exact was seen before: the attack proves nothing"
        assert rough, "nothing was seen afterwards: the attack proves nothing"
        assert not [opened for opened, _ in exact if opened > returned], (
            "came in after it held, saw an exact place"
        )
        assert not [row[1] for _, row in exact if row[1] > returned], "a fix of afterwards was shown exactly"
        assert len({tuple(row[2:4]) for _, row in rough}) == 1, "two gateways showed two cells"
        for gateway in (here, there):
            _, track = http(gateway, "GET", f"{path}/track", token=host)
            text = str(track)
            assert str(LAT) not in text
            assert str(LON) not in text
