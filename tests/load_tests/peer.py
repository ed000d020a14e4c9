"""A small peer that speaks Partyline's HTTP and wire for real, on a port of its own, as a test scripts it.

It keeps windows as the server does, in memory: it stands for the network's other end, not for a database.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from protocol import messages as wire
from protocol.codec import CODECS, decode_client
from protocol.precision import Precision

STEP_S, STEPS = 0.01, 1000


@dataclass
class Peer:
    """What the peer does, and what it has seen."""

    status: int = 201
    close_with: int | None = None
    """Close every connection with this code in place of a welcome."""
    judge: Callable[[wire.Fix], wire.Reject | None] = lambda _: None
    acks: bool = True
    cuts: int = 0
    """So many connections are dropped at their first fixes, before any ack."""
    url: str = ""
    created: list[dict[str, Any]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    choices: dict[int, Precision] = field(default_factory=dict)
    first_tags: list[str] = field(default_factory=list)
    rows: set[tuple[int, int]] = field(default_factory=set)
    fixes: dict[int, list[wire.Fix]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    async def create(self, request: Request) -> Response:
        self.paths.append(str(request.url))
        self.created.append(await request.json())
        if self.status != 201:
            return JSONResponse({"title": "no"}, self.status)
        answer = {
            "session": 7,
            "sharable_token": "sharable-secret",
            "join_url": f"{self.url}/j#sharable-secret",
        }
        host = {"m": 1, "member_token": "host-secret"}
        return JSONResponse(answer | {"host": host, "precision": "exact", "revision": 1}, 201)

    async def stream(self, socket: WebSocket) -> None:
        self.paths.append(str(socket.url))
        (name,) = socket.scope["subprotocols"]
        codec = CODECS[name]
        await socket.accept(name)

        async def say(message: wire.ServerMessage) -> None:
            data = codec.encode(message)
            await (socket.send_text(data.decode()) if codec.text else socket.send_bytes(data))

        async def hear() -> wire.ClientMessage:
            text_or_bytes = await (socket.receive_text() if codec.text else socket.receive_bytes())
            return decode_client(
                codec, text_or_bytes.encode() if isinstance(text_or_bytes, str) else text_or_bytes
            )

        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            first = await hear()
            if self.close_with is not None:
                await socket.close(self.close_with)
                return
            m = self._enter(first)
            exact = Precision.EXACT
            token = f"member-{m}"
            await say(wire.Welcome(7, m, wire.Role.MEMBER, token, exact, exact, 1, 1000, 5000, 0, [], []))
            while True:
                message = await hear()
                assert isinstance(message, wire.Fix | wire.Fixes)
                if self.cuts > 0:
                    self.cuts -= 1
                    await socket.close(4000)
                    return
                for fix in message.items if isinstance(message, wire.Fixes) else [message]:
                    self.fixes.setdefault(m, []).append(fix)  # type: ignore[arg-type]
                    if (reason := self.judge(fix)) is not None:  # type: ignore[arg-type]
                        await say(wire.Rejected(fix.seq, reason))
                    else:
                        self.rows.add((m, fix.at // 5000))
                    last = fix.seq
                if self.acks:
                    await say(wire.Ack(last))

    def _enter(self, first: wire.ClientMessage) -> int:
        self.first_tags.append(type(first).__name__)
        if isinstance(first, wire.Resume):
            return int(first.token.removeprefix("member-"))
        assert isinstance(first, wire.Join)
        assert first.token == "sharable-secret"
        m = len(self.names) + 2
        self.names[m], self.choices[m] = first.name, first.precision
        return m

    @contextlib.contextmanager
    def running(self) -> Iterator[Peer]:
        """Serve in a thread, so that a command can run its own loop in this one."""
        routes = [
            Route("/v1/sessions", self.create, methods=["POST"]),
            WebSocketRoute("/v1/stream", self.stream),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=0, log_level="critical", ws="websockets-sansio", lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        for _ in range(STEPS):
            if server.started:
                break
            time.sleep(STEP_S)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(10)
