"""The gateway's process: one port, one loop.

HTTP is Starlette's under uvicorn; the WebSocket goes past ASGI to our own protocol class, on the same port
and loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
import uvloop
from redis.asyncio import Redis

from db.pool import connect
from db.revision import require_revision
from protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from server.api import make_app
from server.connection import Connection
from server.doorway import doorway
from server.gateway import Gateway
from server.settings import Settings, require
from server.upgrade import websocket_factory

UNSENT_BYTES = 16 * 1024
"""What a kernel keeps for who does not read, beside what is on its way: else it would be 200 KB of old
positions, and the outbox would never see that a phone is slow (G6)."""


def bound_unsent(fileno: int) -> None:
    """Accepted sockets inherit it from the listening one."""
    with socket.socket(fileno=os.dup(fileno)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


class _Server(uvicorn.Server):
    """uvicorn's server, which drains the gateway before it closes connections."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        gateway.slots.never_while(self.server_state.tasks)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the process with 0; uvicorn's own would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                bound_unsent(listening.fileno())

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        await self._gateway.drain()
        await super().shutdown(sockets)


async def serve(settings: Settings, *, host: str, port: int) -> None:
    """Runs a gateway until SIGTERM or SIGINT."""
    require(settings, "database_url", "redis_url", "mask_key")
    pool = await connect(settings.database_url, min_size=1, max_size=8, application_name="partyline-gateway")
    redis = Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=2)
    gateway = Gateway(settings, pool, redis)
    config = uvicorn.Config(
        make_app(gateway),
        host=host,
        port=port,
        ws=websocket_factory(  # type: ignore[arg-type]
            lambda: Connection(gateway.hub),
            slots=gateway.slots,
            subprotocols=(SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON),
            origins=settings.origins,
        ),
        http=doorway(gateway.doors),  # type: ignore[arg-type]
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
        backlog=4096,
    )
    gc.freeze()  # what is there now stays: no collection looks at it again, and holds everybody up for it
    try:
        await require_revision(pool)
        async with gateway.running():
            await _Server(config, gateway).serve()
    finally:
        await redis.aclose()
        await pool.close()


def run(settings: Settings, *, host: str, port: int) -> None:
    """The process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, host=host, port=port))
