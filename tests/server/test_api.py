"""The HTTP API on a real gateway object, PostgreSQL and Redis: what each call gives, and what bad input gets."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import gpxpy
import httpx
import jwt
import pytest
from redis.asyncio import Redis

from db.fence import shard_of
from db.pool import connect
from db.positions import commit_rows, pack_row
from server.gateway import Gateway
from server.grid import METRES_PER_DEGREE
from server.settings import Settings

SECRET = "a secret of the product's accounts, 32+"
ORIGIN = "http://party.test"
SEOUL = (37.5663, 126.9779)


class Api:
    """A gateway's HTTP, and the database behind it."""

    def __init__(self, gateway: Gateway, client: httpx.AsyncClient, superuser: asyncpg.Connection) -> None:
        self.gateway, self.client, self.superuser = gateway, client, superuser

    async def __call__(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.client.request(method, path, headers={**headers, **more.pop("headers", {})}, **more)

    async def party(self, **wanted: Any) -> Party:
        answer = await self("POST", "/v1/sessions", json={"display_name": "Host", **wanted})
        assert answer.status_code == 201, answer.text
        return Party(answer.json())

    async def join(self, party: Party, name: str = "Ana", precision: str = "exact") -> str:
        """A member's token, by the way that `join` takes."""
        from db import sessions as store
        from protocol.precision import Precision
        from server.tokens import digest, new_member_token

        token = new_member_token()
        await store.join(
            self.gateway.pool,
            digest=digest(party.sharable_token),
            user_id=None,
            display_name=name,
            member_digest=digest(token),
            precision=Precision(precision),
            now_ms=now_ms(),
        )
        return token

    async def walk(self, party: Party, m: int, start_ms: int, steps: int) -> None:
        """A stored row each window, going north 7 m a window."""
        user_id = await self.superuser.fetchval(
            "SELECT user_id FROM party_members WHERE session_id = $1 AND member_no = $2", party.id, m
        )
        rows = [
            pack_row(party.id, user_id, start_ms + 5000 * n, 250, SEOUL[0] + n * 6e-5, SEOUL[1], 5.0, "exact")
            for n in range(steps)
        ]
        stored = await commit_rows(self.superuser, rows, shard=shard_of(party.id), ttl_hours=168)
        assert stored.inserted == steps


class Party:
    def __init__(self, created: dict[str, Any]) -> None:
        self.created = created
        self.id: int = created["session"]
        self.path = f"/v1/sessions/{self.id}"
        self.sharable_token: str = created["sharable_token"]
        self.host: str = created["host"]["member_token"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def user_token(user_id: int) -> str:
    return jwt.encode({"sub": str(user_id), "exp": time.time() + 60}, SECRET, algorithm="HS256")


@pytest.fixture
async def api(migrated_database: str, redis_url: str) -> AsyncIterator[Api]:
    from server.api import make_app

    as_gateway = migrated_database + "?options=-c%20role%3Dpartyline_gateway"
    pool = await connect(as_gateway, min_size=1, max_size=4, application_name="test-api")
    redis = Redis.from_url(redis_url)
    superuser = await asyncpg.connect(migrated_database)
    settings = Settings(mask_key="5a" * 32, jwt_secret=SECRET, allow_guests=True)
    gateway = Gateway(settings, pool, redis)
    transport = httpx.ASGITransport(make_app(gateway))
    async with gateway.running(), httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Api(gateway, client, superuser)
    await superuser.close()
    await redis.aclose()
    await pool.close()


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["detail"]
    return document


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
    from server.api import make_app

    settings = Settings(mask_key="5a" * 32, jwt_secret=SECRET, public_url="https://party.example/")
    strict = Gateway(settings, api.gateway.pool, api.gateway.redis)
    user_id = await api.superuser.fetchval("INSERT INTO users (location_opt_in) VALUES (true) RETURNING id")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(strict)), base_url=ORIGIN) as client:
        body = {"display_name": "Ana"}
        refused = await client.post("/v1/sessions", json=body)
        is_problem(refused, 401)
        made = await client.post(
            "/v1/sessions", json=body, headers={"Authorization": f"Bearer {user_token(user_id)}"}
        )
    assert made.json()["join_url"].startswith("https://party.example/j#")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "display_name"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 41}, "display_name"),
        ({"display_name": "a\0b"}, "NUL"),
        ({"display_name": "  "}, "visible"),
        ({"display_name": "a", "precison": "private"}, "does not know"),
        ({"display_name": "a", "precision": "finest"}, "$.precision"),
        ({"display_name": "a", "options": {"live": True}}, "$.options"),
        ({"display_name": "a", "options": {"rough_cell_m": 100}}, "$.options.rough_cell_m"),
        ({"display_name": "a", "options": {"max_members": 501}}, "$.options.max_members"),
        ({"display_name": "a", "options": {"started_at": 5}}, "started_at"),
        ({"display_name": "a", "options": {"token_expires_at": 2**60}}, "token_expires_at"),
    ],
)
async def test_a_wrong_value_is_told_where_it_is(api: Api, body: dict[str, Any], named: str) -> None:
    assert named in is_problem(await api("POST", "/v1/sessions", json=body), 422)["detail"]
    assert await api.superuser.fetchval("SELECT count(*) FROM party_sessions") == 0


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"a":' * 10_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b'{"display_name":"' + b"x" * 65_536 + b'"}', "application/json", 413),
    ],
)
async def test_a_wrong_body(api: Api, content: bytes, media: str, status: int) -> None:
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
        "PATCH", party.path, party.host, json={"precision": "rough", "options": {"rough_cell_m": 1000}}
    )
    view = answer.json()
    assert answer.status_code == 200
    assert view["precision"] == "rough"
    assert view["options"]["rough_cell_m"] == 1000
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
    from db.sessions import JoinRefused

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


