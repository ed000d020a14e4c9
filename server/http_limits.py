"""HTTP's share of the limits by address: new sessions, and bearers that are not valid.

A right bearer costs nothing; one that is refused costs what a join does, so that guessing tokens is as slow
here as over WebSocket, and an address whose bucket is empty is answered before anything is looked up.
"""

from __future__ import annotations

from math import ceil

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.doors import Doors
from server.problems import Kind, Problem

_CREATES = ("POST", "/v1/sessions")


class AddressLimits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        creates = (scope["method"], scope["path"]) == _CREATES
        bears = any(name == b"authorization" for name, _ in scope["headers"])
        if not creates and not bears:
            await self._app(scope, receive, send)
            return
        key = self._doors.addresses.key(peer_of(scope), forwarded_of(scope["headers"]))
        wait_s = self._doors.join(key) if creates else self._doors.wait(key)
        if wait_s > 0:
            await _too_many(wait_s).response()(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401 and not creates:
                self._doors.join(key)
            await send(message)

        await self._app(scope, receive, counted)


def _too_many(wait_s: float) -> Problem:
    return Problem(Kind.TOO_MANY, headers={"Retry-After": str(max(1, ceil(wait_s)))})


def peer_of(scope: Scope) -> str:
    """The other end's address; empty for a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


def forwarded_of(headers: list[tuple[bytes, bytes]]) -> list[str]:
    """The lines of `X-Forwarded-For`."""
    return [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
