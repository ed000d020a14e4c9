"""The real thing: `Up` in a directory of its own, and a phone that speaks the wire message by message."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect

from server.up import Up


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def started(data_dir: Path, **environment: str) -> Up:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        up = Up(data_dir=data_dir, host="127.0.0.1", port=free_port(), demo=False, say=lambda text: None)
        try:
            up.start()
        except BaseException:
            up.stop()
            raise
    return up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running server, shared by the tests of a module that do it no harm."""
    running = started(tmp_path_factory.mktemp("up"))
    yield running
    running.stop()


@pytest.fixture
def own_up(tmp_path: Path) -> Iterator[Up]:
    """A running server to be harmed."""
    running = started(tmp_path)
    yield running
    running.stop()


class Served(Protocol):
    """A gateway: an `Up`, or one of several."""

    @property
    def http(self) -> str: ...


@dataclass(frozen=True)
class GatewayAt:
    """One of several gateways."""

    http: str


def http(up: Served, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(up.http + path, method=method)
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def new_session(up: Served, precision: str = "exact", **options: object) -> Any:
    body = {"display_name": "Host", "precision": precision, "options": {"tick_ms": 250, **options}}
    status, answer = http(up, "POST", "/v1/sessions", body)
    assert status == 201, answer
    return answer


class Phone:
    """One connection. `seen` keeps every message, in order."""

    opened: ClassVar[list[Phone]] = []

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.opened.append(self)
        self.seen: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self._seq = 0

    @classmethod
    async def open(cls, up: Served, subprotocol: str = "partyline.v1.json", **extra: Any) -> Phone:
        url = up.http.replace("http", "ws") + "/v1/stream"
        return cls(
            await connect(
                url,
                subprotocols=[subprotocol],
                compression=None,
                proxy=None,
                ping_interval=None,
                max_queue=None,
                **extra,
            )  # type: ignore[list-item]
        )

    @classmethod
    async def join(cls, up: Served, token: str, name: str = "Ana", **more: object) -> Phone:
        phone = await cls.open(up)
        await phone.say(t="join", token=token, name=name, **more)
        phone.welcome = await phone.until("welcome")
        return phone

    @classmethod
    async def resume(cls, up: Served, member_token: str) -> Phone:
        phone = await cls.open(up)
        await phone.say(t="resume", token=member_token)
        phone.welcome = await phone.until("welcome")
        return phone

    async def say(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def fix(self, lat: float, lon: float, at: int | None = None, **more: object) -> int:
        self._seq += 1
        await self.say(t="fix", seq=self._seq, at=now_ms() if at is None else at, lat=lat, lon=lon, **more)
        return self._seq

    async def next(self, timeout: float = 20) -> dict[str, Any]:
        import asyncio

        message = json.loads(await asyncio.wait_for(self.socket.recv(), timeout))
        self.seen.append(message)
        return dict(message)

    async def until(self, tag: str, timeout: float = 20, **wanted: object) -> dict[str, Any]:
        """The next message of this tag with these values."""
        while True:
            message = await self.next(timeout)
            if message["t"] == tag and all(message.get(key) == value for key, value in wanted.items()):
                return message

    async def acked(self, seq: int, timeout: float = 30) -> None:
        """Waits for an ack that covers `seq`."""
        while (await self.until("ack", timeout))["seq"] < seq:
            pass

    async def closed(self) -> int:
        """The close code, once the server has closed."""
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                await self.next()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code

    async def close(self) -> None:
        await self.socket.close()


@pytest.fixture(autouse=True)
async def every_phone_is_closed() -> AsyncIterator[None]:
    yield
    while Phone.opened:
        await Phone.opened.pop().close()


async def rows(up: Up, session: int) -> list[asyncpg.Record]:
    """What is stored of a session."""
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT user_id, (extract(epoch FROM recorded_at) * 1000)::bigint AS start_ms, fix_offset_ms, "
            "ST_Y(loc) AS lat, ST_X(loc) AS lon, accuracy_m, precision::text FROM party_positions "
            "WHERE session_id = $1 ORDER BY user_id, recorded_at",
            session,
        )
        return found
    finally:
        await connection.close()