async def test_erasure_leaves_nobody(api: Api) -> None:
    party = await api.party()
    member = await api.join(party)
    assert (await api("DELETE", "/v1/me", member)).status_code == 204
    is_problem(await api("GET", party.path, member), 401)
    is_problem(await api("DELETE", "/v1/me", member), 401)
    is_problem(await api("DELETE", "/v1/me"), 401)
    assert (await api("GET", party.path, party.host)).json()["members"][1]["name"] == ""


# --- tracks ---------------------------------------------------------------------------------------


async def walked(api: Api, steps: int = 60, **wanted: Any) -> tuple[Party, str, int]:
    start_ms = (now_ms() - 3_600_000) // 5000 * 5000
    party = await api.party(options={"started_at": start_ms, **wanted.pop("options", {})}, **wanted)
    member = await api.join(party)
    await api.walk(party, 2, start_ms, steps)
    return party, member, start_ms


async def test_a_track_is_a_line_with_its_times(api: Api) -> None:
    party, member, start_ms = await walked(api)
    for token in (party.host, member):
        answer = await api("GET", f"{party.path}/track", token)
        assert answer.headers["content-type"] == "application/geo+json"
        (feature,) = answer.json()["features"]
        assert feature["properties"]["m"] == 2
        assert feature["properties"]["times"] == [start_ms + 250 + 5000 * n for n in range(60)]
        assert feature["geometry"]["coordinates"][0] == [SEOUL[1], SEOUL[0]]


async def test_a_track_is_gpx_for_who_accepts_it(api: Api) -> None:
    party, _, start_ms = await walked(api)
    answer = await api("GET", f"{party.path}/track", party.host, headers={"Accept": "application/gpx+xml"})
    assert answer.headers["content-type"].startswith("application/gpx+xml")
    assert answer.headers["vary"] == "Accept"
    points = gpxpy.parse(answer.text).tracks[0].segments[0].points
    assert len(points) == 60
    assert points[0].time is not None
    assert points[0].time.timestamp() * 1000 == pytest.approx(start_ms + 250, abs=1)


async def test_a_track_is_cut_and_thinned(api: Api) -> None:
    party, _, start_ms = await walked(api)
    query = {"member": 2, "from": start_ms + 10_000, "to": start_ms + 200_000, "points": 5}
    (feature,) = (await api("GET", f"{party.path}/track", party.host, params=query)).json()["features"]
    times = feature["properties"]["times"]
    assert len(times) == 5
    assert times[0] == start_ms + 10_250
    assert times[-1] == start_ms + 195_250
    nobody = await api("GET", f"{party.path}/track", party.host, params={"member": 1})
    assert nobody.json() == {"type": "FeatureCollection", "features": []}


