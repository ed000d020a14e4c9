"""Lives of gateways: the parts wired as the process wires them, on real servers, with recording sockets.

The loops and the port are left out: a test drives what the loops do. Fixtures are offered by `conftest.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from db import migrate
from db import sessions as store
from db.pool import Pool, connect
from protocol import messages as wire
from protocol.codec import JSON
from protocol.options import Options
from protocol.precision import Precision
from server.connection import Connection
from server.control_store import SERVED
from server.gateway import Gateway
from server.redis_link import RedisLink, connect_redis
from server.session import Member, Session
from server.settings import Settings
from server.tokens import digest
from server.writer import Writer
from tests.conftest import _fresh as fresh_database
from tests.server.parties import RecordingSocket

PASSWORD = "a-password-for-tests"
SECRET = "a secret of the product's accounts, 32+"
MASK_KEY = "5a" * 32
SEOUL = (37.5663, 126.9779)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def roles_of(database_url: str) -> Callable[[str], str]:
    """The database's URL for each login role."""
    migrate.set_role_passwords(database_url, dict.fromkeys(migrate.LOGIN_ROLES, PASSWORD))

    def url(role: str) -> str:
        parts = urlsplit(database_url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"partyline_{role}:{PASSWORD}@{host}"))

    return url


class Hosted:
    """A session as its host made it."""

    def __init__(self, row: store.SessionRow, host: store.MemberRow, name: str) -> None:
        self.id = row.id
        self.host_user_id = host.user_id
        self.sharable = f"sharable-{name}"
        self.host_token = f"host-{name}"


class Life:
    """One life of a gateway."""

    def __init__(self, settings: Settings, pool: Pool, link: RedisLink) -> None:
        self.gateway = Gateway(settings, pool, link)
        self.hub = self.gateway.hub
        self.flusher = self.gateway.flusher
        self.steering = self.gateway.steering
        self.registry = self.gateway.registry
        self.pool = pool
        self.redis = link.client
        self.gateway.lease._until_ms = 2**62  # nobody takes it away in here
        self._hosted = 0

    async def host(self, precision: str = "exact", user_id: int | None = None, **options: Any) -> Hosted:
        """A new session with a host of their own."""
        self._hosted += 1
        name = f"{self.gateway.id}-{self._hosted}"
        row, host = await store.create_session(
            self.pool,
            host_user_id=await store.create_guest(self.pool) if user_id is None else user_id,
            display_name="Host",
            sharable_digest=digest(f"sharable-{name}"),
            member_digest=digest(f"host-{name}"),
            precision=Precision(precision),
            options=Options(**{"ttl_hours": 168, **options}),
            started_at_ms=options.get("started_at", now_ms() - 3_600_000),
        )
        return Hosted(row, host, name)

    def open(self, bearer: str = "") -> RecordingSocket:
        """A connection that has not said who it is."""
        connection = Connection(self.hub)
        socket = RecordingSocket(connection)
        connection.opened(socket, JSON.subprotocol, bearer)  # type: ignore[arg-type]
        return socket

    async def send(self, socket: RecordingSocket, message: Any) -> None:
        """A message; returns when the gateway has dealt with it."""
        socket.connection.received(JSON.encode(message))
        await self.settled()

    async def settled(self) -> None:
        """Every command has been carried out."""
        while self.gateway.commands.running:
            await asyncio.gather(*self.gateway.commands.running)

    async def say(self, message: Any, bearer: str = "") -> RecordingSocket:
        """A new connection that says this first."""
        socket = self.open(bearer)
        await self.send(socket, message)
        return socket

    async def join(self, hosted: Hosted, name: str = "Ana", **more: Any) -> RecordingSocket:
        return await self.say(wire.Join(name=name, token=hosted.sharable, **more))

    async def resume(self, token: str) -> RecordingSocket:
        return await self.say(wire.Resume(token=token))

    def fix(self, socket: RecordingSocket, seq: int, at: int, lat: float = SEOUL[0], **more: Any) -> None:
        socket.connection.received(JSON.encode(wire.Fix(seq=seq, at=at, lat=lat, lon=SEOUL[1], **more)))

    async def flush(self) -> None:
        """Hands over every window, also the open ones, as the gateway's loop does."""
        await self.flusher.flush(everything=True)
        self.hub.say_acks()

    def session(self, hosted: Hosted) -> Session:
        return self.hub.sessions[hosted.id]


