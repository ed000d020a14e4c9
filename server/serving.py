"""The gateway's process: one port, one loop.

HTTP is Starlette's under uvicorn; the WebSocket goes past ASGI to our own protocol class, on the same port
and loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette

from db.pool import connect
from db.revision import require_revision
from protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from server.api import make_app
from server.connection import Connection
from server.doorway import doorway
from server.gateway import Gateway
from server.redis_link import connect_redis
from server.same_key import require_same_key
from server.settings import Settings, require
from server.site import health_routes
from server.upgrade import websocket_factory
from server.workers import Place, inherited

UNSENT_BYTES = 16 * 1024
"""What a kernel keeps for who does not read, beside what is on its way: else it would be 200 KB of old
positions, and the outbox would never see that a phone is slow (G6)."""

LATE_S = 0.1
"""How long a gateway that stops still answers who was about to connect."""
ASKED_S = 1.0
"""How long it waits for the first request of who has connected already."""
LOOK_S = 0.02

logger = logging.getLogger("partyline.gateway")


def bound_unsent(fileno: int) -> None:
    """Accepted sockets inherit it from the listening one."""
    with socket.socket(fileno=os.dup(fileno)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


class Server(uvicorn.Server):
    """uvicorn's server, which drains the gateway before it closes connections."""

    def __init__(
        self, gateway: Gateway, *, host: str, port: int, metrics: socket.socket | None = None
    ) -> None:
        super().__init__(_config(gateway, host, port))
        self._gateway = gateway
        self._metrics = metrics
        gateway.slots.never_while(self.server_state.tasks)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the process with 0; uvicorn's own would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The first signal drains, the second ends the process: clients still hold what is not acked (G1)."""
        if self.should_exit:
            logger.warning("told to stop a second time: nothing is waited for")
            os._exit(1)
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                bound_unsent(listening.fileno())
        if self._metrics is not None:
            self.servers.append(await self._serve_metrics(self._metrics))

    async def shutdown(self, sockets: Any = None) -> None:
        late = [] if sockets else self._held_open()  # sockets that were given are the successor's too
        for server in self.servers:
            server.close()
        answering = asyncio.gather(self._hear_out(), *(self._answer_late(one) for one in late))
        await self._gateway.drain()
        await answering
        await super().shutdown(sockets)

    async def _serve_metrics(self, listening: socket.socket) -> Any:
        config = uvicorn.Config(
            Starlette(routes=health_routes(self._gateway)),
            ws="none",
            **_PLAIN_HTTP,
        )
        config.load()
        return await asyncio.get_running_loop().create_server(
            lambda: self._protocol_of(config), sock=listening
        )

    def _protocol_of(self, config: uvicorn.Config) -> asyncio.Protocol:
        return config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=self.server_state, app_state={}
        )

    def _held_open(self) -> list[socket.socket]:
        """The listening sockets once more: closing the others would reset who waits to be accepted."""
        return [
            socket.socket(fileno=os.dup(one.fileno())) for server in self.servers for one in server.sockets
        ]

    async def _hear_out(self) -> None:
        """Waits a little for who has connected and not asked anything yet: it would just be reset."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + ASKED_S
        while loop.time() < until_s and any(_is_new(one) for one in self.server_state.connections):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    async def _answer_late(self, listening: socket.socket) -> None:
        """Who waits is served as everybody is while the gateway drains: told to come again."""
        loop = asyncio.get_running_loop()
        with listening:
            for wait_s in (LATE_S, 0.0):
                with suppress(OSError):  # nobody waits (any more)
                    while True:
                        late, _ = listening.accept()
                        await loop.connect_accepted_socket(lambda: self._protocol_of(self.config), late)
                await asyncio.sleep(wait_s)


def _is_new(connection: Any) -> bool:
    """Whether no request has come on it. uvicorn's inside; the version is pinned, and a test holds it."""
    return getattr(connection, "cycle", connection) is None


_PLAIN_HTTP: dict[str, Any] = {
    "http": "h11",
    "loop": "none",
    "lifespan": "off",
    "access_log": False,
    "log_config": None,
    "server_header": False,
}


def _config(gateway: Gateway, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(gateway),
        host=host,
        port=port,
        ws=websocket_factory(  # type: ignore[arg-type]
            lambda: Connection(gateway.hub),
            slots=gateway.slots,
            subprotocols=(SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON),
            origins=gateway.settings.origins,
        ),
        timeout_graceful_shutdown=5,
        backlog=4096,
        **_PLAIN_HTTP | {"http": doorway(gateway.doors)},
    )


async def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    metrics: socket.socket | None = None,
    place: Place | None = None,
) -> None:
    """Runs a gateway until SIGTERM or SIGINT. `place`: what one of several workers was given."""
    require(settings, "database_url", "redis_url", "mask_key")
    listening = None
    if place is not None:
        listening, metrics = inherited(place)
    pool = await connect(settings.database_url, min_size=1, max_size=8, application_name="partyline-gateway")
    link = connect_redis(settings.redis_url)
    gateway = Gateway(settings, pool, link)
    gc.freeze()  # what is there now stays: no collection looks at it again, and holds everybody up for it
    try:
        await require_revision(pool)
        await require_same_key(link.client, bytes.fromhex(settings.mask_key))
        async with gateway.running():
            server = Server(gateway, host=host, port=port, metrics=metrics)
            telling = None
            if place is not None:
                gateway.worker = place.number
                telling = asyncio.create_task(_tell_ready(server, gateway, place.ready))
            await server.serve(listening)
            if telling is not None:
                telling.cancel()
        await gateway.give_back_lease()  # not before its loops have ended: they would ask for it again
    finally:
        await link.aclose()
        await pool.close()


async def _tell_ready(server: uvicorn.Server, gateway: Gateway, pipe: int) -> None:
    """One byte for the parent, once connections are accepted and positions may be sent."""
    while not (server.started and gateway.lease.held()):  # noqa: ASYNC110 - once in a process's life
        await asyncio.sleep(LOOK_S)
    logger.info("ready")
    os.write(pipe, b"+")
    os.close(pipe)


def run(
    settings: Settings,
    *,
    host: str,
    port: int,
    metrics: socket.socket | None = None,
    place: Place | None = None,
) -> None:
    """The process. `metrics`: the bound socket of its metrics port."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, host=host, port=port, metrics=metrics, place=place))