async def test_a_track_is_never_finer_than_is_allowed_now(api: Api) -> None:
    party, _, start_ms = await walked(api, steps=120)
    assert (await api("PATCH", party.path, party.host, json={"precision": "rough"})).status_code == 200
    (feature,) = (await api("GET", f"{party.path}/track", party.host)).json()["features"]
    properties, geometry = feature["properties"], feature["geometry"]
    assert properties["precision"] == "rough"
    assert all(at % 60_000 == 0 for at in properties["times"])
    assert all(accuracy == 354.0 for accuracy in properties["accuracy_m"])
    places = geometry["coordinates"] if geometry["type"] == "LineString" else [geometry["coordinates"]]
    walked_lats = {SEOUL[0] + n * 6e-5 for n in range(120)}
    assert not walked_lats & {lat for _, lat in places}
    assert len(set(map(tuple, places))) <= 2 + 120 * 6e-5 * METRES_PER_DEGREE // 500
    # Whatever part is asked for, the cells are the same: a reader cannot make the mask start elsewhere.
    part = {"from": start_ms + 180_000}
    (later,) = (await api("GET", f"{party.path}/track", party.host, params=part)).json()["features"]
    shown = set(zip(properties["times"], map(tuple, places), strict=True))
    cut = later["geometry"]
    cut_places = cut["coordinates"] if cut["type"] == "LineString" else [cut["coordinates"]]
    assert set(zip(later["properties"]["times"], map(tuple, cut_places), strict=True)) <= shown


async def test_a_private_member_has_no_track(api: Api) -> None:
    party, _, _ = await walked(api)
    await api("PATCH", party.path, party.host, json={"precision": "private"})
    answer = await api("GET", f"{party.path}/track", party.host)
    assert answer.json()["features"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"points": "1"},
        {"points": "1e9"},
        {"from": "yesterday"},
        {"from": "-1"},
        {"to": "9" * 30},
        {"member": "0"},
        {"member": "٣"},
        {"from": "2000", "to": "1000"},
    ],
)
async def test_a_wrong_query_is_named_and_not_repeated(api: Api, query: dict[str, str]) -> None:
    party = await api.party()
    detail = is_problem(await api("GET", f"{party.path}/track", party.host, params=query), 422)["detail"]
    assert any(f"`{name}`" in detail for name in query)
    assert "yesterday" not in detail


async def test_a_member_that_is_not_there_has_no_track(api: Api) -> None:
    party = await api.party()
    is_problem(await api("GET", f"{party.path}/track", party.host, params={"member": 7}), 404)


# --- beside the API -------------------------------------------------------------------------------


async def test_wrong_paths_and_methods(api: Api) -> None:
    is_problem(await api("GET", "/v1/nothing"), 404)
    is_problem(await api("GET", "/v1/sessions/abc"), 404)
    is_problem(await api("GET", "/page/../settings.py"), 404)
    answer = await api("PUT", "/v1/sessions/1")
    is_problem(answer, 405)
    assert {"GET", "PATCH", "DELETE"} <= set(re.split(r",\s*", answer.headers["allow"]))


async def test_ready_says_what_is_missing(api: Api) -> None:
    while not api.gateway.lease.held():
        await asyncio.sleep(0.01)
    answer = await api("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"postgresql": True, "lease": True, "draining": False},
    )
    api.gateway.draining = True
    assert (await api("GET", "/readyz")).status_code == 503
    await api.gateway.pool.close()
    answer = await api("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["postgresql"] is False
    assert (await api("GET", "/healthz")).status_code == 200
    assert (await api("GET", "/page/page.js")).status_code == 200


async def test_without_a_database_a_call_is_told_to_come_again(api: Api) -> None:
    party = await api.party()
    await api.gateway.pool.close()
    answer = await api("GET", party.path, party.host)
    is_problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_metrics_count_and_name_nobody(api: Api) -> None:
    party = await api.party(display_name="Xanthippe")
    await api.gateway.redis.xadd("batch:3", {"d": b"x"})
    text = (await api("GET", "/metrics")).text
    assert "partyline_stream_entries 1.0" in text
    assert "partyline_connections 0.0" in text
    assert "Xanthippe" not in text
    assert party.sharable_token not in text


@pytest.mark.parametrize("path", ["/", "/j", "/docs"])
async def test_pages_hold_to_their_own_policy(api: Api, path: str) -> None:
    answer = await api("GET", path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=\"/)", answer.text)
    for link in re.findall(r"(?:src|href)=\"(/[^\"#]*)\"", answer.text):
        assert (await api("GET", link)).status_code == 200


async def test_the_descriptions_are_served(api: Api) -> None:
    from protocol import asyncapi
    from server import openapi

    assert (await api("GET", "/docs/openapi.yaml")).text == openapi.document_yaml()
    assert (await api("GET", "/docs/asyncapi.yaml")).text == asyncapi.document_yaml()
