"""A gateway's HTTP on a real gateway object, PostgreSQL and Redis; importing `api_fixture` gives `api`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import jwt
import pytest

from db import sessions as store
from db.fence import shard_of
from db.pool import connect
from db.positions import commit_rows, pack_row
from protocol.precision import Precision
from server.api import make_app
from server.gateway import Gateway
from server.redis_link import connect_redis
from server.settings import Settings
from server.tokens import digest, new_member_token
from tests.server.lives import long_served

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


@pytest.fixture(name="api")
async def api_fixture(migrated_database: str, redis_url: str) -> AsyncIterator[Api]:
    as_gateway = migrated_database + "?options=-c%20role%3Dpartyline_gateway"
    pool = await connect(as_gateway, min_size=1, max_size=4, application_name="test-api")
    link = connect_redis(redis_url)
    await long_served(link.client)
    superuser = await asyncpg.connect(migrated_database)
    settings = Settings(mask_key="5a" * 32, jwt_secret=SECRET, allow_guests=True)
    gateway = Gateway(settings, pool, link)
    transport = httpx.ASGITransport(make_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Api(gateway, client, superuser)
    await superuser.close()
    await link.aclose()
    await pool.close()


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["detail"]
    return document
