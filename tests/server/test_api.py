"""The calls under /v1: what each gives, who may make it, and what bad input gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from db.sessions import JoinRefused
from server.api import make_app
from server.gateway import Gateway
from server.settings import Settings
from tests.server.http_api import (
    ORIGIN,
    SECRET,
    Api,
    api_fixture,  # noqa: F401
    is_problem,
    user_token,
)

# --- making a session -----------------------------------------------------------------------------


async def test_a_guest_makes_a_session(api: Api) -> None:
    answer = await api("POST", "/v1/sessions", json={"display_name": "Ana", "precision": "rough"})
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{created['session']}"
    assert set(created) == {"session", "sharable_token", "join_url", "host", "precision", "revision"}
    assert created["join_url"] == f"{ORIGIN}/j#{created['sharable_token']}"
    assert created["precision"] == "rough"
    assert created["host"]["m"] == 1
    row = await api.superuser.fetchrow("SELECT s::text, m::text FROM party_sessions s, party_members m")
    assert row is not None
    for token in (created["sharable_token"], created["host"]["member_token"]):
        assert token not in "".join(row)


async def test_a_guest_who_shows_a_member_token_hosts_as_the_same_person(api: Api) -> None:
    party = await api.party()
    made = await api("POST", "/v1/sessions", party.host, json={"display_name": "Ana"})
    assert made.status_code == 201
    ids = await api.superuser.fetch("SELECT DISTINCT user_id FROM party_members WHERE role = 'host'")
    assert len(ids) == 1
    is_problem(await api("POST", "/v1/sessions", "nonsense", json={"display_name": "Ana"}), 401)


async def test_a_user_makes_a_session_and_steers_it_by_jwt(api: Api) -> None:
    user_id = await api.superuser.fetchval(
        "INSERT INTO users (email, location_opt_in) VALUES ('a@b.example', true) RETURNING id"
    )
    token = user_token(user_id)
    answer = await api("POST", "/v1/sessions", token, json={"display_name": "Ana"})
    path = f"/v1/sessions/{answer.json()['session']}"
    assert (await api("PATCH", path, token, json={"precision": "private"})).status_code == 200
    assert (await api("GET", path, token)).json()["role"] == "host"


async def test_the_stored_options_are_complete(api: Api) -> None:
    party = await api.party(options={"tick_ms": 500, "ttl_hours": 8760})
    options = (await api("GET", party.path, party.host)).json()["options"]
    assert options["ttl_hours"] == 168
    assert options["tick_ms"] == 500
    assert options["started_at"] % 5000 == 0


async def test_without_guests_a_jwt_is_needed(api: Api) -> None:
    settings = Settings(mask_key="5a" * 32, jwt_secret=SECRET, public_url="https://party.example/")
    strict = Gateway(settings, api.gateway.pool, api.gateway.link)
    user_id = await api.superuser.fetchval("INSERT INTO users (location_opt_in) VALUES (true) RETURNING id")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(strict)), base_url=ORIGIN) as client:
        body = {"display_name": "Ana"}
        refused = await client.post("/v1/sessions", json=body)
        is_problem(refused, 401)
        made = await client.post(
            "/v1/sessions", json=body, headers={"Authorization": f"Bearer {user_token(user_id)}"}
        )
    assert made.json()["join_url"].startswith("https://party.example/j#")


WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({}, "display_name"),
    ({"display_name": ""}, "display_name"),
    ({"display_name": "x" * 41}, "display_name"),
    ({"display_name": "a\0b"}, "$.display_name"),
    ({"display_name": "  "}, "$.display_name"),
    ({"display_name": "a", "precison": "private"}, "does not know"),
    ({"display_name": "a", "precision": "finest"}, "$.precision"),
    ({"display_name": "a", "options": {"live": True}}, "$.options"),
    ({"display_name": "a", "options": {"rough_cell_m": 100}}, "$.options.rough_cell_m"),
    ({"display_name": "a", "options": {"max_members": 501}}, "$.options.max_members"),
    ({"display_name": "a", "options": {"started_at": 5}}, "started_at"),
    ({"display_name": "a", "options": {"token_expires_at": 2**60}}, "token_expires_at"),
]


async def test_a_wrong_value_is_told_where_it_is(api: Api) -> None:
    for body, named in WRONG_VALUES:
        assert named in is_problem(await api("POST", "/v1/sessions", json=body), 422)["detail"]
    assert await api.superuser.fetchval("SELECT count(*) FROM party_sessions") == 0


WRONG_BODIES = [
    (b"{", "application/json", 400),
    (b"", "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b'{"a":' * 10_000, "application/json", 422),
    (b"{}", "text/plain", 415),
    (b"a=1", "application/x-www-form-urlencoded", 415),
    (b'{"display_name":"' + b"x" * 65_536 + b'"}', "application/json", 413),
]


async def test_a_wrong_body(api: Api) -> None:
    for content, media, status in WRONG_BODIES:
        answer = await api("POST", "/v1/sessions", content=content, headers={"Content-Type": media})
        is_problem(answer, status)


async def test_a_body_of_unknown_length_is_bounded_too(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096

    answer = await api(
        "POST", "/v1/sessions", content=endless(), headers={"Content-Type": "application/json"}
    )
    is_problem(answer, 413)


# --- who may do what ------------------------------------------------------------------------------

CALLS = [
    ("GET", "", None, False),
    ("GET", "/members", None, False),
    ("GET", "/track", None, False),
    ("PATCH", "", {"precision": "exact"}, True),
    ("DELETE", "", None, True),
    ("POST", "/token", None, True),
    ("DELETE", "/members/2", None, True),
]


@pytest.mark.parametrize(("method", "end", "body", "host_only"), CALLS)
async def test_nobody_reaches_a_session_that_is_not_theirs(
    api: Api, method: str, end: str, body: object, host_only: bool
) -> None:
    party, foreign = await api.party(), await api.party()
    member = await api.join(party)
    more: dict[str, Any] = {} if body is None else {"json": body}
    assert is_problem(await api(method, party.path + end, **more), 401)["title"] == "Unauthorized"
    nobody = await api(method, party.path + end, "x" * 43, **more)
    is_problem(nobody, 401)
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    theirs = is_problem(await api(method, party.path + end, foreign.host, **more), 404)
    for unknown in (10**9, 0, 2**63, 10**40):
        assert (
            is_problem(await api(method, f"/v1/sessions/{unknown}{end}", foreign.host, **more), 404) == theirs
        )
    answer = await api(method, party.path + end, member, **more)
    assert answer.status_code == (403 if host_only else 200)
    view = (await api("GET", party.path, party.host)).json()
    assert (view["status"], view["precision"], view["revision"]) == ("live", "exact", 2)


async def test_no_answer_of_a_session_is_kept(api: Api) -> None:
    party = await api.party()
    for method, end, body, _ in CALLS[:4] + CALLS[5:6]:
        answer = await api(method, party.path + end, party.host, **({} if body is None else {"json": body}))
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


# --- steering -------------------------------------------------------------------------------------


async def test_the_view_has_members_and_options(api: Api) -> None:
    party = await api.party()
    member = await api.join(party, "Ana", "private")
    view = (await api("GET", party.path, member)).json()
    assert (view["session"], view["status"], view["you"], view["role"]) == (party.id, "live", 2, "member")
    assert view["members"] == [
        {"m": 1, "name": "Host", "role": "host", "state": "offline"},
        {"m": 2, "name": "Ana", "role": "member", "state": "private"},
    ]
    assert (await api("GET", f"{party.path}/members", member)).json() == {"members": view["members"]}


async def test_a_patch_changes_precision_and_options(api: Api) -> None:
    party = await api.party()
    answer = await api(
        "PATCH", party.path, party.host, json={"precision": "rough", "options": {"max_members": 7}}
    )
    view = answer.json()
    assert answer.status_code == 200
    assert view["precision"] == "rough"
    assert view["options"]["max_members"] == 7
    assert view["options"]["tick_ms"] == 1000
    assert view["revision"] > party.created["revision"]


async def test_a_patch_that_loosens_changes_nothing_at_all(api: Api) -> None:
    party = await api.party(options={"rough_cell_m": 1000})
    body = {"precision": "private", "options": {"rough_cell_m": 250}}
    assert "rough_cell_m" in is_problem(await api("PATCH", party.path, party.host, json=body), 409)["detail"]
    assert (await api("GET", party.path, party.host)).json()["precision"] == "exact"


async def test_changes_at_the_same_time_do_not_undo_each_other(api: Api) -> None:
    party = await api.party(options={"ttl_hours": 100})
    bodies = [{"options": {"ttl_hours": 1}}] + [{"options": {"tick_ms": 250 + n}} for n in range(10)]
    answers = await asyncio.gather(*(api("PATCH", party.path, party.host, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert (await api("GET", party.path, party.host)).json()["options"]["ttl_hours"] == 1


async def test_a_rotation_gives_a_new_invitation(api: Api) -> None:
    party = await api.party()
    answer = (await api("POST", f"{party.path}/token", party.host)).json()
    assert answer["sharable_token"] != party.sharable_token
    assert answer["join_url"] == f"{ORIGIN}/j#{answer['sharable_token']}"
    with pytest.raises(JoinRefused):
        await api.join(party)


async def test_a_member_is_removed_for_good(api: Api) -> None:
    party = await api.party()
    member = await api.join(party)
    assert (await api("DELETE", f"{party.path}/members/2", party.host)).status_code == 204
    is_problem(await api("GET", party.path, member), 401)
    assert (await api("GET", party.path, party.host)).json()["members"][1]["state"] == "left"
    is_problem(await api("DELETE", f"{party.path}/members/3", party.host), 404)
    is_problem(await api("DELETE", f"{party.path}/members/{10**30}", party.host), 404)
    is_problem(await api("DELETE", f"{party.path}/members/1", party.host), 409)


async def test_an_ended_session_is_read_but_not_changed(api: Api) -> None:
    party = await api.party()
    for _ in range(2):
        assert (await api("DELETE", party.path, party.host)).status_code == 204
    view = (await api("GET", party.path, party.host)).json()
    assert view["status"] == "ended"
    assert view["ended_at"] > 0
    is_problem(await api("PATCH", party.path, party.host, json={"precision": "rough"}), 409)
    is_problem(await api("POST", f"{party.path}/token", party.host), 409)


async def test_an_erasure_that_cannot_be_finished_says_so(api: Api) -> None:
    """Redis is away: the person is nobody already, and the receipt is open."""
    party = await api.party()
    member = await api.join(party)
    pool = api.gateway.redis.connection_pool
    port = pool.connection_kwargs["port"]
    await pool.disconnect()
    pool.reset()
    pool.connection_kwargs["port"] = 1
    erased = await api("DELETE", "/v1/me", member)
    pool.reset()
    pool.connection_kwargs["port"] = port
    assert erased.status_code == 202
    receipt = erased.json()
    assert receipt["finished_at"] is None
    is_problem(await api("DELETE", "/v1/me", member), 401)
    await api.gateway.erasures.finish_old(0)
    finished = await api.superuser.fetchval(
        "SELECT finished_at FROM erasure_receipts WHERE id = $1::text::uuid", receipt["receipt"]
    )
    assert finished is not None


async def test_erasure_leaves_nobody(api: Api) -> None:
    party = await api.party()
    member = await api.join(party)
    erased = await api("DELETE", "/v1/me", member)
    receipt = erased.json()
    assert erased.status_code == 200
    assert receipt["finished_at"] >= receipt["erased_at"]
    assert receipt["kept"] == {"sessions": 1, "posts": 0, "feedback": 0, "trips": 0}
    assert set(receipt) == {"receipt", "erased_at", "finished_at", "sessions_ended", "deleted", "kept"}
    is_problem(await api("GET", party.path, member), 401)
    is_problem(await api("DELETE", "/v1/me", member), 401)
    is_problem(await api("DELETE", "/v1/me"), 401)
    assert (await api("GET", party.path, party.host)).json()["members"][1]["name"] == ""
