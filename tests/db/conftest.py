"""Connections under each role, and a party of two, on a fresh migrated database."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from db import migrate, sessions
from protocol.options import Options
from protocol.precision import Precision

PASSWORD = "a-password-for-tests"
TTL_HOURS = 168
HOUR_MS = 3_600_000


def digest(text: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(text.encode()).digest()


def now_ms() -> int:
    return int(time.time() * 1000)


def window(ago_ms: int = 0) -> int:
    """The start of the window that lies so far back."""
    return (now_ms() - ago_ms) // 5000 * 5000


@pytest.fixture
def role_url(migrated_database: str) -> Callable[[str], str]:
    """The database's URL for one of the login roles."""
    migrate.set_role_passwords(migrated_database, dict.fromkeys(migrate.LOGIN_ROLES, PASSWORD))

    def url(role: str) -> str:
        parts = urlsplit(migrated_database)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"partyline_{role}:{PASSWORD}@{host}"))

    return url


Login = Callable[[str], Awaitable[asyncpg.Connection]]


@pytest.fixture
async def login(role_url: Callable[[str], str]) -> AsyncIterator[Login]:
    """Opens connections under a role, and closes them after the test."""
    opened: list[asyncpg.Connection] = []

    async def open_one(role: str) -> asyncpg.Connection:
        opened.append(await asyncpg.connect(role_url(role)))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.terminate() if connection.is_in_transaction() else await connection.close()


@pytest.fixture
async def superuser(migrated_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated_database)
    yield connection
    await connection.close()


@pytest.fixture
async def gateway(login: Login) -> asyncpg.Connection:
    return await login("gateway")


@pytest.fixture
async def writer(login: Login) -> asyncpg.Connection:
    return await login("writer")


@pytest.fixture
async def keeper(login: Login) -> asyncpg.Connection:
    return await login("keeper")


@pytest.fixture
async def reader(login: Login) -> asyncpg.Connection:
    return await login("reader")


@dataclass
class Party:
    """A session with a host (member 1) and a guest (member 2), both exact."""

    id: int
    host: int
    guest: int
    token: bytes
    host_token: bytes
    guest_token: bytes

    @property
    def shard(self) -> int:
        return sessions.shard_of(self.id)


async def make_party(
    gateway: asyncpg.Connection,
    *,
    name: str = "p",
    options: Options | None = None,
    precision: Precision = Precision.EXACT,
    started_ago_ms: int = 5 * 24 * HOUR_MS,
) -> Party:
    """`name` makes the tokens: a different one for each party of a test."""
    host = await sessions.create_guest(gateway)
    token, host_token, guest_token = digest(f"{name}-s"), digest(f"{name}-h"), digest(f"{name}-g")
    session, _ = await sessions.create_session(
        gateway,
        host_user_id=host,
        display_name="Host",
        sharable_digest=token,
        member_digest=host_token,
        precision=precision,
        options=options or Options(ttl_hours=TTL_HOURS),
        started_at_ms=now_ms() - started_ago_ms,
    )
    _, guest = await sessions.join(
        gateway,
        digest=token,
        user_id=None,
        display_name="Guest",
        member_digest=guest_token,
        precision=Precision.EXACT,
        now_ms=now_ms(),
    )
    return Party(session.id, host, guest.user_id, token, host_token, guest_token)


@pytest.fixture
async def party(gateway: asyncpg.Connection) -> Party:
    return await make_party(gateway)
