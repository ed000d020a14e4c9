"""The first thing a connection meets: uvicorn's HTTP, with a time for everything and the books of `doors`.

uvicorn waits for ever for a request's head and body, and for who does not take an answer. Here a head has
`HEAD_S` from its first byte (a new connection: from its start), a body `BODY_S`, an answer `ANSWER_S`.
A WebSocket's handshake is a head; `WebSocket` takes over once it is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.doors import Doors, Entry
from server.http_limits import forwarded_of
from server.problems import Kind, Problem
from server.websocket import WebSocket

HEAD_S = 5.0
"""From a request's first byte to the end of its head."""
BODY_S = 15.0
"""From there to the end of its body; a call that reads one answers 408 before."""
ANSWER_S = 120.0
"""How long an answer may take, and its last bytes to be taken."""
LINGER_S = 1.0
"""How long a last word may take to be read."""

_REFUSALS = {
    Entry.BUSY: (HTTPStatus.SERVICE_UNAVAILABLE, "This server has too many connections: come again."),
    Entry.CROWDED: (HTTPStatus.TOO_MANY_REQUESTS, "There are too many connections from this address."),
}


class _Phase(Enum):
    IDLE = "idle"
    """Nothing has come since the last answer; uvicorn closes before, unless bytes wait to be taken."""
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"


_TIMES_S = {_Phase.IDLE: ANSWER_S, _Phase.HEAD: HEAD_S, _Phase.BODY: BODY_S, _Phase.ANSWER: ANSWER_S}


class Doorway(H11Protocol):
    """One connection that has not become a WebSocket."""

    def __init__(self, doors: Doors, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._doors = doors
        self._key: str | None = None
        self._entry = Entry.SHUT
        self._phase = _Phase.HEAD
        self._phase_of: object = None
        self._timer: asyncio.TimerHandle | None = None
        self._moved_on = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        self._key = None if self._doors.addresses.is_proxy(peer) else self._doors.addresses.key(peer)
        self._entry = self._doors.enter(self._key)
        if self._entry is Entry.SHUT:
            transport.abort()
            return
        if self._entry is not Entry.OPEN:
            self.app = _refuse(self._entry)
        self._enter(_Phase.HEAD)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look(heard=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look(heard=bool(self.conn.trailing_data[0]))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
        if self._entry is not Entry.SHUT:
            self._doors.leave(self._key)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection over, unless its address has too many."""
        peer = self.client[0] if self.client else ""
        key = self._doors.addresses.key(peer, forwarded_of(self.headers))
        entry = self._entry
        if entry is Entry.OPEN:
            entry, self._key = self._doors.move(self._key, key), key
        if entry is not Entry.OPEN:
            status, why = _REFUSALS[entry]
            self._say(status, why)
            return
        self._moved_on = True
        if self._timer is not None:
            self._timer.cancel()
        super().handle_websocket_upgrade(event)
        socket = cast(WebSocket, self.transport.get_protocol())
        socket.doors, socket.address = self._doors, self._key

    # --- the times ----------------------------------------------------------------------------------

    def _look(self, *, heard: bool) -> None:
        """Which phase it is in by now; each begins its time anew, and none is prolonged by bytes."""
        if self._moved_on or self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY:
            phase = _Phase.BODY
        elif self.cycle is not None and not self.cycle.response_complete:
            phase = _Phase.ANSWER
        else:
            phase = _Phase.HEAD if heard else _Phase.IDLE
        if phase is not self._phase or self.cycle is not self._phase_of:
            self._enter(phase)

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._phase_of = phase, self.cycle
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(_TIMES_S[phase], self._too_late)

    def _too_late(self) -> None:
        if self._phase is _Phase.HEAD and self.conn.our_state is h11.IDLE:
            self._say(HTTPStatus.REQUEST_TIMEOUT, "The request took too long.")
        else:
            self.transport.abort()

    def _say(self, status: HTTPStatus, why: str) -> None:
        """A last word, without h11: the request may not be whole."""
        if self.transport.is_closing():
            return
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(why) + 1}\r\nRetry-After: 5\r\nConnection: close\r\n\r\n{why}\n".encode()
        )
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)


def doorway(doors: Doors) -> Callable[..., Doorway]:
    """What `uvicorn.Config(http=…)` takes."""

    def make(config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Doorway:
        return Doorway(doors, config=config, server_state=server_state, app_state=app_state, _loop=_loop)

    return make


def _refuse(entry: Entry) -> Callable[[Scope, Receive, Send], Any]:
    kind = Kind.UNAVAILABLE if entry is Entry.BUSY else Kind.TOO_MANY
    problem = Problem(kind, _REFUSALS[entry][1], {"Retry-After": "5", "Connection": "close"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await problem.response()(scope, receive, send)

    return app