def member_of(socket: RecordingSocket) -> Member:
    member = socket.connection.member
    assert member is not None
    return member


def said(socket: RecordingSocket, kind: type) -> list[Any]:
    """The messages of a kind that were said; the rest is forgotten."""
    return [message for message in socket.said() if isinstance(message, kind)]


def welcome(socket: RecordingSocket) -> wire.Welcome:
    """The one welcome that was said; the rest is forgotten."""
    (found,) = said(socket, wire.Welcome)
    assert isinstance(found, wire.Welcome)
    return found


Lives = Callable[..., Awaitable[Life]]


@pytest.fixture(scope="module")
def party_database(stack: Any, migrated_template: str) -> Iterator[str]:
    """A migrated database for the tests of a module, each of which makes sessions of its own in it."""
    with fresh_database(stack, migrated_template) as url:
        yield url


@pytest.fixture
def role_url(party_database: str) -> Callable[[str], str]:
    return roles_of(party_database)


@pytest.fixture
async def live(role_url: Callable[[str], str], redis_url: str) -> AsyncIterator[Lives]:
    """Starts lives of gateways on the same servers, with settings."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Life:
            return await stack.enter_async_context(a_life(role_url("gateway"), redis_url, **settings))

        yield start


@pytest.fixture
async def life(live: Lives) -> Life:
    return await live()


@pytest.fixture
async def superuser(party_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(party_database)
    yield connection
    await connection.close()


@pytest.fixture
async def writer(role_url: Callable[[str], str], redis_url: str) -> AsyncIterator[Writer]:
    async with a_writer(role_url("writer"), redis_url) as writer:
        yield writer


_LONG_SERVED = """
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return redis.call('HSET', KEYS[1], 'server', server, 'since', '0')
"""


async def long_served(redis: Any) -> None:
    """This Redis is not new: no gateway of the time before may still have a lease, and nobody waits for it."""
    await redis.eval(_LONG_SERVED, 1, SERVED)  # of a Cluster, the node that has the key


@asynccontextmanager
async def a_life(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Life]:
    wanted = {"allow_guests": True, "jwt_secret": SECRET, "mask_key": MASK_KEY, **settings}
    pool = await connect(database_url, min_size=1, max_size=8, application_name="gateway")
    link = connect_redis(redis_url)
    try:
        await long_served(link.client)
        yield Life(Settings(database_url=database_url, redis_url=redis_url, **wanted), pool, link)
    finally:
        await link.aclose()
        pool.terminate()


@asynccontextmanager
async def a_writer(database_url: str, redis_url: str, name: str = "w") -> AsyncIterator[Writer]:
    pool = await connect(database_url, min_size=1, max_size=2, application_name="writer")
    link = connect_redis(redis_url, socket_timeout=10)
    try:
        yield Writer(pool=pool, redis=link.client, name=name, ttl_hours=168, publish=link.publish)
    finally:
        await link.aclose()
        pool.terminate()


@asynccontextmanager
async def running(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[asyncio.Event]:
    """`work` runs meanwhile, is stopped by its event, and must end well."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


async def eventually(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Waits until `true()`, which may give a coroutine, says so."""
    async with asyncio.timeout(seconds):
        while True:
            answer = true()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.01)


class Closed:
    """A database that lets nobody in while the block lasts: PostgreSQL as good as away, for this database."""

    def __init__(self, database_url: str) -> None:
        self._server, _, self._name = database_url.rpartition("/")

    async def _do(self, *statements: str) -> None:
        admin = await asyncpg.connect(f"{self._server}/postgres")
        try:
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()

    async def __aenter__(self) -> None:
        await self._do(
            f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self._name}'",
        )

    async def __aexit__(self, *_: object) -> None:
        await self._do(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS true")
