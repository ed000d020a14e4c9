"""Limits by address, through the whole server: told why, told when to come again, and nobody else is harmed.

Every test speaks for addresses of its own through the trusted proxy that this machine is here.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from server.up import Up
from tests.e2e.conftest import Phone, new_session, started

CONNECTIONS, BURST = 5, 8


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = started(
        tmp_path_factory.mktemp("up"),
        PARTYLINE_UNLIMITED_ADDRESSES="127.0.0.1",
        PARTYLINE_TRUSTED_PROXIES="127.0.0.1",
        PARTYLINE_CONNECTIONS_PER_ADDRESS=str(CONNECTIONS),
        PARTYLINE_JOINS_PER_S="1",
        PARTYLINE_JOINS_BURST=str(BURST),
        PARTYLINE_MAX_SESSIONS="6",
    )
    yield up
    up.stop()


def call(
    up: Up, method: str, path: str, client: str, body: object = None, token: str = ""
) -> tuple[int, Any, Any]:
    request = urllib.request.Request(up.http + path, method=method)
    request.add_header("X-Forwarded-For", client)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null"), error.headers


async def opened(up: Up, client: str) -> Phone:
    return await Phone.open(up, additional_headers={"X-Forwarded-For": client})


async def test_an_address_has_so_many_connections_and_the_next_is_told_why(limited: Up) -> None:
    phones = [await opened(limited, "198.51.100.1") for _ in range(CONNECTIONS)]
    with pytest.raises(InvalidStatus) as refused:
        await opened(limited, "198.51.100.1")
    answer = refused.value.response
    assert answer.status_code == 429
    assert answer.headers["Retry-After"]
    assert b"too many connections from this address" in answer.body
    await (await opened(limited, "198.51.100.2")).close()
    await phones.pop().close()
    await (await opened(limited, "198.51.100.1")).close()


async def test_a_household_of_ipv6_is_one_address(limited: Up) -> None:
    for number in range(CONNECTIONS):
        await opened(limited, f"2001:db8:5:5::{number + 1}")
    with pytest.raises(InvalidStatus):
        await opened(limited, "2001:db8:5:5:ffff::1")
    await opened(limited, "2001:db8:5:6::1")


async def test_guessing_tokens_ends_at_the_burst(limited: Up) -> None:
    session = new_session(limited)
    codes: Counter[int] = Counter()
    for guess in range(BURST + 4):
        phone = await opened(limited, "198.51.100.3")
        await phone.say(t="join", token=f"guess-{guess}", name="Eve")
        codes[await phone.closed()] += 1
    assert codes[4501] >= BURST
    assert codes[4004] >= 1
    bob = await opened(limited, "198.51.100.4")  # nobody else is harmed
    await bob.say(t="join", token=session["sharable_token"], name="Bob")
    await bob.until("welcome")


def test_bad_bearers_and_new_sessions_end_at_the_burst_too(limited: Up) -> None:
    asked = [
        call(limited, "GET", "/v1/sessions/1", "198.51.100.5", token=f"guess-{n}") for n in range(BURST + 4)
    ]
    statuses = Counter(status for status, _, _ in asked)
    assert statuses[401] >= BURST
    assert statuses[429] >= 1
    body = {"display_name": "Host"}
    status, problem, headers = call(limited, "POST", "/v1/sessions", "198.51.100.5", body)
    assert status == 429
    assert int(headers["Retry-After"]) >= 1
    assert problem["type"] == "/docs#too_many"
    assert problem["status"] == 429
    assert call(limited, "POST", "/v1/sessions", "198.51.100.6", body)[0] == 201


def test_a_good_bearer_costs_nothing(limited: Up) -> None:
    session = new_session(limited)
    token, path = session["host"]["member_token"], f"/v1/sessions/{session['session']}"
    statuses = {call(limited, "GET", path, "198.51.100.7", token=token)[0] for _ in range(2 * BURST)}
    assert statuses == {200}


async def test_one_session_too_many_is_told_to_come_again(limited: Up) -> None:
    """The last in this file: sessions stay in memory for a minute."""
    sessions = [new_session(limited) for _ in range(7)]
    hosts = []
    for session in sessions:
        phone = await opened(limited, "127.0.0.1")
        await phone.say(t="resume", token=session["host"]["member_token"])
        message = await phone.next()
        if message["t"] == "error":
            assert message["code"] == "unavailable"
            assert await phone.closed() == 4004
            break
        hosts.append(phone)
    else:
        pytest.fail("a gateway has a bound of sessions")
    status, problem, headers = call(limited, "POST", "/v1/sessions", "127.0.0.1", {"display_name": "Host"})
    assert (status, headers["Retry-After"]) == (503, "2")
    assert "as many sessions" in problem["detail"]
    joined = await opened(limited, "127.0.0.1")
    await joined.say(t="join", token=sessions[0]["sharable_token"], name="Ana")
    await joined.until("welcome")


def test_metrics_count_who_was_turned_away(limited: Up) -> None:
    with urllib.request.urlopen(limited.http + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    for name in ("connections_turned_away", "joins_turned_away"):
        line = next(line for line in text.splitlines() if line.startswith(f"partyline_{name}_total"))
        assert float(line.split()[1]) >= 1, line
